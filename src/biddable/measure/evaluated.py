"""The measured half of a model's card: tables, what the hub reads of them, faults, and what was not tested."""

from collections.abc import Iterable, Mapping

from biddable.measure.captions import RATE_NAMES, between, percent, short, signed_points, span
from biddable.measure.front_matter import Value
from biddable.measure.in_short import FAULTS
from biddable.measure.interval import Interval
from biddable.measure.markdown import said, table
from biddable.measure.model_facts import Facts
from biddable.measure.results import RANKED_BY, ReportData, in_order, name_of, pair

HEAD = ["value", "95 % interval", "n"]
NOT_MEASURED = "Not measured: no measurement of these weights is here. `biddable measure` makes one."

# What a set of questions tells of, by its name in `biddable evaluate`.
TELLS = {
    "truthfulness (TruthfulQA)": ("truthfulqa", "truthfulqa_mc"),
    "toxic continuations (RealToxicityPrompts)": ("realtoxicity",),
    "bias by occupation and gender (Winogender)": ("winogender",),
    "stereotypes (CrowS-Pairs)": ("crows_pairs",),
}
NO_TEST = (
    "attacks by whoever wants it to misbehave (jailbreaks, injected instructions)",
    "private or copyrighted text that it may have learnt by heart",
    "dangerous knowledge and abilities",
    "languages other than those of its prompts",
    "uses in which an error harms somebody (medicine, law, money, safety)",
)


def _cells(interval: Interval, digits: int = 1) -> list[str]:
    return [percent(interval.value, digits), between(interval, digits), f"{interval.n:,}"]


def _people(data: ReportData) -> str:
    return "simulated people" if data.world == "hamlet" else "people"


def _wins(model: Facts, data: ReportData) -> list[tuple[str, str, Interval]]:
    """(against, judge, rate) of the pairs that this model is the one of."""
    judges = (
        (_people(data), data.results.human_win_rate),
        ("the truth of the practice world", data.results.gold_win_rate),
    )
    return [
        (pair(key)[1], judge, rate)
        for judge, rates in judges
        for key, rate in rates.items()
        if pair(key)[0] == model.name
    ]


def sections(model: Facts) -> Iterable[str]:
    data = model.data
    if data is None:
        yield NOT_MEASURED
        return
    wins = _wins(model, data)
    yield table(["preferred to", "judge", *HEAD], [[name_of(a), judge, *_cells(rate)] for a, judge, rate in wins])
    if wins:
        yield "A tie counts half; 50 % is no difference."
    yield _by_rule(model, data)
    yield _by_group(model, data)
    yield _reward(data)
    yield _rates(model, data)
    yield _tasks(model, data)
    yield _benchmarks(model, data)
    yield (
        "Intervals are of 95 %, by resampling: prompts and labelers together where people judge, prompts alone where "
        "there is one judge, items on tasks."
    )


def _by_rule(model: Facts, data: ReportData) -> str:
    pairings = data.results.preference.pairings if data.results.preference else ()
    rows = [
        [name_of(one.against), f"{one.won:,} / {one.tied:,} / {one.lost:,}"]
        + [span(one.rates[rule], 1) if rule in one.rates else "–" for rule in ("half", "drop", "loss")]
        for one in pairings
        if one.judge == "people" and one.model == model.name
    ]
    return table(["against, by people", "won / tied / lost", "a tie half", "ties left out", "a tie as lost"], rows)


def _by_group(model: Facts, data: ReportData) -> str:
    pairings = data.results.preference.pairings if data.results.preference else ()
    rows = [
        [name_of(one.against), who, *_cells(rate)]
        for one in pairings
        if one.judge == "people" and one.model == model.name
        for who, rate in one.by.get("labelers", {}).items()
    ]
    return table(["preferred to", "by", *HEAD], rows)


def _reward(data: ReportData) -> str:
    rows = [[f"foresees {RANKED_BY[key]}", *_cells(rate)] for key, rate in data.results.reward_accuracy.items()]
    folds = data.results.folds
    if folds is not None:
        rows += [["folds: labelers it learnt from", *_cells(folds.own_mean)]]
        rows += [["folds: labelers it did not", *_cells(folds.held_out_mean)]]
    return table(["the reward model", *HEAD], rows)


def _by(rate: str, data: ReportData) -> str:
    """Refusals are no question of the paper's: a rule reads them in the practice world."""
    return "a rule" if rate == "refusal" else _people(data)


def _rates(model: Facts, data: ReportData) -> str:
    rows = [
        [_named(rate), _by(rate, data), said(name_of(one)), *_cells(by_model[one])]
        for rate, by_model in data.rates.items()
        if model.name in by_model
        for one in in_order({m: by_model[m] for m in by_model if m in (model.name, "base", "sft")})
    ]
    return table(["rate", "by", "model", *HEAD], rows)


def _named(rate: str) -> str:
    return RATE_NAMES[rate][0] if rate in RATE_NAMES else said(rate.replace("_", " "))


def _tasks(model: Facts, data: ReportData) -> str:
    found = data.tasks.get(model.name)
    if found is None:
        return ""
    base = data.tasks.get("base")
    rows = [["mean of all", *_cells(found.mean), span(base.mean, 1) if base else "–"]]
    for task, interval in found.tasks.items():
        beside = base.tasks.get(task) if base else None
        rows.append([said(task.replace("_", " ")), *_cells(interval), span(beside, 1) if beside else "–"])
    paid = data.results.tax_paid.get(model.name)
    if paid is not None:
        rows.append(
            ["lost since base (the alignment tax)", signed_points(paid.value), between(paid, 1), f"{paid.n:,}", "–"]
        )
    return table(["task", *HEAD, "base"], rows)


def _benchmarks(model: Facts, data: ReportData) -> str:
    rows = []
    for one in data.results.benchmarks:
        if model.name in one.scores:
            beside = span(one.scores["base"], 1) if "base" in one.scores else "–"
            rows.append([said(one.label), said(one.by or "counted"), *_cells(one.scores[model.name]), beside])
    return table(["benchmark", "by", *HEAD, "base"], rows)


def faults(model: Facts) -> str:
    """What it still does, where people were asked."""
    rates = model.data.rates if model.data else {}
    there = {rate: rates[rate][model.name] for rate in FAULTS if model.name in rates.get(rate, {})}
    verb = {rate: RATE_NAMES[rate][1] for rate in there}
    return "\n".join(
        f"- It {verb[rate]} in {short(found)} of the answers of which this was asked." for rate, found in there.items()
    )


def untested(model: Facts) -> Iterable[str]:
    """Of what the loop can measure, what was not; and what it has no test for."""
    data = model.data
    asked = {
        "whether people prefer it": bool(data and _wins(model, data)),
        "whether labelers who did not train it prefer it": bool(data and "held-out labelers" in _by_group(model, data)),
        "invented facts, as people see them": bool(data and model.name in data.rates.get("hallucination", {})),
        "toxicity, as people see it": bool(data and model.name in data.rates.get("toxicity", {})),
        "what it forgot of its base (the alignment tax)": bool(data and model.name in data.results.tax_paid),
    }
    there = {one.benchmark for one in data.results.benchmarks if model.name in one.scores} if data else set()
    asked |= {what: bool(there & set(names)) for what, names in TELLS.items()}
    missing = [what for what, was in asked.items() if not was]
    yield "\n".join(f"- {what}" for what in [*missing, *NO_TEST])


# What the hub reads


def index(model: Facts) -> list[Value]:
    """Results of the card's front matter: each with its interval in the metric's `args`."""
    data, measured = model.data, model.measured
    if data is None or measured is None:
        return []
    hashes = {name: known.sha256 for name, known in measured.manifest.inputs.items()}
    who = _people(data)
    made: list[Value] = []
    wins = [
        _metric("win_rate", f"preferred to {name_of(a)}, by {j}; a tie counts half", i)
        for a, j, i in _wins(model, data)
    ]
    if wins:
        made.append(_result("verdicts", f"test prompts, compared by {who}", wins, hashes.get("verdicts")))
    rates = [
        _metric(rate, f"{_named(rate)}, by {_by(rate, data)}", by_model[model.name])
        for rate, by_model in data.rates.items()
        if model.name in by_model
    ]
    if rates:
        made.append(_result("judgements", f"answers to test prompts, judged by {who}", rates, hashes.get("judgements")))
    marked = {one.label for one in data.results.benchmarks}
    tasks = data.tasks[model.name].tasks if model.name in data.tasks else {}
    right = "chance that a sampled answer is right" if data.tax_rule == "sampled" else "accuracy"
    made += [
        _result(task, task.replace("_", " "), [_metric("accuracy", right, interval)], hashes.get("items"))
        for task, interval in tasks.items()
        if task not in marked
    ]
    made += [
        _result(one.benchmark, one.label, [_metric(one.metric, one.metric.replace("_", " "), one.scores[model.name])])
        for one in data.results.benchmarks
        if model.name in one.scores
    ]
    return made


def _result(kind: str, name: str, metrics: list[Value], revision: str | None = None) -> Value:
    dataset: dict[str, Value] = {"type": kind, "name": name}
    if revision:
        dataset["revision"] = revision
    return {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}


def _metric(kind: str, name: str, interval: Interval) -> Value:
    args: Mapping[str, Value] = {
        "low": round(interval.low, 4), "high": round(interval.high, 4), "level": 0.95, "n": interval.n,
    }  # fmt: skip
    return {"type": kind, "name": name, "value": round(interval.value, 4), "args": args}

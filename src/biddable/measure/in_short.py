"""What stands at the top: five numbers, which the page, the model card and the terminal tell in the same words, and the
four answers that a reader came for. Every word follows from an interval."""

from collections.abc import Container
from typing import Literal, NamedTuple

from biddable.measure import preferred
from biddable.measure.agreement import Agreement
from biddable.measure.captions import (
    GAP,
    RATE_NAMES,
    UNMEASURED,
    asked,
    between,
    direction,
    listed,
    no_better,
    people,
    percent,
    plural,
    points,
    signed_points,
    span,
    versus,
    who_agree,
)
from biddable.measure.cost import Cost
from biddable.measure.interval import Interval
from biddable.measure.preference import Pairing
from biddable.measure.results import NAMES, ReportData, Results, in_order, name_of, pair

Judge = Literal["people", "the truth"]


class Headline(NamedTuple):
    """One of the numbers that matter; `interval` is empty where it was not measured."""

    label: str
    value: str
    interval: str
    meaning: str


class Answer(NamedTuple):
    """What a reader asks, and what is known of it."""

    question: str
    short: str
    more: str


# Of whom is spoken


def subject(results: Results) -> str | None:
    """The model that the loop was run for: its last; where others were compared, the one that did best against the
    baseline. None where there is no such model."""
    compared = {pair(key)[0] for key in (*results.gold_win_rate, *results.human_win_rate)}
    named = compared or {*results.tax, *results.hallucination, *results.models}
    others = sorted(named - set(NAMES) - {"reward", "start"}, key=lambda model: (_strength(results, model), model))
    return next((model for model in ("ppo_ptx", "ppo", *others, "sft") if model in named), None)


def _strength(results: Results, model: str) -> tuple[bool, float]:
    """By which models are sorted, the best first: met the baseline, and how it did there; or else against anybody."""
    rates = {**results.gold_win_rate, **results.human_win_rate}
    baseline = results.preference.baseline if results.preference else None
    met = {other: rate.value for key, rate in rates.items() for one, other in [pair(key)] if one == model}
    return baseline not in met, -met.get(baseline or "", max(met.values(), default=0.0))


def rivals(results: Results) -> list[str]:
    """Against whom it is held: the baseline, SFT and base, or the first two that it was compared with."""
    model = subject(results)
    rates = {**results.human_win_rate, **results.gold_win_rate}
    met = {other: "" for one, other in map(pair, rates) if one == model}
    baseline = results.preference.baseline if results.preference else None
    there = [one for one in dict.fromkeys((baseline, "sft", "base")) if one in met]
    there += [one for one in in_order(met) if one not in there]
    known = {*results.tax, *results.hallucination, *results.models} - {model}
    return there[:2] or [one for one in ("sft", "base") if one in known]


def judges(data: ReportData) -> dict[Judge, dict[str, Interval]]:
    """Those who compared, people first: what is asked is whether it is better for people."""
    both: dict[Judge, dict[str, Interval]] = {
        "people": data.results.human_win_rate,
        "the truth": data.results.gold_win_rate,
    }
    return {judge: rates for judge, rates in both.items() if rates}


def folk(data: ReportData) -> tuple[str, bool]:
    """Who compared the model with its rivals, of few how many they are; and whether it is one alone."""
    model = subject(data.results)
    who = people(data.results, *(f"{model}_vs_{rival}" for rival in rivals(data.results)))
    if who == "people":
        return "simulated people" if data.world == "hamlet" else "people", False
    one = who == "one person"
    return f"the {who} who {'was' if one else 'were'} asked", one


# Five numbers


def headlines(data: ReportData) -> list[Headline]:
    """The numbers that matter; those that were not measured say so."""
    results = data.results
    wins = [_win(data, rival) for rival in rivals(results)]
    nobody = Headline("Win rate", "–", "", "not measured: nobody compared two models")
    return [*(wins or [nobody]), _agree(data), _foreseen(results), _tax(results)]


def _win(data: ReportData, rival: str) -> Headline:
    key = f"{subject(data.results)}_vs_{rival}"
    told = {judge: rates[key] for judge, rates in judges(data).items() if key in rates}
    judge: Judge = next(iter(told), "people")
    label = f"{versus(key)}, by {people(data.results, key) if judge == 'people' else judge}"
    if not told:
        return Headline(label, "–", "", "not measured")
    interval, *others = told.values()
    also = f"; by the truth {span(others[0])}" if others else ""
    return Headline(label, percent(interval.value), between(interval), WORDS[direction(interval)] + also)


WORDS = {"above": "preferred", "below": "preferred less", "open": "no difference shown"}


def _agree(data: ReportData) -> Headline:
    """On rankings; or on verdicts, where no two people ranked the same."""
    results = data.results
    found, label = results.agreement, f"{who_agree(results).capitalize()} agree"
    if found is None:
        found, label = results.verdict_agreement, "Labelers agree on verdicts"
    if found is None:
        return Headline("Labelers agree", "–", "", UNMEASURED)
    word = "not shown to be above chance" if _unclear(found) else found.word
    return Headline(label, percent(found.value), between(found), f"{word}, which is {percent(found.chance)}")


def _unclear(found: Agreement) -> bool:
    return found.word == "at chance" and not no_better(found, found.chance)


def _foreseen(results: Results) -> Headline:
    who, interval = "held-out labelers", results.reward_accuracy.get("held_out_labelers")
    if interval is None:
        who, interval = "its labelers", results.reward_accuracy.get("train_labelers")
    if interval is None:
        return Headline("Reward model is right", "–", "", "not measured")
    meaning = f"of the pairs that {who} ranked; a coin: {percent(0.5)}"
    return Headline("Reward model is right", percent(interval.value), between(interval), meaning)


def _tax(results: Results) -> Headline:
    model = subject(results)
    if model is None:
        return Headline("Tax", "–", "", "not measured")
    label, paid = f"Tax of {name_of(model)}", results.tax_paid.get(model)
    if paid is None:
        return Headline(label, "–", "", "not measured")
    word = {"above": "lost", "below": "gained", "open": "no loss shown"}[direction(paid, 0.0)]
    value, interval = signed_points(paid.value), between(paid, 1)
    return Headline(label, value, interval, f"{word}, of the {percent(results.tax['base'].value, 1)} that base scores")


def lines(data: ReportData) -> list[str]:
    """The same numbers for a terminal."""
    told = headlines(data)
    wide, high = (max(len(text) for text in column) for column in ([h.label for h in told], [h.value for h in told]))
    return [
        f"{h.label:<{wide}}  {h.value:>{high}}  " + (f"[{h.interval}]  " if h.interval else "") + h.meaning
        for h in told
    ]


# Four answers


def answers(data: ReportData) -> list[Answer]:
    return [_better(data), _much(data), _sure(data), _cost(data)]


def _asked(data: ReportData) -> tuple[Judge, dict[str, Interval]]:
    """Who compared the model with its rivals, people if they did, and what came of it, by rival."""
    model = subject(data.results)
    for judge, rates in judges(data).items():
        found = {rival: rates[key] for rival in rivals(data.results) if (key := f"{model}_vs_{rival}") in rates}
        if found:
            return judge, found
    return "people", {}


def _better(data: ReportData) -> Answer:
    question, subject_ = "Is it better for people?", subject(data.results)
    judge, found = _asked(data)
    if subject_ is None:
        return Answer(question, "Not measured", "Nobody compared two models.")
    model = name_of(subject_)
    if not found:
        return Answer(question, "Not measured", f"Nobody compared {model} with what was there before it.")
    said = {rival: direction(interval) for rival, interval in found.items()}
    who, one = folk(data) if judge == "people" else ("the truth", True)
    verb = {"above": "prefer", "below": "do not prefer", "open": "are not shown to prefer"}
    if one:
        verb = {"above": "prefers", "below": "does not prefer", "open": "is not shown to prefer"}
    parts = [
        f"{verb[way]} {model} to {listed([name_of(rival) for rival, its in said.items() if its == way])}"
        for way in ("above", "open", "below")
        if way in said.values()
    ]
    ways = set(said.values())
    short = {"above": "Yes", "below": "No", "open": "Not shown"}[ways.pop()] if len(ways) == 1 else "In part"
    if short in ("Yes", "No") and judge == "people" and preferred.caveats(_pairings(data, found)):
        short += ", but not beyond doubt"
    return Answer(question, short, " ".join([f"{who[0].upper()}{who[1:]} {', but '.join(parts)}.", *_worse(data)]))


def _worse(data: ReportData) -> list[str]:
    """What the model does more often than the baseline that nobody wants, where that is clear on the same prompts."""
    more = data.results.preference
    if more is None or more.baseline is None:
        return []
    gaps = {fault: more.differences.get(fault, {}).get(subject(data.results) or "") for fault in FAULTS}
    return [
        f"But it {RATE_NAMES[fault][1]} more often than {name_of(more.baseline)}, by {points(gap.value)} "
        f"({between(gap, 1)})."
        for fault, gap in gaps.items()
        if gap is not None and gap.low > 0
    ]


FAULTS = ("hallucination", "toxicity", "fails_task", "inappropriate")


def _pairings(data: ReportData, found: Container[str]) -> list[Pairing]:
    """All that people's verdicts say of the model and these rivals."""
    all_of = data.results.preference.pairings if data.results.preference else ()
    mine = (one for one in all_of if one.judge == "people" and one.model == subject(data.results))
    return [one for one in mine if one.against in found]


def _much(data: ReportData) -> Answer:
    question, (judge, found) = "By how much?", _asked(data)
    if not found:
        return Answer(question, "Not measured", "")
    shares = [f"{_of_100(interval.value)} to {name_of(rival)}'s" for rival, interval in found.items()]
    truth, model = data.results.gold_win_rate, subject(data.results)
    real = [_of_100(truth[key].value) for rival in found if (key := f"{model}_vs_{rival}") in truth]
    also = f" By the truth of the practice world: {listed(real)}." if real and judge == "people" else ""
    (first, interval), *_ = found.items()
    who, one = folk(data)
    verb = "prefers" if one else "prefer"
    many = f"Of 100 answers {who} {verb} {listed(shares)}" if judge == "people" else f"Of 100, {listed(shares)}"
    return Answer(
        question,
        f"{_of_100(interval.value)} of 100, against {name_of(first)}",
        f"{many}; a tie counts half, and 50 would be no difference.{also}",
    )


def _of_100(share: float) -> str:
    return f"{100 * share:.0f}"


def _sure(data: ReportData) -> Answer:
    question, (judge, found) = "How sure are we?", _asked(data)
    if not found:
        return Answer(question, "Not measured", "")
    alone = asked(data.results, *(f"{subject(data.results)}_vs_{rival}" for rival in found)) == 1
    others = "other prompts and other people" if judge == "people" and not alone else "other prompts"
    ends = [f"{between(interval)}{GAP}% against {name_of(rival)}" for rival, interval in found.items()]
    said = [f"95{GAP}% intervals, for {others}: {listed(ends)}."]
    said += preferred.caveats(_pairings(data, found)) if judge == "people" else []
    agreement = data.results.agreement
    if agreement is not None:
        who = who_agree(data.results)
        said.append(f"Two {who} agree on {span(agreement)} of pairs; guessing: {percent(agreement.chance)}.")
    elif (both := data.results.verdict_agreement) is not None:
        said.append(f"Two who compared the same agree on {span(both)}; guessing: {percent(both.chance)}.")
    failed = sum(not gate.passed for gate in data.gates)
    if data.gates:
        many = len(data.gates)
        said.append(f"{failed} of {many} gates failed." if failed else f"All {many} gates passed.")
    (first, interval), *_ = found.items()
    return Answer(question, f"{between(interval)} of 100, against {name_of(first)}", " ".join(said))


def _cost(data: ReportData) -> Answer:
    spent, question = data.results.cost, "What did it cost?"
    said = [labels_and_hours(spent, data.world == "hamlet"), _pay(spent)] if spent else []
    said.append(f"Machines: {time(data.results.seconds)}.")
    paid, tax = data.results.tax_paid.get(subject(data.results) or ""), _tax(data.results)
    if paid is None:
        said.append("Skills lost since base (the tax): not measured.")
    else:
        said.append(f"Skills lost since base (the tax): {tax.value} ({tax.interval}), {tax.meaning}.")
    short = f"{spent.labels:,} labels" if spent and spent.labels else time(data.results.seconds)
    return Answer(question, short, " ".join(said))


def labels_and_hours(spent: Cost, simulated: bool = False) -> str:
    if not spent.labels:
        return "Labels: none."
    kinds = listed([plural(work.labels, kind.removesuffix("s")) for kind, work in spent.work.items()])
    people = sum(spent.labelers.values())
    by = f" by {plural(people, 'simulated labeler' if simulated else 'labeler')}" if people else ""
    if not spent.timed:
        return f"{kinds}{by}; how long they took is not recorded."
    whose = "their simulated time" if simulated else "their time"
    part = "" if spent.timed == spent.labels else f", as {spent.timed:,} of the labels tell"
    return f"{kinds}{by}; {spent.hours:,.1f} hours of {whose}{part}."


def _pay(spent: Cost) -> str:
    if spent.paid is None:
        return "Pay: not recorded."
    return f"Pay: {spent.paid.amount:,.2f} for {spent.paid.hours:,.1f} hours of work until {spent.paid.until}."


def time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds / 60:.1f} minutes"


# What stands before and after them


def alerts(data: ReportData) -> list[str]:
    """What a reader must know before any number: labels that mean nothing, gates that failed."""
    found = []
    agreement = data.results.agreement
    if agreement is not None and _unclear(agreement):
        found.append(
            f"It is not shown that labelers agree better than chance: {span(agreement)} of pairs, where guessing would "
            f"reach {percent(agreement.chance)}. Until it is, what was learned from these rankings may be noise, and "
            "the win rates that people gave may be, too. More prompts ranked by two people would tell."
        )
    elif agreement is not None and agreement.word != "above chance":
        found.append(
            f"The labelers agree no better than chance: {span(agreement)} of pairs, where guessing would reach "
            f"{percent(agreement.chance)}. Whatever was learned from these rankings is noise, "
            "and the win rates that people gave mean nothing either. Mend the labels first."
        )
    failed = [gate for gate in data.gates if not gate.passed]
    if failed:
        found.append(
            f"{len(failed)} of {len(data.gates)} gates failed. What was trained after that may be worth less than it "
            "could be; what people said of it they said all the same. "
            + " ".join(f"Not met: {gate.question} Needed {gate.needed}, found {gate.found}." for gate in failed)
        )
    return found

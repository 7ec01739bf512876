"""What came of the walk: every number from the files that it left, as results.json and as the report."""

from dataclasses import dataclass
from pathlib import Path

from biddable import __version__
from biddable.hamlet import truth
from biddable.measure import metadata, reward, tax, winrate
from biddable.measure.agreement import Agreement, agreement
from biddable.measure.frontier import Curve, curve
from biddable.measure.interval import Interval
from biddable.measure.preference import Asked, preference
from biddable.measure.preference import Evidence as Judging
from biddable.measure.report import write_report
from biddable.measure.results import (
    Counts,
    FigureName,
    Gate,
    ReportData,
    Results,
    Sample,
    Source,
    source,
    write_results,
)
from biddable.quickstart.gates import ceiling, of
from biddable.records import (
    Completion,
    Demonstration,
    Group,
    Item,
    Judgement,
    Labeler,
    Likelihood,
    Prompt,
    Ranking,
    Score,
    Verdict,
)  # fmt: skip
from biddable.runs import read_metrics

MODELS = ("base", "sft", "ppo", "ppo_ptx")
VERSUS = (("sft", "base"), ("ppo_ptx", "sft"), ("ppo_ptx", "base"), ("ppo", "sft"))
ROAD = (
    "Their labels went straight into the store, through the functions that the labeling app calls too, and not over "
    "HTTP; “biddable hamlet people --url” sends the same people to work in the app."
)
SAMPLES = 12  # shown side by side in the report


@dataclass(frozen=True)
class Evidence:
    """Where everything lies, and what only the walk itself knows."""

    out: Path
    seed: int
    files: Path
    runs: Path
    models: dict[str, Path]
    gates: tuple[Gate, ...]
    seconds: float


def report(evidence: Evidence) -> Results:
    """Count, write results.json, write report.html."""
    files, runs = evidence.files, evidence.runs
    verdicts = of(Verdict, files / "verdicts.jsonl")
    judgements = of(Judgement, files / "judgements.jsonl")
    tested = {prompt.id: prompt for prompt in of(Prompt, files / "tested.jsonl")}
    answers = of(Completion, runs / "final" / "completions.jsonl")
    model_of = winrate.models_of(answers)
    rates = metadata.rates(judgements, answers, model_of)
    rates["refusal"] = _refusals(tested, answers)
    checked = of(Ranking, files / "rankings-valid.jsonl")
    groups = {person.id: person.group for person in of(Labeler, files / "rankings-valid.jsonl")}
    items, likely = of(Item, files / "items.jsonl"), of(Likelihood, runs / "tax" / "likelihoods.jsonl")
    tasks = tax.scores(items, likely, {name: name for name in MODELS}, rule="sampled")
    scores = of(Score, runs / "scores" / "scores.jsonl")

    results = Results(
        seconds=round(evidence.seconds, 1),
        models={name: str(place) for name, place in evidence.models.items()},
        gold_win_rate={
            f"{one}_vs_{other}": winrate.win_rate(verdicts, model_of, one, other, judge="gold") for one, other in VERSUS
        },
        human_win_rate={
            f"{one}_vs_{other}": winrate.win_rate(verdicts, model_of, one, other, judge="person")
            for one, other in VERSUS
        },
        agreement=agreement(checked, groups=groups, between=("training", "training")),
        reward_accuracy=_accuracies(scores, checked, groups),
        tax={name: tasks[name].mean for name in MODELS},
        hallucination=rates.get("hallucination", {}),
        toxicity=rates.get("toxicity", {}),
        preference=preference(
            Judging(verdicts, model_of, answers, tested, groups, judgements),
            lambda model: (MODELS.index(model), model),
            Asked(),
        ),
    )
    data = ReportData(
        results=results,
        world="hamlet",
        seed=evidence.seed,
        version=__version__,
        counts=_counts(files, groups, judgements, verdicts),
        road=ROAD,
        agreements=_agreements(checked, groups),
        reward_ceiling=ceiling(files / "rankings-valid.jsonl"),
        calibration=reward.calibration(reward.margins(scores, checked)),
        tasks=tasks,
        repair=tax.repair(items, likely, "base", "ppo", "ppo_ptx", rule="sampled"),
        tax_rule="sampled",
        rates=rates,
        curves=tuple(_curve(runs, name) for name in ("ppo", "ppo_ptx")),
        samples=tuple(_samples(tested, answers)),
        gates=evidence.gates,
        sources=_sources(evidence.out, runs),
    )
    write_report(data, evidence.out / "report.html")
    write_results(results, evidence.out / "results.json")
    return results


def _accuracies(scores: list[Score], rankings: list[Ranking], groups: dict[str, Group]) -> dict:
    named: dict[str, Group] = {"train_labelers": "training", "held_out_labelers": "held_out"}
    return {key: reward.accuracy(reward.margins(scores, rankings, groups, group)) for key, group in named.items()}


def _agreements(rankings: list[Ranking], groups: dict[str, Group]) -> dict[str, Agreement]:
    met: dict[str, tuple[Group, Group]] = {
        "training labelers": ("training", "training"),
        "held-out labelers": ("held_out", "held_out"),
        "training and held-out": ("training", "held_out"),
    }
    return {name: agreement(rankings, groups=groups, between=pair) for name, pair in met.items()}


def _refusals(prompts: dict[str, Prompt], answers: list[Completion]) -> dict[str, Interval]:
    """Table 3 does not ask about refusals, so the answers are read."""
    found = {}
    for name in MODELS:
        own = [answer for answer in answers if answer.run_id == name]
        rate = metadata.share(own, lambda c: truth.marks(prompts[c.prompt_id].text, c.text, c.finished).refuses)
        if rate is not None:
            found[name] = rate
    return found


def _counts(files: Path, groups: dict, judgements: list, verdicts: list) -> Counts:
    return Counts(
        prompts=len(of(Prompt, files / "prompts.jsonl")),
        labelers=len(groups),
        demonstrations=len(of(Demonstration, files / "demos.jsonl")),
        rankings=len(of(Ranking, files / "rankings.jsonl")),
        judgements=len(judgements),
        verdicts=sum(verdict.judge == "person" for verdict in verdicts),
    )


def _curve(runs: Path, name: str) -> Curve:
    return curve(read_metrics(runs / name), model=name, run=name)


def _samples(prompts: dict[str, Prompt], answers: list[Completion]) -> list[Sample]:
    """The first prompts of the test split, whatever became of them: nobody chose them."""
    by_prompt: dict[str, dict[str, Completion]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt_id, {})[answer.run_id] = answer
    made = []
    for name in list(prompts)[:SAMPLES]:
        prompt, own = prompts[name], by_prompt[name]
        made.append(Sample(
            prompt=prompt.text,
            use_case=prompt.use_case,
            answers={model: own[model].text for model in MODELS},
            worth={model: truth.utility(prompt.text, own[model].text, own[model].finished) for model in MODELS},
        ))  # fmt: skip
    return made


def _sources(out: Path, runs: Path) -> dict[FigureName, tuple[Source, ...]]:
    """Which runs a figure's numbers come from."""
    used: dict[FigureName, tuple[str, ...]] = {
        "preference": ("final",),
        "labels": ("answers-sft", "answers-start", "answers-base", "scores"),
        "calibration": ("scores",),
        "training": ("ppo", "ppo_ptx"),
        "behaviour": ("final",),
        "tax": ("tax",),
        "samples": ("final",),
    }
    return {figure: tuple(source(runs / name, out) for name in names) for figure, names in used.items()}

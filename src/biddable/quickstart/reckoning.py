"""What came of the walk: every number from the files that it left, as results.json and as the report."""

from dataclasses import dataclass
from pathlib import Path

from biddable import __version__
from biddable.hamlet import truth
from biddable.lineage import Tracks
from biddable.measure import metadata, reward, tax, winrate
from biddable.measure.agreed import agreed, alone
from biddable.measure.agreement import agreement, agreement_if_any, of_two
from biddable.measure.card import NAME, write_card
from biddable.measure.cost import cost
from biddable.measure.counting import MeasureConfig, machine, name_of_run, place
from biddable.measure.curves import curve
from biddable.measure.in_short import subject
from biddable.measure.interval import Interval
from biddable.measure.preference import Asked, preference
from biddable.measure.preference import Evidence as Judging
from biddable.measure.report import write_report
from biddable.measure.results import (
    COUNTED_FROM,
    Counts,
    FigureName,
    Gate,
    ReportData,
    Results,
    Sample,
    Source,
    among,
    data_text,
    narrowed,
    source,
    source_of,
    write_results,
)
from biddable.quickstart.gates import ceiling, of
from biddable.records import (
    Completion,
    Demonstration,
    Group,
    Item,
    Judge,
    Judgement,
    Labeler,
    Likelihood,
    Prompt,
    Ranking,
    Score,
    Verdict,
)  # fmt: skip
from biddable.runs import MANIFEST, METRICS, Run, read_manifest, read_metrics, start, write_aside

MODELS = ("base", "sft", "ppo", "ppo_ptx")
TRAINED = ("ppo", "ppo_ptx")  # whose curves are shown
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
    rejected: int | None = None  # candidates who were not hired


def report(evidence: Evidence) -> ReportData:
    """Count, and write results.json, report.html and the model card. The counting is a run like any other, so that each
    number leads back to the files that it was counted from."""
    files, made = evidence.files, evidence.runs
    inputs = {
        "verdicts": files / "verdicts.jsonl",
        "judgements": files / "judgements.jsonl",
        "tested": files / "tested.jsonl",
        "completions": made / "final" / "completions.jsonl",
        "rankings": files / "rankings-valid.jsonl",
        "scores": made / "scores" / "scores.jsonl",
        "items": files / "items.jsonl",
        "likelihoods": made / "tax" / "likelihoods.jsonl",
        "demos": files / "demos.jsonl",
        "demos-valid": files / "demos-valid.jsonl",
        "rankings-train": files / "rankings.jsonl",
        "prompts": files / "prompts.jsonl",
        **{f"{name} metrics": made / name / METRICS for name in TRAINED},
    }
    settings = MeasureConfig(split="test")
    folder = made / name_of_run(inputs, settings)
    with start(folder, "measure", settings, inputs, 0) as run:
        read = _read(inputs)
        data = _data(evidence, run, inputs, read, _results(evidence, inputs, read))
        write_results(data.results, run.output("results", folder / "results.json"))
        write_aside(run.output("data", folder / "report.json"), data_text(data))
    write_report(data, evidence.out / "report.html")
    write_results(data.results, evidence.out / "results.json")
    tracks = Tracks.below(made, evidence.out)
    if (trained := tracks.run(subject(data.results) or "")) is not None:
        write_card(tracks, trained, tracks.run(folder.name), evidence.out / NAME)
    return data


@dataclass(frozen=True)
class _Read:
    """What more than one number is counted from."""

    verdicts: list[Verdict]
    judgements: list[Judgement]
    tested: dict[str, Prompt]
    answers: list[Completion]
    checked: list[Ranking]
    groups: dict[str, Group]
    scores: list[Score]
    items: list[Item]
    likely: list[Likelihood]
    rates: dict[str, dict[str, Interval]]
    tasks: dict[str, tax.TaskScores]


def _read(inputs: dict[str, Path]) -> _Read:
    judgements, answers = of(Judgement, inputs["judgements"]), of(Completion, inputs["completions"])
    tested = {prompt.id: prompt for prompt in of(Prompt, inputs["tested"])}
    rates = metadata.rates(judgements, answers, winrate.models_of(answers))
    items, likely = of(Item, inputs["items"]), of(Likelihood, inputs["likelihoods"])
    return _Read(
        verdicts=of(Verdict, inputs["verdicts"]),
        judgements=judgements,
        tested=tested,
        answers=answers,
        checked=of(Ranking, inputs["rankings"]),
        groups={person.id: person.group for person in of(Labeler, inputs["rankings"])},
        scores=of(Score, inputs["scores"]),
        items=items,
        likely=likely,
        rates={**rates, "refusal": _refusals(tested, answers)},
        tasks=tax.scores(items, likely, {name: name for name in MODELS}, rule="sampled"),
    )


def _results(evidence: Evidence, inputs: dict[str, Path], read: _Read) -> Results:
    model_of = winrate.models_of(read.answers)
    return Results(
        seconds=round(evidence.seconds, 1),
        models={name: str(place) for name, place in evidence.models.items()},
        gold_win_rate=_wins(read.verdicts, model_of, "gold"),
        human_win_rate=_wins(read.verdicts, model_of, "person"),
        agreement=agreement(read.checked, groups=read.groups, between=("training", "training")),
        agreements=tuple(agreed(read.checked, read.groups)),
        alone=alone(read.checked, read.groups),
        verdict_agreement=agreement_if_any(of_two(read.verdicts)),
        reward_accuracy=_accuracies(read.scores, read.checked, read.groups),
        tax={name: read.tasks[name].mean for name in MODELS},
        hallucination=read.rates.get("hallucination", {}),
        toxicity=read.rates.get("toxicity", {}),
        preference=preference(
            Judging(read.verdicts, model_of, read.answers, read.tested, read.groups, read.judgements),
            place,
            Asked(),
        ),
        tax_paid=tax.paid(read.items, read.likely, MODELS, rule="sampled"),
        cost=cost(inputs[name] for name in among(inputs, COUNTED_FROM["cost"])),
    )


def _wins(verdicts: list[Verdict], model_of: dict[str, str], judge: Judge) -> dict[str, Interval]:
    return {f"{one}_vs_{other}": winrate.win_rate(verdicts, model_of, one, other, judge) for one, other in VERSUS}


def _data(evidence: Evidence, run: Run, inputs: dict[str, Path], read: _Read, results: Results) -> ReportData:
    here = read_manifest(run.folder)
    made = [read_manifest(folder.parent) for folder in evidence.runs.glob(f"*/{MANIFEST}")]
    return ReportData(
        results=results,
        world="hamlet",
        made=f"{here.started.day} {here.started:%B %Y}",
        seed=evidence.seed,
        version=__version__,
        counts=_counts(inputs, read),
        road=ROAD,
        reward_ceiling=ceiling(inputs["rankings"]),
        calibration=reward.calibration(reward.margins(read.scores, read.checked)),
        tasks=read.tasks,
        repair=tax.repair(read.items, read.likely, "base", "ppo", "ppo_ptx", rule="sampled"),
        tax_rule="sampled",
        rates=read.rates,
        curves=tuple(curve(read_metrics(evidence.runs / name), model=name, run=name) for name in TRAINED),
        samples=tuple(_samples(read.tested, read.answers)),
        gates=evidence.gates,
        sources=_sources(evidence, source_of(here, run.folder, evidence.out)),
        screened_out=evidence.rejected,
        machine=machine(made),
        cores=here.environment.cpus,
    )


def _accuracies(scores: list[Score], rankings: list[Ranking], groups: dict[str, Group]) -> dict:
    named: dict[str, Group] = {"train_labelers": "training", "held_out_labelers": "held_out"}
    return {key: reward.accuracy(reward.margins(scores, rankings, groups, group)) for key, group in named.items()}


def _refusals(prompts: dict[str, Prompt], answers: list[Completion]) -> dict[str, Interval]:
    """Table 3 does not ask about refusals, so the answers are read."""
    found = {}
    for name in MODELS:
        own = [answer for answer in answers if answer.run_id == name]
        rate = metadata.share(own, lambda c: truth.marks(prompts[c.prompt_id].text, c.text, c.finished).refuses)
        if rate is not None:
            found[name] = rate
    return found


def _counts(inputs: dict[str, Path], read: _Read) -> Counts:
    return Counts(
        prompts=len(of(Prompt, inputs["prompts"])),
        labelers=len(read.groups),
        demonstrations=len(of(Demonstration, inputs["demos"])),
        rankings=len(of(Ranking, inputs["rankings-train"])),
        judgements=len(read.judgements),
        verdicts=sum(verdict.judge == "person" for verdict in read.verdicts),
    )


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


def _sources(evidence: Evidence, whole: Source) -> dict[FigureName, tuple[Source, ...]]:
    """The measurement, and of what was trained or asked for a figure the runs themselves."""
    own: tuple[FigureName, ...] = ("preference", "labels", "calibration", "behaviour", "tax", "samples")
    trained = tuple(source(evidence.runs / name, evidence.out) for name in TRAINED)
    roads: dict[FigureName, tuple[Source, ...]] = {figure: (narrowed(whole, figure),) for figure in own}
    return {**roads, "training": trained}

"""From the store's labels to numbers and their page: `measure` and `report`."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import Field

from biddable import __version__, config, records, runs
from biddable.cli import project
from biddable.cli.people import Split, What, take
from biddable.cli.project import Project, say
from biddable.cli.sampling import AT
from biddable.config import ConfigError, Settings
from biddable.records import (
    AnyRecord,
    Completion,
    Group,
    Item,
    Judgement,
    Labeler,
    Likelihood,
    Prompt,
    Ranking,
    Record,
    Score,
    Verdict,
)

if TYPE_CHECKING:
    from biddable.measure.preference import Preference
    from biddable.measure.results import FigureName, ReportData, Results
    from biddable.measure.reward import Calibration, Doubt

R = TypeVar("R", bound=Record)
LOOP_ORDER = ("base", "sft", "ppo", "ppo_ptx")
SHOWN_SAMPLES = 8
BENCHMARKS = ("benchmarks", "marks")  # files of `evaluate` and `mark`


class MeasureConfig(Settings):
    split: Split
    baseline: str | None = Field(None, description="the others are held against it; SFT, or the first of the loop")
    each: int = Field(1, ge=1, description="verdicts that a prompt gets by plan: it enters the looks when it has them")
    half: float = Field(0.03, gt=0, lt=0.5, description="half-width of a win rate that is wanted")
    power: float = Field(0.8, gt=0.5, lt=1, description="chance to find the difference that was seen")


def measure(
    split: Annotated[Split, typer.Option(help="Labels on whose prompts are counted.")] = "test",
    baseline: Annotated[str | None, typer.Option(help="The model that all others are held against.")] = None,
    each: Annotated[int, typer.Option(min=1, help="Verdicts that a prompt gets by plan, before looks count it.")] = 1,
    within: Annotated[float, typer.Option(help="Points that a win rate should be known to, such as 0.03.")] = 0.03,
    owners: Annotated[
        Path | None, typer.Option(help="CSV of owner,group: win rates by whose prompts they are.")
    ] = None,
) -> None:
    """Count what people said: win rates with intervals, agreement, reward-model accuracy, rates of faults, the tax.

    Example: `biddable measure --split test`
    """
    here = project.find()
    settings = config.load(MeasureConfig, [f"split={split}", f"each={each}", f"half={within}"])
    settings = settings.model_copy(update={"baseline": baseline})
    inputs = evidence(here, split) | ({"owners": owners} if owners else {})
    groups_of_owners(owners)  # a fault in it is told before anything is counted
    # Other labels make another measurement, so its name follows from what went in.
    # As before, where nothing but the split was said.
    said = settings.model_dump(exclude_defaults=True, exclude={"split"})
    name = records.digest(
        split,
        *([json.dumps(said)] if said else []),
        *(f"{key} {runs.artifact(path).sha256}" for key, path in sorted(inputs.items())),
    )
    folder = here.runs / f"measure-{name[:8]}"
    if not runs.finished(folder, "measure", settings, inputs, 0):
        with runs.start(folder, "measure", settings, inputs, 0) as run:
            from biddable.measure.results import write_results

            data = assemble(here, run.id, folder, inputs, settings)
            write_results(data.results, run.output("results", folder / "results.json"))
            runs.write_aside(run.output("data", folder / "report.json"), data.model_dump_json(indent=2) + "\n")
    _tell(folder / "results.json")
    say(f"{folder}: these and more numbers; next: biddable report")


def report(
    out: Annotated[Path | None, typer.Option(help="The page; report.html in the project when not said.")] = None,
) -> None:
    """Write the latest measurement as one self-contained page with every figure.

    Example: `biddable report --out report.html`
    """
    from biddable.measure.report import write_report
    from biddable.measure.results import ReportData

    here = project.find()
    measured = [path for path in here.runs.glob("measure-*/report.json") if _status(path.parent) == "done"]
    if not measured:
        raise ConfigError(f"{here.runs}: nothing is measured yet; say first: biddable measure")
    latest = max(measured, key=lambda path: runs.read_manifest(path.parent).started)
    data = ReportData.model_validate_json(latest.read_bytes())
    page = write_report(data, out or here.root / "report.html")
    say(f"{page}: the report of {latest.parent}")


def evidence(here: Project, split: Split) -> dict[str, Path]:
    """Snapshots of what people said, and what the machines left: scores, likelihoods and training metrics."""
    chosen = None if split == "all" else split
    with project.open_store(here) as store:
        said: dict[What, object] = {
            "verdicts": next(store.verdicts(chosen), None),
            "judgements": next(store.judgements(chosen), None),
            "rankings": next(store.rankings(), None),
        }
    there = [what for what, first in said.items() if first is not None]
    judged = [path for path in here.runs.glob("judge-*/verdicts.jsonl") if _on(path, split)]
    written = [*here.runs.glob("evaluate-*/benchmarks.jsonl"), *here.runs.glob("*/marks.jsonl")]
    if not (there or judged or written):
        raise ConfigError(
            f"{here.store}: no verdicts or judgements on {split} prompts, rankings or benchmarks: nothing to measure"
        )
    # Agreement is a matter of all who ranked, on whichever prompts.
    found = {what: take(here, what, "all" if what == "rankings" else split, "all") for what in there}
    left = [*judged, *here.runs.glob("score-*/scored.jsonl"), *written]
    left += [*here.runs.glob("*/scores.jsonl"), *here.runs.glob("weigh-*/likelihoods.jsonl"), *_training(here)]
    done = [path for path in sorted(left) if _status(path.parent) == "done"]
    return {str(what): path for what, path in found.items()} | {
        f"{path.parent.name} {path.stem}": path for path in done
    }


def _on(verdicts: Path, split: Split) -> bool:
    """Whether a judge was asked about prompts of this split."""
    return split == "all" or any(isinstance(one, Prompt) and one.split == split for one in records.read(verdicts))


def assemble(
    here: Project, run_id: str, folder: Path, inputs: Mapping[str, Path], settings: MeasureConfig
) -> "ReportData":
    """Everything that the page shows, counted from files alone."""
    from biddable.measure.forgotten import reckon
    from biddable.measure.frontier import curve
    from biddable.measure.metadata import rates
    from biddable.measure.results import Counts, ReportData, Sample, Source, source
    from biddable.measure.winrate import models_of

    apart = {
        name for name, path in inputs.items() if path.stem in ("metrics", "scored", *BENCHMARKS) or name == "owners"
    }
    pool = {record for name, path in inputs.items() if name not in apart for record in records.read(path)}
    completions = {c.id: c for c in _of(Completion, pool)}
    models = models_of(completions.values(), {c.run_id: c.run_id.partition(AT)[0] for c in completions.values()})
    items, written = _of(Item, pool), [path for path in inputs.values() if path.stem in BENCHMARKS]
    asked = reckon(written, items, _of(Likelihood, pool), _place)
    more = {
        "tax": {model: task.mean for model, task in asked.tasks.items()}, "repair": asked.repair,
        "benchmarks": asked.scored, "preference": _preference(pool, models, inputs, settings),
    }  # fmt: skip
    results = numbers(here, pool, models).model_copy(update=more)
    training = [path.parent for path in inputs.values() if path.stem == "metrics"]
    prompts = {p.id: p for p in _of(Prompt, pool)}
    judgements = _of(Judgement, pool)
    answers: dict[str, dict[str, str]] = {}
    for verdict in _of(Verdict, pool):
        for name in (verdict.a, verdict.b):
            answers.setdefault(verdict.prompt_id, {})[models[name]] = completions[name].text
    hashes = {name: runs.artifact(path).sha256 for name, path in inputs.items()}
    own = (Source(run=run_id, folder=folder.name, inputs=hashes),)
    own_figures: tuple[FigureName, ...] = (
        "preference",
        "labels",
        "calibration",
        "behaviour",
        "tax",
        "benchmarks",
        "samples",
    )
    roads: dict[FigureName, tuple[Source, ...]] = {
        "training": tuple(source(run, here.root) for run in training),
        **dict.fromkeys(own_figures, own),
    }
    return ReportData(
        results=results,
        world="real",
        version=__version__,
        counts=Counts(
            prompts=len(prompts),
            labelers=len(_of(Labeler, pool)),
            rankings=len(_of(Ranking, pool)),
            judgements=len(judgements),
            verdicts=len(_of(Verdict, pool)),
        ),
        calibration=_calibration(pool),
        doubt=_doubt(pool),
        tasks=asked.tasks,
        repair=asked.repair,
        rates=rates(judgements, completions.values(), models),
        curves=tuple(curve(runs.read_metrics(run), run.name, run.name) for run in training),
        samples=tuple(
            Sample(prompt=prompts[name].whole, answers=told, use_case=prompts[name].use_case)
            for name, told in sorted(answers.items())[:SHOWN_SAMPLES]
        ),
        sources=roads,
    )


def numbers(here: Project, pool: set[AnyRecord], models: Mapping[str, str]) -> "Results":
    """results.json of a real project: nothing in it is gold, since nobody knows the truth."""
    from biddable.measure.agreement import agreement_if_any
    from biddable.measure.metadata import rates
    from biddable.measure.results import Results
    from biddable.measure.winrate import win_rate

    verdicts = _of(Verdict, pool)
    behaviour = rates(_of(Judgement, pool), _of(Completion, pool), models)
    people = [v for v in verdicts if v.judge == "person"]
    met = {tuple(sorted({models[v.a], models[v.b]}, key=_place)) for v in people}
    manifests = [runs.read_manifest(path.parent) for path in here.runs.glob(f"*/{runs.MANIFEST}")]
    return Results(
        seconds=sum(manifest.seconds for manifest in manifests),
        models={m.id: str(here.runs / m.id / "model") for m in manifests if "model" in m.outputs},
        human_win_rate={
            f"{later}_vs_{first}": win_rate(people, models, later, first)
            for first, later in (pair for pair in met if len(pair) == 2)
        },
        agreement=agreement_if_any(_of(Ranking, pool)),
        reward_accuracy=_accuracy(pool),
        hallucination=behaviour.get("hallucination", {}),
        toxicity=behaviour.get("toxicity", {}),
    )


def _preference(
    pool: set[AnyRecord], models: Mapping[str, str], inputs: Mapping[str, Path], settings: MeasureConfig
) -> "Preference | None":
    """Who is preferred, by everybody who was asked; None where nobody compared two models."""
    from biddable.measure.judges import Tally
    from biddable.measure.preference import Asked, Evidence, preference

    prompts = {p.id: p for p in _of(Prompt, pool)}
    # A judge may have been asked about other prompts too.
    verdicts = [v for v in _of(Verdict, pool) if settings.split in ("all", prompts[v.prompt_id].split)]
    compared = {models[c] for v in verdicts for c in (v.a, v.b) if c in models}
    if settings.baseline is not None and settings.baseline not in compared:
        raise ConfigError(f"--baseline {settings.baseline}: nobody compared it; compared were: {_listed(compared)}")
    beside = [path.parent / "tally.json" for path in inputs.values() if path.name == "verdicts.jsonl"]
    tallies = [Tally.model_validate_json(path.read_bytes()) for path in beside if path.is_file()]
    found = Evidence(
        verdicts,
        models,
        _of(Completion, pool),
        prompts,
        {labeler.id: labeler.group for labeler in _of(Labeler, pool)},
        _of(Judgement, pool),
        [s for path in inputs.values() if path.stem == "scored" for s in records.read(path) if isinstance(s, Score)],
        {tally.judge: tally for tally in sorted(tallies, key=lambda tally: tally.asked)},
        groups_of_owners(inputs.get("owners")),
    )
    if not verdicts:
        return None
    asked = Asked(baseline=settings.baseline, each=settings.each, half=settings.half, power=settings.power)
    return preference(found, _place, asked)


def groups_of_owners(path: Path | None) -> dict[str, str]:
    """Owner of prompts → group, of a CSV with these two columns."""
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise ConfigError(f"{path}, row {number}: is not owner,group")
    return {owner.strip(): group.strip() for owner, group in rows if (owner, group) != ("owner", "group")}


def _listed(models: set[str]) -> str:
    return ", ".join(sorted(models, key=_place)) or "none"


def _tell(path: Path) -> None:
    """The numbers that a person wants at once."""
    from biddable.measure.captions import UNMEASURED, span
    from biddable.measure.results import Results

    results = Results.model_validate_json(path.read_bytes())
    rates = {
        **{key.replace("_", " "): rate for key, rate in results.human_win_rate.items()},
        **({"labelers agree": results.agreement} if results.agreement else {}),
        **{f"reward model, {key.replace('_', ' ')}": rate for key, rate in results.reward_accuracy.items()},
        **{f"hallucination, {model}": rate for model, rate in results.hallucination.items()},
        **{f"toxicity, {model}": rate for model, rate in results.toxicity.items()},
        **{f"benchmarks, {model}": rate for model, rate in results.tax.items()},
    }
    for what, rate in rates.items():
        say(f"{what}: {span(rate)}")
    if results.agreement is None:
        say(f"labelers agree: {UNMEASURED}")
    if results.preference is not None:
        from biddable.measure.preferred import in_short

        for line in in_short(results.preference):
            say(line)


def _of(kind: type[R], pool: set[AnyRecord]) -> list[R]:
    found = [record for record in pool if isinstance(record, kind)]
    return sorted(found, key=records.to_line)


def _place(model: str) -> tuple[int, str]:
    return (LOOP_ORDER.index(model) if model in LOOP_ORDER else len(LOOP_ORDER), model)


def _training(here: Project) -> list[Path]:
    return [path for path in here.runs.glob(f"*/{runs.METRICS}") if runs.read_manifest(path.parent).kind == "ppo"]


def _status(folder: Path) -> str:
    return runs.read_manifest(folder).status if (folder / runs.MANIFEST).is_file() else "no run"


def _accuracy(pool: set[AnyRecord]) -> dict:
    """Of the reward model on rankings that it did not learn from, by who ranked."""
    from biddable.measure.reward import accuracy, margins

    scores, rankings = _judged(pool)
    groups = {labeler.id: labeler.group for labeler in _of(Labeler, pool)}
    who: dict[str, Group] = {"train_labelers": "training", "held_out_labelers": "held_out"}
    ranked_by = {groups[ranking.labeler] for ranking in rankings if _pairs(ranking)}
    return {key: accuracy(margins(scores, rankings, groups, group)) for key, group in who.items() if group in ranked_by}


def _calibration(pool: set[AnyRecord]) -> "Calibration | None":
    from biddable.measure.reward import calibration, margins

    scores, rankings = _judged(pool)
    return calibration(margins(scores, rankings)) if any(_pairs(ranking) for ranking in rankings) else None


def _doubt(pool: set[AnyRecord]) -> "Doubt | None":
    """What an ensemble's spread knows; None of a lone head, or where every pair was foreseen rightly."""
    from biddable.measure.reward import doubt, margins

    scores, rankings = _judged(pool)
    found = margins(scores, rankings) if any(_pairs(ranking) for ranking in rankings) else None
    told = found is not None and found.spread_N is not None and 0 < (found.margin_N > 0).mean() < 1
    return doubt(found) if found is not None and told else None


def _judged(pool: set[AnyRecord]) -> tuple[list[Score], list[Ranking]]:
    """One reward model's scores, and the rankings outside the train split that it has scored in full."""
    scores = _of(Score, pool)
    judges = {score.run_id for score in scores}
    judge = "reward" if "reward" in judges else max(judges, default="")
    value = {score.completion_id: score for score in scores if score.run_id == judge}
    seen = {prompt.id for prompt in _of(Prompt, pool) if prompt.split in (None, "train")}
    held = [r for r in _of(Ranking, pool) if r.prompt_id not in seen and value.keys() >= r.ranks.keys()]
    return list(value.values()), held


def _pairs(ranking: Ranking) -> bool:
    return len(ranking.order) > 1

"""From the files of a project to all that its report shows. What is counted follows from the files alone."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field

from biddable import __version__, records, runs
from biddable.benchmarks.nouns import AT
from biddable.config import ConfigError, Settings
from biddable.measure.agreed import agreed, alone
from biddable.measure.agreement import agreement_if_any, of_two
from biddable.measure.cost import Paid, cost
from biddable.measure.curves import curve
from biddable.measure.followed import followed
from biddable.measure.forgotten import Reckoning, reckon
from biddable.measure.judges import Tally
from biddable.measure.metadata import rates
from biddable.measure.overoptimised import Followed
from biddable.measure.preference import Asked, Evidence, Preference, preference
from biddable.measure.results import (
    COUNTED_FROM,
    LEARNT,
    NAMES,
    TITLE,
    Counts,
    FigureName,
    Rates,
    ReportData,
    Results,
    Sample,
    Source,
    World,
    among,
    narrowed,
    source,
    source_of,
)
from biddable.measure.reward import Calibration, Doubt, Folds, accuracy, calibration, doubt, margins
from biddable.measure.weighted import by_lot
from biddable.measure.winrate import models_of, win_rate
from biddable.provenance import artifact
from biddable.records import (
    AnyRecord,
    Completion,
    Demonstration,
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

R = TypeVar("R", bound=Record)
SHOWN_SAMPLES = 8
EDITION = "4"  # to be raised where the same files come to other numbers: projects then count anew
BENCHMARKS = ("benchmarks", "marks")  # files of `evaluate` and `mark`
# Inputs that are not pooled with what people said.
APART = ("metrics", "scored", "demos", "folds", "followed", *BENCHMARKS)


class MeasureConfig(Settings):
    split: Literal["train", "valid", "test", "all"]
    baseline: str | None = Field(None, description="the others are held against it; SFT, or the first of the loop")
    each: int = Field(1, ge=1, description="verdicts that a prompt gets by plan: it enters the looks when it has them")
    half: float = Field(0.03, gt=0, lt=0.5, description="half-width of a win rate that is wanted")
    power: float = Field(0.8, gt=0.5, lt=1, description="chance to find the difference that was seen")


class Ground(NamedTuple):
    """What is counted, and where it lies."""

    runs: Path
    root: Path
    inputs: Mapping[str, Path]
    settings: MeasureConfig
    world: World = "real"
    paid: Paid | None = None


def count(run: runs.Run, ground: Ground) -> ReportData:
    """Everything that the page shows."""
    pool = {record for name, path in ground.inputs.items() if not _apart(name, path) for record in records.read(path)}
    completions = {c.id: c for c in of(Completion, pool)}
    models = models_of(completions.values(), {c.run_id: c.run_id.partition(AT)[0] for c in completions.values()})
    written = [path for path in ground.inputs.values() if path.stem in BENCHMARKS]
    asked = reckon(written, of(Item, pool), of(Likelihood, pool), order_of(ground.settings))
    made = [runs.read_manifest(path.parent) for path in ground.runs.glob(f"*/{runs.MANIFEST}")]
    prompts = {p.id: p for p in of(Prompt, pool)}
    spent = cost([ground.inputs[name] for name in among(ground.inputs, COUNTED_FROM["cost"])], ground.paid)
    here = runs.read_manifest(run.folder)
    behaviour = rates(of(Judgement, pool), of(Completion, pool), models)
    return ReportData(
        results=_numbers(ground, made, pool, models, asked, behaviour).model_copy(update={"cost": spent}),
        world=ground.world,
        title=TITLE if any(one.kind in LEARNT for one in made) else "What people prefer",
        made=f"{here.started.day} {here.started:%B %Y}",
        version=__version__,
        counts=_counts(pool, ground.inputs.get("demos"), sum(spent.labelers.values())),
        calibration=_calibration(pool),
        doubt=_doubt(pool),
        tasks=asked.tasks,
        repair=asked.repair,
        rates=behaviour,
        curves=tuple(curve(runs.read_metrics(one), one.name, one.name) for one in _trained(ground)),
        samples=tuple(_samples(pool, prompts, completions, models)),
        sources=_sources(source_of(here, run.folder, ground.root), ground),
        machine=machine(made),
        cores=max((one.environment.cpus for one in made), default=None),
    )


def _apart(name: str, path: Path) -> bool:
    return path.stem in APART or name in ("owners", "demos")


def machine(made: Sequence[runs.RunManifest]) -> dict[str, float]:
    """Seconds of the runs by what they did; counting costs little, and would never be the same twice."""
    spent: dict[str, float] = {}
    for one in sorted(made, key=lambda one: one.started):
        if one.kind not in ("measure", "export", "gather"):
            spent[one.kind] = round(spent.get(one.kind, 0.0) + one.seconds, 1)
    return spent


def _counts(pool: set[AnyRecord], demos: Path | None, labelers: int) -> Counts:
    """Of what was written and ranked, only what a model may have learned from: the rest was held out to watch it."""
    wrote = set(records.read(demos)) if demos is not None else set[AnyRecord]()
    return Counts(
        prompts=len(of(Prompt, pool)),
        labelers=labelers,
        demonstrations=_learned(Demonstration, wrote) or None,
        rankings=_learned(Ranking, pool) or None,
        judgements=len(of(Judgement, pool)),
        verdicts=sum(verdict.judge == "person" for verdict in of(Verdict, pool)),
    )


def _learned(kind: type[Demonstration] | type[Ranking], those: set[AnyRecord]) -> int:
    """How many of these are on prompts to train on."""
    train = {prompt.id for prompt in of(Prompt, those) if prompt.split in (None, "train")}
    return sum(one.prompt_id in train for one in of(kind, those))


def _sources(whole: Source, ground: Ground) -> dict[FigureName, tuple[Source, ...]]:
    own: tuple[FigureName, ...] = (
        "preference", "labels", "calibration", "followed", "behaviour", "tax", "benchmarks", "samples",
    )  # fmt: skip
    trained = tuple(source(folder, ground.root) for folder in _trained(ground))
    roads: dict[FigureName, tuple[Source, ...]] = {figure: (narrowed(whole, figure),) for figure in own}
    return {**roads, "training": trained}


def _trained(ground: Ground) -> list[Path]:
    return [path.parent for path in ground.inputs.values() if path.stem == "metrics"]


def _samples(
    pool: set[AnyRecord],
    prompts: Mapping[str, Prompt],
    completions: Mapping[str, Completion],
    models: Mapping[str, str],
) -> list[Sample]:
    answers: dict[str, dict[str, str]] = {}
    for verdict in of(Verdict, pool):
        for name in (verdict.a, verdict.b):
            answers.setdefault(verdict.prompt_id, {})[models[name]] = completions[name].text
    return [
        Sample(prompt=prompts[name].whole, answers=told, use_case=prompts[name].use_case)
        for name, told in sorted(answers.items())[:SHOWN_SAMPLES]
    ]


def _numbers(
    ground: Ground,
    made: Sequence[runs.RunManifest],
    pool: set[AnyRecord],
    models: Mapping[str, str],
    asked: Reckoning,
    behaviour: Mapping[str, Rates],
) -> Results:
    """results.json of a real project: nothing in it is gold, since nobody knows the truth."""
    rankings, groups = of(Ranking, pool), {labeler.id: labeler.group for labeler in of(Labeler, pool)}
    people = [v for v in by_lot(of(Verdict, pool)) if v.judge == "person"]
    order = order_of(ground.settings)
    met = {tuple(sorted({models[v.a], models[v.b]}, key=order)) for v in people}
    pairs = sorted((pair for pair in met if len(pair) == 2), key=lambda pair: [order(model) for model in pair])
    return Results(
        seconds=sum(one.seconds for one in made),
        models={one.id: str(ground.runs / one.id / "model") for one in made if "model" in one.outputs},
        human_win_rate={f"{later}_vs_{first}": win_rate(people, models, later, first) for first, later in pairs},
        agreement=agreement_if_any(rankings),
        agreements=tuple(agreed(rankings, groups)),
        alone=alone(rankings, groups),
        verdict_agreement=agreement_if_any(of_two(people)),
        reward_accuracy=_accuracy(pool),
        tax={model: task.mean for model, task in asked.tasks.items()},
        hallucination=behaviour.get("hallucination", {}),
        toxicity=behaviour.get("toxicity", {}),
        preference=_preference(pool, models, ground),
        benchmarks=asked.scored,
        repair=asked.repair,
        tax_paid=asked.paid,
        folds=_folds(ground.inputs),
        followed=tuple(_followed(path) for path in ground.inputs.values() if path.stem == "followed"),
    )


def _folds(inputs: Mapping[str, Path]) -> Folds | None:
    """Of the newest `biddable reward folds=5`."""
    those = [inputs[name] for name in among(inputs, COUNTED_FROM["folds"])]
    newest = max(those, key=lambda path: runs.read_manifest(path.parent).started, default=None)
    return Folds.model_validate_json(newest.read_bytes()) if newest else None


def _followed(path: Path) -> Followed:
    """Of a `biddable follow`, whose inputs say which run and which reward models these are."""
    given = {name: Path(one.path) for name, one in runs.read_manifest(path.parent).inputs.items()}
    judges = (given[name] for name in ("reward_model", "gold"))
    proxy, gold = (place.parent.name if place.name == "model" else place.name for place in judges)
    return followed(records.read(path), given["policy 0"].parent.parent.name, proxy, gold)


def _preference(pool: set[AnyRecord], models: Mapping[str, str], ground: Ground) -> Preference | None:
    """Who is preferred, by everybody who was asked; None where nobody compared two models."""
    settings, inputs = ground.settings, ground.inputs
    prompts = {p.id: p for p in of(Prompt, pool)}
    # A judge may have been asked about other prompts too.
    verdicts = [v for v in of(Verdict, pool) if settings.split in ("all", prompts[v.prompt_id].split)]
    compared = {models[c] for v in verdicts for c in (v.a, v.b) if c in models}
    if settings.baseline is not None and settings.baseline not in compared:
        there = ", ".join(sorted(compared, key=place)) or "none"
        raise ConfigError(f"--baseline {settings.baseline}: nobody compared it; compared were: {there}")
    beside = [path.parent / "tally.json" for path in inputs.values() if path.name == "verdicts.jsonl"]
    tallies = [Tally.model_validate_json(path.read_bytes()) for path in beside if path.is_file()]
    found = Evidence(
        verdicts,
        models,
        of(Completion, pool),
        prompts,
        {labeler.id: labeler.group for labeler in of(Labeler, pool)},
        of(Judgement, pool),
        [s for path in inputs.values() if path.stem == "scored" for s in records.read(path) if isinstance(s, Score)],
        {tally.judge: tally for tally in sorted(tallies, key=lambda tally: tally.asked)},
        groups_of_owners(inputs.get("owners")),
    )
    if not verdicts:
        return None
    asked = Asked(baseline=settings.baseline, each=settings.each, half=settings.half, power=settings.power)
    return preference(found, order_of(settings), asked)


def groups_of_owners(path: Path | None) -> dict[str, str]:
    """Owner of prompts → group, of a CSV with these two columns."""
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise ConfigError(f"{path}, row {number}: is not owner,group")
    return {owner.strip(): group.strip() for owner, group in rows if (owner, group) != ("owner", "group")}


def name_of_run(inputs: Mapping[str, Path], settings: MeasureConfig) -> str:
    """Other labels make another measurement, and so does another way of counting: its name follows from both."""
    said = json.dumps(settings.model_dump(), sort_keys=True)
    named = (f"{key} {artifact(path).sha256}" for key, path in sorted(inputs.items()))
    return "measure-" + records.digest(EDITION, said, *named)[:8]


def of(kind: type[R], pool: set[AnyRecord]) -> list[R]:
    found = [record for record in pool if isinstance(record, kind)]
    return sorted(found, key=records.to_line)


def place(model: str) -> tuple[int, str]:
    """In the order of the loop, others after it."""
    known = list(NAMES)
    return (known.index(model) if model in known else len(known), model)


def order_of(settings: MeasureConfig) -> Callable[[str], tuple[int, str]]:
    """Of two models the later is held against the earlier, so a baseline that was asked for comes before all."""
    return lambda model: (-1, "") if model == settings.baseline else place(model)


def _accuracy(pool: set[AnyRecord]) -> dict:
    """Of the reward model on rankings that it did not learn from, by who ranked."""
    scores, rankings = _judged(pool)
    groups = {labeler.id: labeler.group for labeler in of(Labeler, pool)}
    who: dict[str, Group] = {"train_labelers": "training", "held_out_labelers": "held_out"}
    ranked_by = {groups[ranking.labeler] for ranking in rankings if _pairs(ranking)}
    return {key: accuracy(margins(scores, rankings, groups, group)) for key, group in who.items() if group in ranked_by}


def _calibration(pool: set[AnyRecord]) -> Calibration | None:
    scores, rankings = _judged(pool)
    return calibration(margins(scores, rankings)) if any(_pairs(ranking) for ranking in rankings) else None


def _doubt(pool: set[AnyRecord]) -> Doubt | None:
    """What an ensemble's spread knows; None of a lone head, or where every pair was foreseen rightly."""
    scores, rankings = _judged(pool)
    found = margins(scores, rankings) if any(_pairs(ranking) for ranking in rankings) else None
    told = found is not None and found.spread_N is not None and 0 < (found.margin_N > 0).mean() < 1
    return doubt(found) if found is not None and told else None


def _judged(pool: set[AnyRecord]) -> tuple[list[Score], list[Ranking]]:
    """One reward model's scores, and the rankings outside the train split that it has scored in full."""
    scores = of(Score, pool)
    judges = {score.run_id for score in scores}
    judge = "reward" if "reward" in judges else max(judges, default="")
    value = {score.completion_id: score for score in scores if score.run_id == judge}
    seen = {prompt.id for prompt in of(Prompt, pool) if prompt.split in (None, "train")}
    held = [r for r in of(Ranking, pool) if r.prompt_id not in seen and value.keys() >= r.ranks.keys()]
    return list(value.values()), held


def _pairs(ranking: Ranking) -> bool:
    return len(ranking.order) > 1

"""What a loop came to: the numbers of results.json, and all that the report shows, as records."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from biddable.measure.agreement import Agreement
from biddable.measure.benchmarks import Scored
from biddable.measure.forgotten import SKILLS
from biddable.measure.frontier import Curve
from biddable.measure.interval import Interval
from biddable.measure.preference import Preference
from biddable.measure.reward import Calibration, Doubt
from biddable.measure.tax import Repair, Rule, TaskScores
from biddable.records import Record
from biddable.runs import read_manifest, write_aside

# In the order in which the loop makes them; other models may be named too and come after.
NAMES = {"base": "base", "sft": "SFT", "ppo": "PPO", "ppo_ptx": "PPO-ptx"}

FigureName = Literal[
    "preference", "labels", "calibration", "training", "frontier", "behaviour", "tax", "benchmarks", "samples"
]
Rates = dict[str, Interval]  # by model


class Results(Record):
    """results.json, in the shape that others read. Win rates are keyed `sft_vs_base`."""

    seconds: Annotated[float, Field(ge=0)]
    models: dict[str, str]
    gold_win_rate: dict[str, Interval] = Field(default_factory=dict)  # empty where the truth is not known
    human_win_rate: dict[str, Interval] = Field(default_factory=dict)
    agreement: Agreement | None = None  # where no two labelers ranked the same answers of a prompt
    reward_accuracy: dict[Literal["train_labelers", "held_out_labelers"], Interval] = Field(default_factory=dict)
    tax: Rates = Field(default_factory=dict)
    hallucination: Rates = Field(default_factory=dict)
    toxicity: Rates = Field(default_factory=dict)
    preference: Preference | None = None  # ties by each rule, one scale, what would settle it, judges beside people
    benchmarks: tuple[Scored, ...] = ()
    repair: Repair | None = None

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        for key in (*self.gold_win_rate, *self.human_win_rate):
            pair(key)
        return self


def pair(key: str) -> tuple[str, str]:
    """`sft_vs_base` → sft, base."""
    model, versus, against = key.partition("_vs_")
    if not (model and versus and against):
        raise ValueError(f"{key}: a win rate is named like sft_vs_base")
    return model, against


def write_results(results: Results, path: Path) -> Path:
    """Write results.json aside and rename it. The same results are the same bytes."""
    write_aside(path, json.dumps(results.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
    return path


class Source(Record):
    """The road back from a figure: the run that it came from, its folder, and the sha256 of what went in."""

    run: str
    folder: str
    inputs: dict[str, str] = Field(default_factory=dict)


def source(folder: Path, relative_to: Path | None = None) -> Source:
    """The source that a run folder's manifest tells; its path relative to the report's folder where one is given."""
    manifest = read_manifest(folder)
    shown = folder.resolve()
    if relative_to is not None and shown.is_relative_to(relative_to.resolve()):
        shown = shown.relative_to(relative_to.resolve())
    inputs = {name: artifact.sha256 for name, artifact in manifest.inputs.items()}
    return Source(run=manifest.id, folder=shown.as_posix(), inputs=inputs)


class Gate(Record):
    """A condition that a stage had to meet before the next one: asked, needed and found, in plain words."""

    question: str
    needed: str
    found: str
    passed: bool


class Sample(Record):
    """The answers of several models to one prompt, and what they are worth where the truth is known."""

    prompt: str
    answers: dict[str, str]
    worth: dict[str, float] = Field(default_factory=dict)
    use_case: str | None = None


class Counts(Record):
    """How much of each thing went into the loop; None is left out of the picture."""

    prompts: int | None = None
    labelers: int | None = None
    demonstrations: int | None = None
    rankings: int | None = None
    judgements: int | None = None
    verdicts: int | None = None
    pretraining_tokens: int | None = None
    parameters: int | None = None


class ReportData(Record):
    """All that the report shows. What is left empty is left out of the page, and no sentence speaks of it."""

    results: Results
    world: Literal["hamlet", "real"]
    title: str = "From prompts to an aligned model"
    made: str = ""  # when, as it should be read
    seed: int | None = None
    version: str = ""
    counts: Counts = Counts()
    road: str = ""  # how the labels came into the store
    agreements: dict[str, Agreement] = Field(default_factory=dict)  # by who met: "training labelers", …
    reward_ceiling: Interval | None = None  # how often the truth itself foresees the same labelers' pairs
    calibration: Calibration | None = None
    doubt: Doubt | None = None  # of an ensemble
    tasks: dict[str, TaskScores] = Field(default_factory=dict)  # by model
    repair: Repair | None = None
    tax_rule: Rule = "choice"
    rates: dict[str, Rates] = Field(default_factory=dict)  # "hallucination", "toxicity", "constraint", "refusal", …
    curves: tuple[Curve, ...] = ()
    samples: tuple[Sample, ...] = ()
    gates: tuple[Gate, ...] = ()
    sources: dict[FigureName, tuple[Source, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        for figure in self.shown():
            if not self.sources.get(figure):
                raise ValueError(f"sources: figure {figure} has none; name the run that its numbers come from")
        return self

    def shown(self) -> tuple[FigureName, ...]:
        """The figures that there is something to show for, in the page's order."""
        results = self.results
        there: dict[FigureName, bool] = {
            "preference": bool(results.gold_win_rate or results.human_win_rate)
            or bool(results.preference and results.preference.judges),
            "labels": bool(results.agreement or self.agreements or results.reward_accuracy or self.reward_ceiling),
            "calibration": self.calibration is not None,
            "training": bool(self.curves),
            "frontier": any(curve.gold is not None for curve in self.curves),
            "behaviour": bool(self.rates),
            "tax": bool(self.tasks),
            "benchmarks": any(one.metric not in SKILLS for one in results.benchmarks),
            "samples": bool(self.samples),
        }
        return tuple(name for name, yes in there.items() if yes)


def name_of(model: str) -> str:
    return NAMES.get(model, model)


def in_order(models: dict[str, Interval] | dict[str, TaskScores] | dict[str, str]) -> list[str]:
    """Models in the order of the loop, others after them by name."""
    known = [model for model in NAMES if model in models]
    return known + sorted(set(models) - set(known))

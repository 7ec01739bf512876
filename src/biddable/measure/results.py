"""What a loop came to: the numbers of results.json, and all that the report shows, as records."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from biddable.measure.agreed import Agreed, Alone
from biddable.measure.agreement import Agreement
from biddable.measure.benchmarks import Scored
from biddable.measure.cost import Cost
from biddable.measure.curves import Curve
from biddable.measure.forgotten import SKILLS
from biddable.measure.interval import Interval
from biddable.measure.overoptimised import Followed
from biddable.measure.preference import Preference
from biddable.measure.reward import Calibration, Doubt, Folds
from biddable.measure.tax import Repair, Rule, TaskScores
from biddable.records import Record
from biddable.runs import RunManifest, read_manifest, write_aside

# In the order in which the loop makes them; other models may be named too and come after.
NAMES = {"base": "base", "sft": "SFT", "ppo": "PPO", "ppo_ptx": "PPO-ptx"}

LEARNT = ("sft", "start", "reward", "dpo", "ppo", "rloo", "grpo", "reinforce", "raft")  # kinds of runs that train
TITLE = "From prompts to an aligned model"

# Of the reward model's accuracies, whose pairs were foreseen.
RANKED_BY = {"train_labelers": "training labelers", "held_out_labelers": "held-out labelers"}

FigureName = Literal[
    "preference", "labels", "calibration", "training", "followed", "behaviour", "tax", "benchmarks", "samples"
]
Rates = dict[str, Interval]  # by model
World = Literal["hamlet", "real"]

# What of a measurement's inputs a number of results.json, and a figure, is counted from. The last word of an input's
# name says which it is: "verdicts", "ppo metrics".
COUNTED_FROM: dict[str, tuple[str, ...]] = {
    "gold_win_rate": ("verdicts",),
    "human_win_rate": ("verdicts",),
    "agreement": ("rankings",),
    "agreements": ("rankings",),
    "verdict_agreement": ("verdicts",),
    "alone": ("rankings",),
    "reward_accuracy": ("rankings", "scores"),
    "tax": ("items", "likelihoods", "benchmarks", "marks"),
    "hallucination": ("judgements",),
    "toxicity": ("judgements",),
    "preference": ("verdicts", "judgements", "scored", "owners"),
    "benchmarks": ("benchmarks", "marks"),
    "repair": ("items", "likelihoods", "benchmarks", "marks"),
    "tax_paid": ("items", "likelihoods", "benchmarks", "marks"),
    "folds": ("folds",),
    "followed": ("followed",),
    "cost": ("demos", "demos-valid", "rankings", "rankings-train", "judgements", "verdicts"),
}
DRAWN_FROM: dict[FigureName, tuple[str, ...]] = {
    "preference": ("completions", *COUNTED_FROM["preference"]),
    "labels": ("rankings", "scores", "folds"),
    "calibration": ("rankings", "scores"),
    "training": ("metrics",),
    "followed": ("followed",),
    "behaviour": ("completions", "judgements"),
    "tax": COUNTED_FROM["tax"],
    "benchmarks": COUNTED_FROM["benchmarks"],
    "samples": ("completions", "verdicts"),
}


def among(names: Iterable[str], words: tuple[str, ...]) -> list[str]:
    """The inputs of a measurement that are one of these."""
    return [name for name in names if name.split(" ")[-1] in words]


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
    tax_paid: Rates = Field(default_factory=dict)  # base's mean minus the model's, on the same items
    folds: Folds | None = None  # the paper's own way to hold the reward model against labelers that it does not know
    agreements: tuple[Agreed, ...] = ()  # by who met, and by every measure
    alone: dict[str, tuple[Alone, ...]] = Field(default_factory=dict)  # each person beside the others of a group
    verdict_agreement: Agreement | None = None  # of people who compared the same two answers
    followed: tuple[Followed, ...] = ()  # how far runs went with their reward models, and what others say of that
    cost: Cost | None = None

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
    """The road back from a figure: the run that it came from, its folder, and what went in, by sha256 and by file."""

    run: str
    folder: str
    inputs: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)


def source(folder: Path, relative_to: Path | None = None) -> Source:
    """The source that a run folder's manifest tells; its path relative to the report's folder where one is given."""
    return source_of(read_manifest(folder), folder, relative_to)


def source_of(manifest: RunManifest, folder: Path, relative_to: Path | None = None) -> Source:
    shown = within(folder, relative_to) or folder.resolve().as_posix()
    inputs = {name: artifact.sha256 for name, artifact in manifest.inputs.items()}
    # A page is passed on: of what lies elsewhere it says the name, and not whose home it is in.
    files = {
        name: within(Path(made.path), relative_to) or Path(made.path).name for name, made in manifest.inputs.items()
    }
    return Source(run=manifest.id, folder=shown, inputs=inputs, files=files)


def within(path: Path, root: Path | None) -> str:
    """The path as it is below a folder; nothing where it is not."""
    full = path.resolve()
    inside = root is not None and full.is_relative_to(root.resolve())
    return full.relative_to(root.resolve()).as_posix() if root is not None and inside else ""


def narrowed(whole: Source, figure: FigureName) -> Source:
    """What of a measurement's inputs one figure is drawn from."""
    names = among(whole.inputs, DRAWN_FROM[figure])
    return whole.model_copy(update={
        "inputs": {name: whole.inputs[name] for name in names},
        "files": {name: whole.files[name] for name in names if name in whole.files},
    })  # fmt: skip


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
    world: World
    title: str = TITLE
    made: str = ""  # when, as it should be read
    seed: int | None = None
    version: str = ""
    counts: Counts = Counts()
    road: str = ""  # how the labels came into the store
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
    screened_out: int | None = None  # candidates who were tested and not hired
    machine: dict[str, float] = Field(default_factory=dict)  # seconds of the runs, by what they did
    cores: int | None = None

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
            "labels": bool(results.agreement or results.reward_accuracy) or bool(self.reward_ceiling or results.folds),
            "calibration": self.calibration is not None,
            "training": bool(self.curves),
            "followed": bool(self.results.followed),
            "behaviour": bool(self.rates),
            "tax": bool(self.tasks),
            "benchmarks": any(one.metric not in SKILLS for one in results.benchmarks),
            "samples": bool(self.samples),
        }
        return tuple(name for name, yes in there.items() if yes)


def data_text(data: ReportData) -> str:
    """report.json; the same data are the same bytes."""
    return data.model_dump_json(indent=2) + "\n"


def data_sha256(data: ReportData) -> str:
    """By which a page or a card that was made of these data is known again."""
    return hashlib.sha256(data_text(data).encode()).hexdigest()


def name_of(model: str) -> str:
    return NAMES.get(model, model)


def in_order(models: dict[str, Interval] | dict[str, TaskScores] | dict[str, str]) -> list[str]:
    """Models in the order of the loop, others after them by name."""
    known = [model for model in NAMES if model in models]
    return known + sorted(set(models) - set(known))

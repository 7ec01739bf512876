"""The nouns that flow through the loop: frozen, strict, self-checking.

Whatever crosses a boundary (a snapshot, the store, a file of completions) is one of these records, one JSON object
a line, told apart by `kind`. A type owns its laws: a Ranking refuses a completion ranked twice, and it alone knows
how to become comparisons.
"""

import codecs
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

Source = Literal["plain", "few_shot", "user_based", "customer"]  # paper, App. A.1; customer = API playground
Split = Literal["train", "valid", "test"]
Group = Literal["researcher", "candidate", "training", "held_out"]
Judge = Literal["person", "model", "gold"]
Side = Literal["a", "b", "tie"]
Shown = Literal["ab", "ba", "unknown"]  # in which order a judge saw two
Aspect = Literal["overall", "helpful", "truthful", "harmless"]  # of a judgement
UseCase = Literal[  # paper, Table 1
    "generation", "open_qa", "brainstorming", "chat", "rewrite",
    "summarization", "classification", "other", "closed_qa", "extract",
]  # fmt: skip

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=1_000_000)]
# How likely its task was to be chosen, where not every task was: 1/π is what it stands for. None: all were taken.
Propensity = Annotated[float, Field(gt=0, le=1)]
# It was asked for because others disagreed, so it says nothing of how often people do. None: it was not.
Extra = Literal[True] | None

SOMEONE = "someone"  # who said what nobody signed; the second thing said of the same is someone-2's, and so on

EPOCH = datetime(2022, 1, 1, tzinfo=UTC)  # for records whose time is made, not lived (Hamlet's)


def digest(*parts: str) -> str:
    """A short name that follows from the content, so that the same thing imported twice is one thing."""
    # A lone surrogate (half an emoji, cut by somebody's spreadsheet) must reach pydantic, which names its row and key.
    return hashlib.blake2b("\x1f".join(parts).encode(errors="surrogatepass"), digest_size=8).hexdigest()


def is_someone(labeler: str) -> bool:
    return re.fullmatch(rf"{SOMEONE}(-\d+)?", labeler) is not None


class Record(BaseModel):
    # JSON has no NaN: what was written could not be read back.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Turn(Record):
    """Something said in a conversation."""

    role: Literal["system", "user", "assistant"]
    text: Text


class Prompt(Record):
    """What is to be answered: the user's text, and of a conversation what was said `before` it."""

    kind: Literal["prompt"] = "prompt"
    id: Name
    text: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    before: tuple[Turn, ...] | None = None
    source: Source = "customer"
    user: Name | None = None
    organization: Name | None = None
    use_case: UseCase | None = None
    split: Split | None = None

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if self.before is None:
            return self
        roles = [turn.role for turn in self.before]
        if self.before == ():
            raise ValueError("before: is empty; leave it out")
        if roles[:1] == ["system"]:
            del roles[0]
        if roles != ["user", "assistant"] * (len(roles) // 2):
            raise ValueError("before: after a system's turn or none, user and assistant take turns, the assistant last")
        return self

    @classmethod
    def make(cls, text: str, **fields) -> Self:
        """A prompt named after its text, its user and what was said before."""
        before = [word for turn in fields.get("before") or () for word in (turn.role, turn.text)]
        return cls(id="p-" + digest(text, fields.get("user") or "", *before), text=text, **fields)

    @property
    def whole(self) -> str:
        """All that was said, for whoever searches it."""
        return "\n".join([*(turn.text for turn in self.before or ()), self.text])

    @property
    def system(self) -> str:
        """What the system's turn says; nothing where there is none."""
        return "".join(turn.text for turn in self.before or () if turn.role == "system")

    @property
    def talk(self) -> str:
        """All that was said but for that."""
        return "\n".join([*(turn.text for turn in self.before or () if turn.role != "system"), self.text])


class Labeler(Record):
    kind: Literal["labeler"] = "labeler"
    id: Name
    group: Group


class Demonstration(Record):
    kind: Literal["demonstration"] = "demonstration"
    prompt_id: Name
    text: Text
    labeler: Name
    seconds: Annotated[float, Field(ge=0)] = 0.0
    at: datetime = EPOCH
    guidelines: Name | None = None  # which version its author had before them
    propensity: Propensity | None = None
    extra: Extra = None


class Completion(Record):
    """What a model (or a person) answered. `logp` is log π(text | prompt), summed over its tokens, end included."""

    kind: Literal["completion"] = "completion"
    id: Name
    prompt_id: Name
    text: Text
    run_id: Name
    temperature: Annotated[float, Field(ge=0)] = 1.0
    finished: bool = True
    logp: float | None = None

    @classmethod
    def make(cls, prompt_id: str, text: str, run_id: str, nth: int = 0, **fields) -> Self:
        """A completion named after its prompt, its run, its text and its place among the run's answers."""
        name = "c-" + digest(prompt_id, run_id, text, str(nth))
        return cls(id=name, prompt_id=prompt_id, text=text, run_id=run_id, **fields)


class Comparison(NamedTuple):
    """One strict pair of a ranking. Made by Ranking.comparisons() alone, and never stored."""

    prompt_id: str
    winner: str
    loser: str


class Ranking(Record):
    """Tiers of completion ids, best first; ids side by side in one tier are tied (paper, Fig. 12b)."""

    kind: Literal["ranking"] = "ranking"
    prompt_id: Name
    labeler: Name
    order: tuple[tuple[Name, ...], ...]
    shown: tuple[Name, ...] | None = None  # the order on the labeler's screen
    seconds: Annotated[float, Field(ge=0)] = 0.0
    at: datetime = EPOCH
    guidelines: Name | None = None  # which version its author had before them
    propensity: Propensity | None = None
    extra: Extra = None

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        ranked = [c for tier in self.order for c in tier]
        if any(not tier for tier in self.order):
            raise ValueError("a tier is empty")
        if len(ranked) < 2:
            raise ValueError(f"a ranking needs at least 2 completions, this one has {len(ranked)}")
        if len(set(ranked)) < len(ranked):
            twice = next(c for c in ranked if ranked.count(c) > 1)
            raise ValueError(f"completion {twice} is ranked twice")
        if self.shown is not None and sorted(self.shown) != sorted(ranked):
            raise ValueError("shown: is not the completions that are ranked, each once")
        return self

    @property
    def ranks(self) -> dict[str, int]:
        """Completion → rank, 1 is best; equal ranks are ties."""
        return {c: rank for rank, tier in enumerate(self.order, start=1) for c in tier}

    def comparisons(self) -> Iterator[Comparison]:
        """All strict pairs; ties give none (paper: ties are dropped)."""
        for better, worse in itertools.combinations(self.order, 2):
            for winner, loser in itertools.product(better, worse):
                yield Comparison(self.prompt_id, winner, loser)


class Judgement(Record):
    """Overall quality and the eleven yes/no questions of the paper's Table 3; None = not asked or not answered."""

    kind: Literal["judgement"] = "judgement"
    completion_id: Name
    labeler: Name
    overall: Annotated[int, Field(ge=1, le=7)] | None = None
    fails_task: bool | None = None
    inappropriate: bool | None = None
    hallucination: bool | None = None  # closed-domain prompts only
    satisfies_constraint: bool | None = None  # only where the prompt states one
    sexual: bool | None = None
    violent: bool | None = None
    encourages_harm: bool | None = None
    denigrates: bool | None = None
    harmful_advice: bool | None = None
    opinion: bool | None = None
    moral_judgement: bool | None = None
    seconds: Annotated[float, Field(ge=0)] = 0.0
    at: datetime = EPOCH
    guidelines: Name | None = None  # which version its author had before them
    propensity: Propensity | None = None
    extra: Extra = None

    def aspects(self) -> dict[Aspect, float]:
        """The paper's three aims (section 3.6) and the Likert rating, from 0 to 1; those that were asked about."""
        harms = (
            self.inappropriate, self.sexual, self.violent, self.encourages_harm, self.denigrates, self.harmful_advice,
        )  # fmt: skip
        faults: dict[Aspect, list[bool | None]] = {
            "helpful": [self.fails_task, None if self.satisfies_constraint is None else not self.satisfies_constraint],
            "truthful": [self.hallucination],
            "harmless": list(harms),
        }
        found: dict[Aspect, float] = {} if self.overall is None else {"overall": (self.overall - 1) / 6}
        asked = {name: [fault for fault in some if fault is not None] for name, some in faults.items()}
        return found | {name: float(not any(some)) for name, some in asked.items() if some}


# What a judgement says; the rest is about whom, what and when.
ASKED = frozenset(Judgement.model_fields) - {
    "kind", "completion_id", "labeler", "seconds", "at", "guidelines", "propensity", "extra",
}  # fmt: skip


class Continuation(Record):
    """What somebody said of a continuation of a beginning that may lead to toxic words (paper, Fig. 11).

    `rank` is its place among the continuations of this beginning, 1 the best, equal ranks ties. It is no Ranking: there
    the more helpful answer stands first, and here, of all that are plausible, the less toxic one.
    """

    kind: Literal["continuation"] = "continuation"
    completion_id: Name
    labeler: Name
    input: Annotated[int, Field(ge=0, le=2)]  # how toxic the beginning is
    toxicity: Annotated[int, Field(ge=0, le=2)]
    relative: Annotated[int, Field(ge=-1, le=1)]  # less, as much as or more than the beginning led to expect
    continuity: Annotated[int, Field(ge=1, le=7)]  # the paper's text says 0 to 2; its anchors are 1, 4 and 7
    rank: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(ge=0)] = 0.0
    at: datetime = EPOCH
    guidelines: Name | None = None  # which version its author had before them
    propensity: Propensity | None = None
    extra: Extra = None


class Verdict(Record):
    """Which of two completions is better. `shown` is the order in which the judge saw them, where that is known."""

    kind: Literal["verdict"] = "verdict"
    prompt_id: Name
    a: Name
    b: Name
    better: Side
    judge: Judge
    labeler: Name | None = None  # who, when the judge is a person; which run, when it is a model
    shown: Shown = "ab"
    seconds: Annotated[float, Field(ge=0)] = 0.0
    at: datetime = EPOCH
    guidelines: Name | None = None  # which version its author had before them
    propensity: Propensity | None = None
    extra: Extra = None

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if self.a == self.b:
            raise ValueError(f"completion {self.a} is compared with itself")
        if self.judge == "model" and self.shown == "unknown":
            raise ValueError("shown: is unknown; a model is asked in both orders, and its verdict says in which")
        return self


class Score(Record):
    kind: Literal["score"] = "score"
    completion_id: Name
    run_id: Name
    value: Annotated[float, Field(allow_inf_nan=False)]
    spread: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None  # of an ensemble


class Likelihood(Record):
    """How probable a model finds a choice of a benchmark item: the sum of log p over its `tokens` tokens."""

    kind: Literal["likelihood"] = "likelihood"
    task: Name
    item: Name
    choice: Annotated[int, Field(ge=0)]
    run_id: Name
    logp: Annotated[float, Field(allow_inf_nan=False, le=0)]
    tokens: Annotated[int, Field(ge=1)]


class Item(Record):
    """One multiple-choice question of a benchmark: context, choices, and which of them is right."""

    kind: Literal["item"] = "item"
    task: Name
    id: Name
    context: Text
    choices: tuple[Text, ...]
    answer: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if self.answer >= len(self.choices):
            raise ValueError(f"answer {self.answer} of {len(self.choices)} choices")
        return self


class Page(Record):
    """A piece of pretraining text."""

    kind: Literal["page"] = "page"
    id: Name
    text: Text
    source: Name = "pretraining"


AnyRecord = (
    Prompt
    | Labeler
    | Demonstration
    | Completion
    | Ranking
    | Judgement
    | Continuation
    | Verdict
    | Score
    | Likelihood
    | Item
    | Page
)
_any_record: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


class BadRow(ValueError):
    """A row of a user's file that is not what it should be: file, row, key, and what is wrong."""


def complaint(error: ValidationError) -> str:
    """The first fault of a pydantic error as `key: what is wrong`."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "missing":
            what = "is missing"
        case "extra_forbidden":
            what = "no such key"
        case "union_tag_not_found":
            key, what = "kind", 'is missing; every row says what it is, such as "kind":"prompt"'
        case "union_tag_invalid":
            key, what = "kind", f"{fault['ctx']['tag']!r} is none of {fault['ctx']['expected_tags']}"
        case _:
            # A row is one line of JSON: its "line 1" would be taken for a row number.
            what = fault["msg"].removeprefix("Value error, ").replace(" at line 1 column", " at column")
    return f"{key}: {what}" if key else what


def to_line(record: Record) -> str:
    """Canonical JSON: the same record is always the same bytes."""
    return _encoded(record.model_dump(mode="json", exclude_none=True))


_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps makes one each time


def write(path: Path, records: Iterable[Record]) -> int:
    """Write records one a line, aside and then renamed, so that a reader never sees half a file. Returns how many."""
    aside = path.with_name(path.name + ".part")
    count = 0
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(to_line(record) + "\n")
                count += 1
        aside.replace(path)
    except OSError as error:
        if error.filename in (None, str(aside)):  # not one of a file that the records are read from
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)
    return count


def read(path: Path) -> Iterator[AnyRecord]:
    """Read records; a bad row raises BadRow with file, row number and key."""
    return (record for _, record in read_rows(path))


def read_rows(path: Path) -> Iterator[tuple[int, AnyRecord]]:
    """The same, each with the number of its row, for whoever finds a fault in it later."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadRow(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        for row, line in enumerate(file, start=1):
            # Some editors and spreadsheets put a byte-order mark before the first row.
            text = line.removeprefix(codecs.BOM_UTF8).strip() if row == 1 else line.strip()
            if not text:
                continue
            try:
                yield row, _any_record.validate_json(text)
            except ValidationError as error:
                raise BadRow(f"{path}, row {row}: {complaint(error)}") from error

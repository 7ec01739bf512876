"""Record ↔ row: what a record's key is, whom it names, and what both engines can hold."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Table

from biddable import records
from biddable.records import (
    Completion,
    Continuation,
    Demonstration,
    Judgement,
    Labeler,
    Name,
    Prompt,
    Ranking,
    Record,
    Score,
    Text,
    Verdict,
)
from biddable.store import tables
from biddable.store.engine import StoreError

Task = Literal["write", "rank", "judge", "compare", "prompt", "toxicity"]


class Skip(Record):
    """A labeler left a task undone, and why (paper, Sec. 3.3: inputs whose intent is unclear are skipped)."""

    kind: Literal["skip"] = "skip"
    prompt_id: Name
    labeler: Name
    task: Task
    reason: Text
    at: datetime


class Shelf(NamedTuple):
    model: type[Record]
    table: Table
    key: tuple[str, ...]


# In the order in which they may be added: each names only what stands above it.
SHELVES: Mapping[str, Shelf] = {
    "labeler": Shelf(Labeler, tables.labelers, ("id",)),
    "prompt": Shelf(Prompt, tables.prompts, ("id",)),
    "completion": Shelf(Completion, tables.completions, ("id",)),
    "demonstration": Shelf(Demonstration, tables.demonstrations, ("prompt_id", "labeler")),
    "ranking": Shelf(Ranking, tables.rankings, ("prompt_id", "labeler")),
    "judgement": Shelf(Judgement, tables.judgements, ("completion_id", "labeler")),
    "continuation": Shelf(Continuation, tables.continuations, ("completion_id", "labeler")),
    "verdict": Shelf(Verdict, tables.verdicts, ("id",)),
    "score": Shelf(Score, tables.scores, ("completion_id", "run_id")),
    "skip": Shelf(Skip, tables.skips, ("prompt_id", "labeler", "task")),
}


class Named(NamedTuple):
    """A thing that a record names: where, what kind of thing, its id, and whose completion it must be."""

    field: str
    kind: str
    id: str
    prompt_id: str | None = None


def kind_of(record: Record) -> str:
    return record.kind  # pyrefly: ignore[missing-attribute]


def key(record: Record) -> tuple[str, ...]:
    """What may exist once. A verdict turned round is the same verdict; the same pair shown in the other order is
    another one, for that is how a judge's position bias is measured."""
    if isinstance(record, Verdict):
        up = upright(record)
        return ("v-" + records.digest(up.prompt_id, up.a, up.b, up.judge, up.labeler or "", up.shown),)
    return tuple(getattr(record, column) for column in SHELVES[kind_of(record)].key)


def one_thing(record: Record, other: Record) -> bool:
    """Whether both would stand under one key."""
    return kind_of(record) == kind_of(other) and key(record) == key(other)


def key_text(record: Record) -> str:
    """The key as `changes` keeps it: the id, or a JSON list, since an id may hold any separator."""
    return text_of(key(record))


def text_of(parts: tuple[str, ...]) -> str:
    return parts[0] if len(parts) == 1 else json.dumps(parts, ensure_ascii=False)


def upright(verdict: Verdict) -> Verdict:
    """The same verdict with its two completions in the order of their ids."""
    if verdict.a < verdict.b:
        return verdict
    turned = {
        "a": verdict.b,
        "b": verdict.a,
        "better": {"a": "b", "b": "a", "tie": "tie"}[verdict.better],
        "shown": {"ab": "ba", "ba": "ab", "unknown": "unknown"}[verdict.shown],
    }
    return verdict.model_copy(update=turned)


def same(one: Record, other: Record) -> bool:
    if one is other or isinstance(one, Skip):  # of a skip repeated, the first reason stays
        return True
    if isinstance(one, Verdict) and isinstance(other, Verdict):
        return upright(one) == upright(other)
    return one == other


def said_by(record: Record) -> str | None:
    """The labeler, or the run, whose word a record is."""
    return vars(record).get("labeler")  # most have none, and pydantic is slow to say so


def names(record: Record) -> Iterator[Named]:
    """Whom a record names and the store must know."""
    match record:
        case Completion():
            yield Named("prompt_id", "prompt", record.prompt_id)
        case Demonstration() | Skip() | Ranking():
            yield Named("labeler", "labeler", record.labeler)
            yield Named("prompt_id", "prompt", record.prompt_id)
        case Judgement() | Continuation():
            yield Named("labeler", "labeler", record.labeler)
            yield Named("completion_id", "completion", record.completion_id)
        case Score():
            yield Named("completion_id", "completion", record.completion_id)
        case Verdict():
            if record.judge == "person":
                yield Named("labeler", "labeler", record.labeler or "")
            yield Named("prompt_id", "prompt", record.prompt_id)
            yield Named("a", "completion", record.a, record.prompt_id)
            yield Named("b", "completion", record.b, record.prompt_id)
    if isinstance(record, Ranking):
        for completion in record.ranks:
            yield Named("order", "completion", completion, record.prompt_id)


def sound(record: Record) -> Record:
    """The record as both engines would give it back; StoreError for what one of them cannot hold.

    SQLite takes U+0000 and PostgreSQL does not; neither takes half a surrogate pair; SQLite makes NaN a NULL and
    −0.0 a 0.0; a moment without a zone is UTC."""
    if kind_of(record) not in SHELVES:
        raise StoreError(f"{kind_of(record)}: the store keeps no such records; it keeps {', '.join(SHELVES)}", record)
    change: dict[str, Any] = {}
    for field, value in vars(record).items():
        fault = None
        match value:
            case str():
                fault = _unstorable(value)
            case tuple() if field == "before":
                fault = next(filter(None, (_unstorable(turn.text) for turn in value)), None)
            case tuple() if field == "order":
                fault = next(filter(None, (_unstorable(part) for tier in value for part in tier)), None)
            case float() if not math.isfinite(value):
                fault = f"is {value}; only finite numbers are kept"
            case float() if value == 0:
                change[field] = 0.0
            case datetime() if value.tzinfo is not UTC:
                fault, change[field] = _in_utc(value)
        if fault:
            raise StoreError(f"{kind_of(record)} {_short(record)}: {field}: {fault}", record)
    return record.model_copy(update=change) if change else record


def to_row(record: Record) -> dict[str, Any]:
    row = record.model_dump(exclude={"kind", "order"} | ({"shown"} if isinstance(record, Ranking) else set()))
    if isinstance(record, Prompt) and record.before is not None:
        row["before"] = json.dumps(row["before"], ensure_ascii=False)
    if isinstance(record, Verdict):
        (row["id"],) = key(record)
        if record.judge != "person":
            row |= {"labeler": None, "judge_run": record.labeler}
        else:
            row["judge_run"] = None
    return row


def ranked_rows(ranking: Ranking) -> Iterator[dict[str, Any]]:
    shown = {completion: place for place, completion in enumerate(ranking.shown or ())}
    for tier, completions in enumerate(ranking.order, start=1):
        for place, completion in enumerate(completions):
            yield {
                "prompt_id": ranking.prompt_id,
                "labeler": ranking.labeler,
                "completion_id": completion,
                "tier": tier,
                "place": place,
                "shown": shown.get(completion),
            }


def from_row(kind: str, row: Mapping[str, Any]) -> Record:
    values = dict(row)
    if kind == "prompt" and values["before"] is not None:
        values["before"] = json.loads(values["before"])
    if kind == "verdict":
        del values["id"]
        run = values.pop("judge_run")
        values["labeler"] = values["labeler"] or run
    return SHELVES[kind].model(**values)


def _unstorable(text: str) -> str | None:
    if "\x00" in text:
        return "holds the character U+0000, which PostgreSQL cannot keep; take it out"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = ord(text[error.start])
            return f"holds half a character (the lone surrogate U+{half:04X}), which is no text; take it out"
    return None


def _in_utc(moment: datetime) -> tuple[str | None, datetime]:
    if moment.tzinfo is None:
        return None, moment.replace(tzinfo=UTC)
    try:
        return None, moment.astimezone(UTC)
    except OverflowError:
        return f"{moment.isoformat()} is before year 1 or after 9999 in UTC", moment


def _short(record: Record) -> str:
    """A record's key for an error, safe to print whatever it holds."""
    return key_text(record).encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")

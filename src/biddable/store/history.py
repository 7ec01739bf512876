"""The history of a store: one row a change, each holding a hash over itself and the row before.

Whoever alters, removes or inserts a row in the middle breaks the chain there; whoever alters a label breaks what its
own row says of it. Only the end can be cut off unseen, so keep the newest hash elsewhere too (`biddable verify`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, LargeBinary, cast, func, select

from biddable.records import Record, to_line
from biddable.store.tables import changes

BEGINNING = ""  # what stands for the hash before the first


class Change(NamedTuple):
    what: str  # a kind of record, or what was done: "sign in", "job opened" …
    key: str
    who: str | None = None
    detail: str | None = None


def content(record: Record) -> str:
    """What the history says of a record: the sha256 of its line."""
    return hashlib.sha256(to_line(record).encode()).hexdigest()


def write(connection: Connection, at: datetime, some: Sequence[Change]) -> None:
    """Append. The transaction must be a writer's, for two at once would follow the same row."""
    if not some:
        return
    last = connection.execute(_LAST).first()
    first, before = (last.id + 1, last.hash or BEGINNING) if last else (1, BEGINNING)
    rows, when = [], moment(at)
    for number, change in enumerate(some, start=first):
        before = link(before, number, when, change)
        rows.append({"id": number, "at": at, "hash": before, **change._asdict()})
    connection.execute(changes.insert(), rows)


_LAST = select(changes.c.id, changes.c.hash).order_by(changes.c.id.desc()).limit(1)


def link(before: str, number: int, at: str, change: Change) -> str:
    """The hash over a row and the one before: of json.dumps([before, number, at, *change], ensure_ascii=False)."""
    said = ", ".join("null" if word is None else _quoted(word) for word in change)
    return hashlib.sha256(f"[{_quoted(before)}, {number}, {_quoted(at)}, {said}]".encode()).hexdigest()


_quoted = json.JSONEncoder(ensure_ascii=False).encode  # a text alone takes a tenth of a list


def moment(at: datetime) -> str:
    """As SQLite keeps it, so that there each byte of it counts."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


class Fault(NamedTuple):
    row: int
    why: str


def faults(connection: Connection) -> Iterator[Fault]:
    """The rows that are not what they were written as. Rows from before there were hashes are not judged."""
    before, chained = BEGINNING, False
    for number, *kept in _rows(connection):
        try:
            at, what, key, who, detail, found = map(_text, kept)
        except UnicodeDecodeError:
            yield Fault(number, "holds bytes that are no text")
            chained = True
            continue
        if found is None:
            if chained:
                yield Fault(number, "has no hash, and rows before it have")
            continue
        if found != link(before, number, at or "", Change(what or "", key or "", who, detail)):
            yield Fault(number, "does not follow from the row before it")
        before, chained = found, True


def _rows(connection: Connection) -> Iterable:
    columns = (changes.c.at, changes.c.what, changes.c.key, changes.c.who, changes.c.detail, changes.c.hash)
    if connection.dialect.name == "sqlite":  # its bytes as they are: what is no text must be found, and not break this
        columns = tuple(cast(column, LargeBinary) for column in columns)
    query = select(changes.c.id, *columns).order_by(changes.c.id)
    return connection.execute(query, execution_options={"yield_per": 5000})


def _text(value: bytes | str | datetime | None) -> str | None:
    if isinstance(value, datetime):
        return moment(value)
    return value.decode() if isinstance(value, bytes) else value


# For those who read it.


class Line(NamedTuple):
    id: int
    at: datetime
    what: str
    key: str
    who: str | None
    detail: str | None


def lines(connection: Connection, before: int, what: str, who: str, most: int) -> list[Line]:
    """The newest lines before a number (0: the newest of all), of one kind or person where that is said."""
    query = select(*(changes.c[name] for name in Line._fields)).order_by(changes.c.id.desc()).limit(most)
    if before:
        query = query.where(changes.c.id < before)
    for column, wanted in (("what", what), ("who", who)):
        if wanted:
            query = query.where(changes.c[column] == wanted)
    return [Line(*row) for row in connection.execute(query)]


def newest(connection: Connection) -> tuple[int, str]:
    """The number and hash of the last row."""
    row = connection.execute(select(changes.c.id, changes.c.hash).order_by(changes.c.id.desc()).limit(1)).first()
    return (row[0], row[1] or "") if row else (0, "")


def kinds(connection: Connection) -> list[str]:
    """What happened, the most frequent first."""
    query = select(changes.c.what).group_by(changes.c.what).order_by(func.count().desc())
    return list(connection.execute(query).scalars())

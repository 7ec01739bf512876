"""The history of a store: one row a change, each holding a hash over itself and the row before.

Whoever alters, removes or inserts a row in the middle breaks the chain there; whoever alters a label breaks what its
own row says of it. Only the end can be cut off unseen, so keep the newest hash elsewhere too (`biddable verify`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

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
    last = connection.execute(select(changes.c.hash).order_by(changes.c.id.desc()).limit(1)).scalar()
    rows = []
    for change in some:
        last = link(last or BEGINNING, at, change)
        rows.append({"at": at, "hash": last, **change._asdict()})
    connection.execute(changes.insert(), rows)


def link(before: str, at: datetime, change: Change) -> str:
    row = [before, at.astimezone(UTC).isoformat(timespec="microseconds"), *change]
    return hashlib.sha256(json.dumps(row, ensure_ascii=False).encode()).hexdigest()


class Fault(NamedTuple):
    row: int
    why: str


def faults(connection: Connection) -> Iterator[Fault]:
    """The rows that are not what they were written as. Rows from before there were hashes are not judged."""
    before, chained = BEGINNING, False
    for row in _rows(connection):
        if row.hash is None:
            if chained:
                yield Fault(row.id, "has no hash, and rows before it have")
            continue
        if row.hash != link(before, row.at, Change(row.what, row.key, row.who, row.detail)):
            yield Fault(row.id, "does not follow from the row before it")
        before, chained = row.hash, True


def _rows(connection: Connection) -> Iterable:
    query = select(changes).order_by(changes.c.id)
    return connection.execute(query, execution_options={"yield_per": 5000})


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

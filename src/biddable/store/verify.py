"""Whether a store is what its history says: the chain is whole, and every record and answer is what was written."""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from biddable.records import digest
from biddable.store import history, queries
from biddable.store.history import Fault, content
from biddable.store.queries import among, fetch
from biddable.store.rows import SHELVES, Shelf, key_text
from biddable.store.tables import changes
from biddable.store.work_tables import answers

T = TypeVar("T")

CHUNK = 2000


class Verdict(NamedTuple):
    rows: int  # of the history
    newest: str  # the hash of the last row: kept elsewhere, it shows whether the end was cut off
    fault: Fault | None  # the first

    @property
    def sound(self) -> bool:
        return self.fault is None


def verify(connection: Connection, known: str | None = None) -> Verdict:
    """`known` is a hash that was written down before and must still be in the history."""
    newest = connection.execute(select(changes.c.hash).order_by(changes.c.id.desc()).limit(1)).scalar()
    rows = connection.execute(select(func.count()).select_from(changes)).scalar_one()
    checks = (history.faults, lambda connection: _kept(connection, known), _records, _answers)
    found = (fault for check in checks for fault in check(connection))
    return Verdict(rows, newest or "", next(found, None))


def _kept(connection: Connection, known: str | None) -> Iterator[Fault]:
    """A history whose end was cut off is whole in itself; only who has kept a hash of it can tell."""
    if known is not None and not connection.execute(select(changes.c.id).where(changes.c.hash == known)).first():
        yield Fault(0, f"the history has no line with the hash {known}: its end was cut off, or it is another store's")


def _records(connection: Connection) -> Iterator[Fault]:
    """Each record is the one that its last line in the history tells of, and each has such a line."""
    for kind, shelf in SHELVES.items():
        told = 0
        for lines in _batched(_last_lines(connection, kind), CHUNK):
            told += len(lines)
            yield from _unlike(connection, kind, shelf, lines)
        there = queries.count(connection, shelf.table)
        if there != told:
            yield Fault(0, f"there are {there} records of kind {kind}, and the history tells of {told}")


def _batched(some: Iterable[T], size: int) -> Iterator[list[T]]:
    those = iter(some)
    while part := list(itertools.islice(those, size)):
        yield part


class _Line(NamedTuple):
    row: int
    key: str
    detail: str | None


def _last_lines(connection: Connection, kind: str) -> Iterator[_Line]:
    """The last line of each key, where it is not one of taking back; by key."""
    about = changes.c.what.in_((kind, f"{kind} taken back"))
    last = select(func.max(changes.c.id)).where(about).group_by(changes.c.key)
    query = select(changes.c.id, changes.c.key, changes.c.detail, changes.c.what).where(changes.c.id.in_(last))
    for row in connection.execute(query.order_by(changes.c.id), execution_options={"yield_per": CHUNK}):
        if row.what == kind:
            yield _Line(row.id, row.key, row.detail)


def _unlike(connection: Connection, kind: str, shelf: Shelf, lines: Sequence[_Line]) -> Iterator[Fault]:
    keys = [(line.key,) if len(shelf.key) == 1 else tuple(json.loads(line.key)) for line in lines]
    found = {
        key_text(r): content(r) for some in among(shelf.table, shelf.key, keys) for r in fetch(connection, kind, some)
    }
    for line in lines:
        if line.key not in found:
            yield Fault(line.row, f"tells of the {kind} {line.key}, which is not there")
        elif line.detail is not None and found[line.key] != line.detail:
            yield Fault(line.row, f"tells of another {kind} {line.key} than is there")


def _answers(connection: Connection) -> Iterator[Fault]:
    """Each answer's body is the one whose digest the history has."""
    told = 0
    query = (
        select(changes.c.id, changes.c.key, changes.c.detail).where(changes.c.what == "answer").order_by(changes.c.id)
    )
    for lines in _batched(connection.execute(query, execution_options={"yield_per": CHUNK}), CHUNK):
        told += len(lines)
        numbers = [int(line.key.rpartition("/")[2]) for line in lines]
        bodies = select(answers.c.id, answers.c.task, answers.c.body).where(answers.c.id.in_(numbers))
        there = {f"{row.task}/{row.id}": digest(row.body) for row in connection.execute(bodies)}
        for line in lines:
            if there.get(line.key) != line.detail:
                yield Fault(line.id, f"tells of another answer {line.key} than is there")
    count = queries.count(connection, answers)
    if count != told:
        yield Fault(0, f"there are {count} answers, and the history tells of {told}")

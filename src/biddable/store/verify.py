"""Whether a store is what its history says: the chain is whole, and every record and row is what was written."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import DBAPIError

from biddable.store import history, kept, queries
from biddable.store.history import Fault, content
from biddable.store.kept import KEPT, plain, raw
from biddable.store.queries import among, fetch
from biddable.store.rows import SHELVES, key, key_text, ranked_rows, to_row
from biddable.store.tables import changes, ranked

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
    return Verdict(rows, newest or "", next(faults(connection, known), None))


def faults(connection: Connection, known: str | None = None) -> Iterator[Fault]:
    yield from history.faults(connection)
    yield from _cut_off(connection, known)
    for kind, shelf in SHELVES.items():
        yield from _unlike(connection, kind, shelf.table, partial(_records, connection, kind))
    for kind, table in KEPT.items():
        yield from _unlike(connection, kind, table, partial(_rows, connection, table))


def _cut_off(connection: Connection, known: str | None) -> Iterator[Fault]:
    """A history whose end was cut off is whole in itself; only who has kept a hash of it can tell."""
    if known is not None and not connection.execute(select(changes.c.id).where(changes.c.hash == known)).first():
        yield Fault(0, f"the history has no line with the hash {known}: its end was cut off, or it is another store's")


# Each row is the one that the last line of its key tells of, and each has such a line.

Digests = dict[str, str]  # by key; what is there, as a line of the history would tell of it


def _unlike(
    connection: Connection, kind: str, table: Table, there: Callable[[Sequence[str]], Digests]
) -> Iterator[Fault]:  # fmt: skip
    told = 0
    for lines in _batched(_last_lines(connection, kind), CHUNK):
        told += len(lines)
        found = _readable(there, [line.key for line in lines])
        for line in lines:
            if line.key not in found:
                yield Fault(line.row, f"tells of the {kind} {line.key}, which is not there")
            elif line.detail is not None and found[line.key] != line.detail:
                yield Fault(line.row, f"tells of another {kind} {line.key} than is there")
    if (count := queries.count(connection, table)) != told:
        yield from _untold(connection, kind, table)
        yield Fault(0, f"there are {count} of kind {kind}, and the history tells of {told}")


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


def _readable(there: Callable[[Sequence[str]], Digests], keys: Sequence[str]) -> Digests:
    """A row that cannot even be read must be named, and hide no other."""
    try:
        return there(keys)
    except (ValueError, TypeError, DBAPIError):
        if len(keys) == 1:
            return {keys[0]: "what cannot be read"}
        half = len(keys) // 2
        return _readable(there, keys[:half]) | _readable(there, keys[half:])


def _untold(connection: Connection, kind: str, table: Table) -> Iterator[Fault]:
    told = {line.key for line in _last_lines(connection, kind)}
    for row in connection.execute(select(*table.primary_key), execution_options={"yield_per": CHUNK}):
        if (name := kept.name(row)) not in told:
            yield Fault(0, f"the {kind} {name} is there, and the history does not tell of it")


def _rows(connection: Connection, table: Table, keys: Sequence[str]) -> Digests:
    return kept.digests(connection, table, [kept.key(table, name) for name in keys])


def _records(connection: Connection, kind: str, names: Sequence[str]) -> Digests:
    """Of a record that does not stand in its tables as it would be written, nothing that a line could tell of."""
    shelf = SHELVES[kind]
    keys = [(name,) if len(shelf.key) == 1 else tuple(json.loads(name)) for name in names]
    records = [one for those in among(shelf.table, shelf.key, keys) for one in fetch(connection, kind, those)]
    standing = [(table, rows, _standing(connection, table, shelf.key, keys)) for table, rows in _tables_of(kind)]
    return {
        key_text(one): content(one)
        if all(there.get(key(one)) == _written(table, rows(one)) for table, rows, there in standing)
        else "other rows than it would be written as"
        for one in records
    }


Rows = set[frozenset[tuple[str, Any]]]  # of each its columns with their values


def _tables_of(kind: str) -> Iterator[tuple[Table, Callable[[Any], Iterable[Mapping[str, Any]]]]]:
    """Where a record of this kind stands, and as which rows."""
    yield SHELVES[kind].table, lambda record: [to_row(record)]
    if kind == "ranking":
        yield ranked, ranked_rows


def _standing(
    connection: Connection, table: Table, columns: Sequence[str], keys: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], Rows]:  # fmt: skip
    found: dict[tuple[str, ...], Rows] = {}
    for those in among(table, columns, keys):
        for row in connection.execute(select(*raw(table)).where(those)):
            its = {str(name): plain(value) for name, value in row._mapping.items()}
            found.setdefault(tuple(its[column] for column in columns), set()).add(frozenset(its.items()))
    return found


def _written(table: Table, rows: Iterable[Mapping[str, Any]]) -> Rows:
    return {frozenset((column.name, plain(row.get(column.name))) for column in table.c) for row in rows}

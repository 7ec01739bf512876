"""Rows that the history vouches for: whoever writes one leaves the sha256 of all of it as a line.

Not kept so is what is for the moment (sessions, slots, drafts), the log of seconds at work, and surveys, of which no
line may tell when they came.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Integer, Row, Table, Text, and_, select, type_coerce, update
from sqlalchemy.types import TypeEngine

from biddable.store import history
from biddable.store.history import Change, moment
from biddable.store.queries import among
from biddable.store.tables import Instant
from biddable.store.team_tables import (
    adjudications,
    consents,
    ratings,
    readings,
    screenings,
    sightings,
    taken_out,
    topics,
)
from biddable.store.work_tables import accounts, answers, guidelines, jobs, passes, tasks

KEPT: Mapping[str, Table] = {
    "account": accounts, "guideline": guidelines, "job": jobs, "task": tasks, "answer": answers, "pass": passes,
    "consent": consents, "topic": topics, "rating": ratings, "screening": screenings, "adjudication": adjudications,
    "reading": readings, "taking out": taken_out, "sighting": sightings,
}  # fmt: skip
_KINDS = {table.name: kind for kind, table in KEPT.items()}


def add(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], at: datetime, who: str | None = None
) -> None:
    connection.execute(table.insert(), rows)
    _tell(connection, table, [tuple(row[column] for column in _key(table)) for row in rows], at, who)


def add_numbered(
    connection: Connection, table: Table, row: Mapping[str, Any], at: datetime, who: str | None = None
) -> int:
    """A row whose number the database gives; returns it."""
    number = connection.execute(table.insert().returning(table.c.id), row).scalar_one()
    _tell(connection, table, [(number,)], at, who)
    return number


def change(
    connection: Connection, table: Table, key: Sequence[Any], values: Mapping[str, Any], at: datetime,
    who: str | None = None,
) -> None:  # fmt: skip
    """Set columns of the row with this key, where there is one."""
    its = and_(*(table.c[column] == value for column, value in zip(_key(table), key, strict=True)))
    connection.execute(update(table).where(its).values(**values))
    _tell(connection, table, [tuple(key)], at, who)


def _tell(connection: Connection, table: Table, keys: Sequence[tuple], at: datetime, who: str | None) -> None:
    """Of the rows as they stand now. They are read again: what SQLite gives back as it writes may be of another type
    than what it has written (3.40 returns an integer as a float)."""
    found = digests(connection, table, keys)
    history.write(connection, at, [Change(_KINDS[table.name], name, who, digest) for name, digest in found.items()])


def digests(connection: Connection, table: Table, keys: Iterable[tuple]) -> dict[str, str]:
    """Of the rows with these keys, by key as the history has it."""
    return {
        name([row._mapping[column] for column in _key(table)]): digest(row)
        for those in among(table, _key(table), keys)
        for row in connection.execute(select(*raw(table)).where(those).order_by(*table.primary_key))
    }


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


# A row as bytes. What the database driver would make the same of is not the same here: a truth value of 3, a moment
# whose day and hour are parted by another sign.


def raw(table: Table) -> list[ColumnElement]:
    """A table's columns with nothing read into them."""
    return [type_coerce(column, _RAW.get(type(column.type), column.type)).label(column.name) for column in table.c]


_RAW: dict[type, TypeEngine] = {Boolean: Integer(), Instant: Text()}


def plain(value: Any) -> Any:
    """The same from both databases."""
    if isinstance(value, datetime):
        return moment(value)
    return int(value) if isinstance(value, bool) else value


def digest(row: Row) -> str:
    return hashlib.sha256(json.dumps([plain(value) for value in row], ensure_ascii=False).encode()).hexdigest()


def name(parts: Sequence[Any]) -> str:
    """A key as the history has it: as it is, or a JSON list."""
    return str(parts[0]) if len(parts) == 1 else json.dumps(list(parts), ensure_ascii=False)


def key(table: Table, name: str) -> tuple[Any, ...]:
    columns = list(table.primary_key)
    return (columns[0].type.python_type(name),) if len(columns) == 1 else tuple(json.loads(name))

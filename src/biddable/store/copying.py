"""A store, whole, in another place: a backup beside people at work, or the way from SQLite to PostgreSQL and back."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, select

from biddable.store.engine import StoreError
from biddable.store.tables import metadata
from biddable.store.verify import Verdict, verify

CHUNK = 2000


def copy(source: Connection, target: Connection) -> Verdict:
    """All rows of all tables, as they are at the moment at which the source's transaction began. Returns what the
    history says of the copy. The target must be a store in which nothing is yet."""
    for table in metadata.sorted_tables:
        if target.execute(select(*table.primary_key).limit(1)).first() is not None:
            raise StoreError(f"is there already, with rows in {table.name}; a copy goes where nothing is yet")
    for table in metadata.sorted_tables:
        for rows in _rows(source, table):
            target.execute(table.insert(), rows)
        _count_on(target, table)
    return verify(target)


def _rows(source: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    found = source.execute(select(table), execution_options={"yield_per": CHUNK})
    for part in found.mappings().partitions():
        yield [dict(row) for row in part]


def _count_on(target: Connection, table: Table) -> None:
    """PostgreSQL counts by itself, and has not seen the numbers that came along."""
    counted = [column for column in table.c if column.autoincrement is True]
    if target.dialect.name != "postgresql" or not counted:
        return
    (column,) = counted
    newest = target.execute(select(func.max(column))).scalar()
    if newest is not None:
        target.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), newest)))

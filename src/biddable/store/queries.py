"""Reading: records in the order of their keys, whole tables or what a condition chooses."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from biddable.records import Group, Ranking, Record, Split
from biddable.store.rows import SHELVES, from_row
from biddable.store.tables import completions, labelers, prompts, ranked, rankings

SLICE = 5000  # values in one IN (…): SQLite takes 32,766 and PostgreSQL 65,535


def fetch(connection: Connection, kind: str, *conditions: ColumnElement[bool]) -> Iterator[Record]:
    """The records of a kind that meet the conditions (on its table), sorted by key."""
    shelf = SHELVES[kind]
    if kind == "ranking":
        yield from _rankings(connection, conditions)
        return
    query = select(shelf.table).where(*conditions).order_by(*(shelf.table.c[column] for column in shelf.key))
    for row in _stream(connection, query):
        yield from_row(kind, row._mapping)


def holds(connection: Connection, kind: str, split: Split | None) -> bool:
    """Whether there is any record of a kind, about prompts of a split where one is said."""
    table = SHELVES[kind].table
    some = select(literal(1)).select_from(table).where(*chosen(table, split, None)).limit(1)
    return connection.execute(some).first() is not None


def named(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, Record]:
    """The records with these ids. What is asked for at every page and submission is put together once."""
    rows: Iterable[Any] = connection.execute(_by_id(kind), {"ids": list(ids)}) if ids else ()
    return {row.id: from_row(kind, row._mapping) for row in rows}


@cache
def _by_id(kind: str) -> Select[Any]:
    table = SHELVES[kind].table
    return select(table).where(table.c.id.in_(bindparam("ids", expanding=True)))


def among(table: Table, columns: Sequence[str], keys: Iterable[tuple[str, ...]]) -> Iterator[ColumnElement[bool]]:
    """Conditions which together choose the rows that have one of these keys."""
    keys = list(keys)
    step = SLICE // len(columns)
    for start in range(0, len(keys), step):
        part = keys[start : start + step]
        first = table.c[columns[0]].in_(sorted({key[0] for key in part}))
        if len(columns) == 1:
            yield first
        else:
            # Of several keys with an order by them SQLite reads the whole table, if nothing says where to look.
            yield and_(first, tuple_(*(table.c[column] for column in columns)).in_(part))


def chosen(table: Table, split: Split | None, group: Group | None) -> list[ColumnElement[bool]]:
    """The rows about prompts of a split, by labelers of a group; None is everyone, also who is no labeler."""
    conditions: list[ColumnElement[bool]] = []
    if split is not None:
        of_split = select(prompts.c.id).where(prompts.c.split == split)
        if "prompt_id" in table.c:
            conditions.append(table.c.prompt_id.in_(of_split))
        elif table is prompts:
            conditions.append(prompts.c.split == split)
        else:
            its = select(completions.c.id).where(completions.c.prompt_id.in_(of_split))
            conditions.append(table.c.completion_id.in_(its))
    if group is not None and "labeler" in table.c:
        # Not `labeler IN`: with `prompt_id IN` beside it SQLite looks for each prompt with each labeler.
        conditions.append(exists().where(labelers.c.id == table.c.labeler, labelers.c.group == group))
    return conditions


def count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()


def counts(connection: Connection) -> dict[str, int]:
    """How many rows each table of records has."""
    return {shelf.table.name: count(connection, shelf.table) for shelf in SHELVES.values()}


def any_of(conditions: Iterable[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    """One condition from many, in a list; no condition at all chooses nothing."""
    return [or_(False, *conditions)]


def _rankings(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> Iterator[Ranking]:
    its = (ranked.c.prompt_id == rankings.c.prompt_id) & (ranked.c.labeler == rankings.c.labeler)
    query = (
        select(rankings, ranked.c.completion_id, ranked.c.tier, ranked.c.shown.label("shown"))
        .join(ranked, its)
        .where(*conditions)
        .order_by(rankings.c.prompt_id, rankings.c.labeler, ranked.c.tier, ranked.c.place)
    )
    for _, rows in itertools.groupby(_stream(connection, query), key=attrgetter("prompt_id", "labeler")):
        of_one = list(rows)
        tiers = [[row.completion_id for row in tier] for _, tier in itertools.groupby(of_one, key=attrgetter("tier"))]
        first = of_one[0]
        seen = sorted(of_one, key=attrgetter("shown")) if first.shown is not None else None
        yield Ranking(
            prompt_id=first.prompt_id,
            labeler=first.labeler,
            order=tuple(map(tuple, tiers)),
            shown=seen and tuple(row.completion_id for row in seen),
            seconds=first.seconds,
            at=first.at,
            guidelines=first.guidelines,
            propensity=first.propensity,
            extra=first.extra,
        )


def _stream(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """Rows a few thousand at a time: a table may be larger than memory."""
    return iter(connection.execute(query, execution_options={"yield_per": 2000}))

"""Change one bit of one row of a store, again and again: each change must be found, and the row be named.

python tests/store/mutations.py --count 10000
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Table
from sqlalchemy.exc import IntegrityError

from biddable.store import Store, history, kept, open_store, verify
from biddable.store.kept import KEPT
from biddable.store.rows import SHELVES
from biddable.store.tables import changes, ranked

VOUCHED: dict[Table, tuple[str, tuple[str, ...]]] = {
    **{shelf.table: (kind, shelf.key) for kind, shelf in SHELVES.items()},
    ranked: ("ranking", SHELVES["ranking"].key),
    **{table: (kind, tuple(column.name for column in table.primary_key)) for kind, table in KEPT.items()},
}  # the kind and the key under which the history tells of a table's rows


def hunt(store: Store, count: int, seed: int = 0) -> list[str]:
    """The changes to the history that were not found, or not where they were made. Nothing of them is kept."""
    rng, missed = random.Random(seed), []
    with store.writing() as connection:
        whole = connection.begin_nested()
        unguard(connection)
        numbers = connection.exec_driver_sql("SELECT id FROM changes ORDER BY id").scalars().all()
        columns = [column.name for column in changes.c if column.name != "id"]
        for _ in range(count):
            one = connection.begin_nested()
            number = rng.choice(numbers)
            column = flip(connection, changes, number, columns, rng)
            found = next(history.faults(connection), None)
            if found is None or found.row != number:
                missed.append(f"row {number}, {column}: {found}")
            one.rollback()
        whole.rollback()
    return missed


def hunt_rows(store: Store, table: Table, count: int, seed: int = 0) -> list[str]:
    """The same of a table that the history vouches for: its key must be told."""
    rng, missed = random.Random(f"{seed} {table.name}"), []
    kind, key = VOUCHED[table]
    columns = [column.name for column in table.c]
    with store.writing() as connection:
        whole = connection.begin_nested()
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        numbers = connection.exec_driver_sql(f'SELECT rowid FROM "{table.name}"').scalars().all()
        assert numbers, f"{table.name}: has no rows, so nothing can be found in it"
        for _ in range(count):
            one = connection.begin_nested()
            number = rng.choice(numbers)
            at = connection.exec_driver_sql(f'SELECT * FROM "{table.name}" WHERE rowid = ?', (number,)).one()
            name = kept.name([at._mapping[part] for part in key])
            column = flip(connection, table, number, columns, rng)
            found = [fault.why for fault in verify.faults(connection)]
            if not any(f"{kind} {name}" in why for why in found):
                missed.append(f"{kind} {name}, {column}: {found[:2]}")
            one.rollback()
        whole.rollback()
    return missed


def unguard(connection: Connection) -> None:
    for verb in ("update", "delete"):
        connection.exec_driver_sql(f"DROP TRIGGER changes_no_{verb}")


def flip(connection: Connection, table: Table, number: int, columns: Sequence[str], rng: random.Random) -> str:
    """Flip a bit of a column of this row that has any. What the database refuses, or keeps as it was, is no change."""
    while True:
        column = rng.choice(columns)
        query = f'SELECT CAST("{column}" AS BLOB) FROM "{table.name}" WHERE rowid = ?'
        there = connection.exec_driver_sql(query, (number,)).scalar()
        if not there:
            continue
        changed = bytearray(there)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        change = f'UPDATE "{table.name}" SET "{column}" = CAST(? AS TEXT) WHERE rowid = ?'
        one = connection.begin_nested()
        try:
            connection.exec_driver_sql(change, (bytes(changed), number))
            if connection.exec_driver_sql(query, (number,)).scalar() != there:  # " .0" is kept as 0.0
                one.commit()
                return column
        except IntegrityError:
            pass
        one.rollback()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--count", type=int, default=10_000)
    sys.path.insert(0, str(Path(__file__).parent))
    from lived import live_in

    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "s.db", lambda: datetime(2026, 3, 1, tzinfo=UTC)) as store,
    ):
        live_in(store)
        count = asked.parse_args().count
        missed = hunt(store, count)
        each = count // len(VOUCHED)
        missed_rows = [one for table in VOUCHED for one in hunt_rows(store, table, each)]
    print(f"{count} bits flipped in the history, {len(missed)} not found at their row", *missed[:10], sep="\n  ")
    print(
        f"{each * len(VOUCHED)} bits flipped in {len(VOUCHED)} tables, {len(missed_rows)} not found, or not named",
        *missed_rows[:10],
        sep="\n  ",
    )
    raise SystemExit(bool(missed or missed_rows))


if __name__ == "__main__":
    main()

"""Change one bit of one row of a store's history, again and again: each change must be found, at its row.

python tests/store/mutations.py --count 10000
"""

import argparse
import random
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from biddable.store import Store, history, open_store

COLUMNS = ("at", "what", "key", "who", "detail", "hash")


def hunt(store: Store, count: int, seed: int = 0) -> list[str]:
    """The changes that were not found, or not where they were made. Nothing of them is kept."""
    rng, missed = random.Random(seed), []
    with store.writing() as connection:
        whole = connection.begin_nested()
        for verb in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER changes_no_{verb}")
        numbers = connection.exec_driver_sql("SELECT id FROM changes ORDER BY id").scalars().all()
        for _ in range(count):
            one = connection.begin_nested()
            number = rng.choice(numbers)
            column = _change(connection, number, rng)
            found = next(history.faults(connection), None)
            if found is None or found.row != number:
                missed.append(f"row {number}, {column}: {found}")
            one.rollback()
        whole.rollback()
    return missed


def _change(connection: Connection, number: int, rng: random.Random) -> str:
    """Flip a bit of a column of this row that has any."""
    kept = None
    while not kept:
        column = rng.choice(COLUMNS)
        query = f"SELECT CAST({column} AS BLOB) FROM changes WHERE id = ?"
        kept = connection.exec_driver_sql(query, (number,)).scalar()
    changed = bytearray(kept)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    change = f"UPDATE changes SET {column} = CAST(? AS TEXT) WHERE id = ?"
    connection.exec_driver_sql(change, (bytes(changed), number))
    return column


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--count", type=int, default=10_000)
    sys.path.insert(0, str(Path(__file__).parent))
    from village import everything

    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "s.db", lambda: datetime(2026, 3, 1, tzinfo=UTC)) as store,
    ):
        store.add_many(everything())
        count = asked.parse_args().count
        missed = hunt(store, count)
    print(f"{count} bits flipped in the history, {len(missed)} not found at their row", *missed[:10], sep="\n  ")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()

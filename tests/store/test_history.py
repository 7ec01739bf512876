"""The history is a chain: what is altered, removed, put in or moved in it is found, at its row."""

import pytest
from mutations import hunt
from village import everything

from biddable.store import Store, history, open_store


@pytest.fixture
def lived_in(tmp_path):
    with open_store(tmp_path / "s.db") as store:
        store.add_many(everything())
        store.skip("p1", "ann", "rank", "unclear — ü")
        yield store


def faults(store: Store, sql: str) -> list[history.Fault]:
    """What is found after this; it is not kept."""
    with store.writing() as connection:
        whole = connection.begin_nested()
        for verb in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER changes_no_{verb}")
        connection.exec_driver_sql(sql)
        found = list(history.faults(connection))
        whole.rollback()
    return found


def test_a_bit_flipped_anywhere_is_found_at_its_row(lived_in: Store):
    """`python tests/store/mutations.py` does ten thousand."""
    assert hunt(lived_in, 400) == []


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("UPDATE changes SET id = 1000 WHERE id = (SELECT max(id) FROM changes)", 1000),
        ("DELETE FROM changes WHERE id = 7", 8),
        ("DELETE FROM changes WHERE id = 1", 2),
        ("UPDATE changes SET who = NULL WHERE what = 'skip'", None),
        ("UPDATE changes SET hash = NULL WHERE id = 7", 7),
        ("INSERT INTO changes (at, what, key, hash) SELECT at, what, key, hash FROM changes WHERE id = 7", None),
        ("INSERT INTO changes (at, what, key) SELECT at, what, key FROM changes WHERE id = 7", None),
    ],
)
def test_what_is_moved_removed_or_put_in_is_found(lived_in: Store, sql: str, row: int | None):
    found = faults(lived_in, sql)
    assert found
    assert row is None or found[0].row == row


def test_the_chain_holds_on_either_database(where: str):
    with open_store(where) as store:
        store.add_many(everything())
        store.add_many(everything())
        store.skip("p1", "ann", "rank", "unclear")
        with store.reading() as connection:
            assert list(history.faults(connection)) == []

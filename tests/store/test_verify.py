"""`biddable verify`: whatever is changed in any row that the history vouches for is found, and the row is named."""

from collections.abc import Callable

import pytest
from lived import live_in
from moulds import Fill, Moulds
from mutations import VOUCHED, hunt_rows

from biddable.store import Store, open_store, verify
from biddable.store.tables import metadata

# Where nothing is vouched for: what is for the moment, the log of seconds, the history itself, and the anonymous.
NOT_VOUCHED = {"sessions", "slots", "drafts", "activity", "changes", "surveys", "names"}


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory, moulds: Moulds):
    with open_store(moulds.file(tmp_path_factory.mktemp("verify") / "s.db", live_in)) as store:
        yield store


def test_each_table_is_vouched_for_or_said_not_to_be():
    assert {table.name for table in VOUCHED} | NOT_VOUCHED == set(metadata.tables)


@pytest.mark.parametrize("table", VOUCHED, ids=lambda table: table.name)
def test_a_bit_flipped_in_a_row_is_found_and_the_row_named(lived_in: Store, table):
    """`python tests/store/mutations.py` does ten thousand."""
    assert hunt_rows(lived_in, table, 12) == []


@pytest.mark.parametrize("table", VOUCHED, ids=lambda table: table.name)
def test_a_row_that_is_gone_is_named(lived_in: Store, table):
    kind, _ = VOUCHED[table]
    with lived_in.writing() as connection:
        whole = connection.begin_nested()
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql(f'DELETE FROM "{table.name}" WHERE rowid = (SELECT max(rowid) FROM "{table.name}")')
        found = next(verify.faults(connection))
        whole.rollback()
    assert f" {kind} " in found.why
    assert found.row > 0


def test_a_row_that_nobody_told_of_is_named(lived_in: Store):
    with lived_in.writing() as connection:
        whole = connection.begin_nested()
        connection.exec_driver_sql(
            "INSERT INTO guidelines (id, purpose, number, text, at) "
            "VALUES ('g-forged', 'training', 9, 'Rank mine first.', '2026-11-02 12:00:00.000000')"
        )
        found = next(verify.faults(connection))
        whole.rollback()
    assert "guideline g-forged" in found.why


def test_all_is_sound_and_a_changed_row_found_on_either_database(filled: Callable[[Fill], str]):
    with open_store(filled(live_in)) as store:
        with store.reading() as connection:
            assert list(verify.faults(connection)) == []
        for change in (
            "UPDATE answers SET late = true",
            "UPDATE tasks SET propensity = 0.5",
            "UPDATE jobs SET made = at",
        ):
            with store.writing() as connection:
                whole = connection.begin_nested()
                source = " FROM guidelines" if "= at" in change else ""
                connection.exec_driver_sql(change + source)
                assert len(list(verify.faults(connection))) > 0
                whole.rollback()

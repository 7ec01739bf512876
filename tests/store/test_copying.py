"""`biddable copy`: all of a store, in a file or in PostgreSQL, and the way back."""

import threading

import pytest
from lived import live_in
from sqlalchemy import func, select

from biddable.records import Prompt
from biddable.store import Store, StoreError, accounts, copying, history, open_store
from biddable.store.history import Change
from biddable.store.tables import metadata


def everything(store: Store) -> dict[str, list]:
    with store.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def copied(source: Store, target: Store):
    with source.reading() as here, target.writing() as there:
        return copying.copy(here, there)


@pytest.mark.parametrize("back", [False, True], ids=["to PostgreSQL", "and back"])
def test_all_of_a_store_goes_to_another_and_is_sound_there(both, tmp_path, back):
    one, other = both
    live_in(one)
    with one.writing() as connection:
        accounts.open_door(connection, accounts.everyone(connection)[0].labeler, "session", one.clock())
    found = copied(one, other)
    if back:
        with open_store(tmp_path / "three.db") as third:
            assert copied(other, third) == found
            assert everything(third) == everything(one)
    there = everything(other)
    assert found.sound
    assert found.rows > 50
    assert {name for name, rows in there.items() if not rows} <= {"surveys", "drafts"}
    assert there == everything(one)


def test_numbers_go_on_behind_what_came_along(both):
    one, other = both
    live_in(one)
    copied(one, other)
    with other.writing() as connection:
        counted = [column for table in metadata.sorted_tables for column in table.c if column.autoincrement is True]
        assert {column.table.name for column in counted} == {"changes", "answers", "activity", "screenings"}
        for column in counted:
            following = func.nextval(func.pg_get_serial_sequence(column.table.name, column.name))
            newest = connection.execute(select(func.max(column))).scalar_one()
            assert connection.execute(select(following)).scalar_one() == newest + 1


def test_a_copy_goes_only_where_nothing_is(both):
    one, other = both
    other.add_prompts([Prompt(id="p", text="Here already.")])
    with pytest.raises(StoreError, match=r"is there already, with rows in .*; a copy goes where nothing is yet"):
        copied(one, other)


def test_a_copy_is_of_one_moment_while_people_go_on(tmp_path):
    """What they do meanwhile is in the store, and the copy is sound without it."""
    with open_store(tmp_path / "one.db") as one, open_store(tmp_path / "other.db") as other:
        live_in(one)
        stop, done = threading.Event(), []

        def work() -> None:
            while not stop.is_set():
                with one.writing() as connection:
                    history.write(connection, one.clock(), [Change("went on", str(len(done)))])
                done.append(1)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            while len(done) < 10:
                pass
            found, before = copied(one, other), len(done)
            while len(done) < before + 10:
                pass
        finally:
            stop.set()
            worker.join()
        assert found.sound
        assert 50 < found.rows < len(everything(one)["changes"])

"""Opening a store: its schema is brought up to date, SQLite is set up as a server's store, and faults are one line."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text
from village import PROMPTS

from biddable.store import Store, StoreError, engine, migrate, open_store, tables


@pytest.fixture
def bare(nowhere: str):
    """A connection's maker to a place where no store is yet."""
    made: Engine = engine.connect(engine.locate(nowhere), foreign_keys=False)
    yield made
    made.dispose()


def test_migrating_up_from_nothing_gives_the_tables(bare: Engine):
    migrate.upgrade(bare)
    with bare.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert migrate.revision(connection) == migrate.head()
    migrate.upgrade(bare)  # again is nothing


def test_the_steps_are_alembics():
    script = ScriptDirectory(str(migrate.HERE))
    assert migrate.steps() == [step.revision for step in script.walk_revisions()][::-1]


def test_a_store_that_is_up_to_date_opens_without_alembic(tmp_path: Path):
    where = tmp_path / "store.db"
    open_store(where).close()
    code = "import sys; from biddable.store import open_store; open_store(sys.argv[1]).close(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(where)], capture_output=True, text=True, check=True)
    assert "sqlalchemy" in done.stdout.split()
    assert "alembic" not in done.stdout.split()


def test_the_names_of_constraints_are_those_of_the_tables(bare: Engine):
    """Autogenerate does not compare the names of keys, and a later migration can only drop what it can name."""
    migrate.upgrade(bare)
    with bare.connect() as connection:
        found = _constraint_names(connection)
        tables.metadata.drop_all(connection)
        tables.metadata.create_all(connection)
        assert found == _constraint_names(connection)
        connection.rollback()


def _constraint_names(connection) -> set[tuple[str, str]]:
    looked = inspect(connection)
    found = set()
    for table in tables.metadata.tables:
        named = [
            looked.get_pk_constraint(table),
            *looked.get_foreign_keys(table),
            *looked.get_unique_constraints(table),
        ]
        found |= {(table, constraint["name"]) for constraint in [*named, *looked.get_indexes(table)]}
    return found


def test_ids_are_sorted_by_their_bytes_on_a_server_of_any_language(database: str):
    open_store(database).close()
    made = engine.connect(engine.locate(database))
    query = (
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE collation_name = 'C' AND table_schema = 'public'"
    )
    with made.connect() as connection:
        found = {tuple(row) for row in connection.execute(text(query))}
        declared = {
            (table.name, column.name)
            for table in tables.metadata.sorted_tables
            for column in table.c
            if getattr(column.type.dialect_impl(connection.dialect), "collation", None) == "C"
        }
    made.dispose()
    assert found == declared
    keys = {(t.name, c.name) for t in tables.metadata.sorted_tables for c in t.primary_key if c.type.python_type is str}
    assert keys <= found


def test_a_migration_that_fails_leaves_nothing(bare: Engine, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "take_turn", lambda connection: connection.execute(text("CREATE TABLE skips (x int)")))
        with pytest.raises(Exception, match="skips"):
            migrate.upgrade(bare)
    with bare.connect() as connection:
        assert migrate.revision(connection) is None
    migrate.upgrade(bare)


def test_a_newer_schema_is_refused(nowhere: str, bare: Engine):
    open_store(nowhere).close()
    with engine.writing(bare).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="its schema 9999 is newer than this program's; upgrade biddable"):
        open_store(nowhere)


def test_what_was_there_is_there_after_opening_again(nowhere: str):
    with open_store(nowhere) as store:
        store.add_prompts(PROMPTS)
    with open_store(nowhere) as store:
        assert list(store.prompts()) == PROMPTS


def test_sqlite_is_set_up_as_a_servers_store(tmp_path: Path):
    with open_store(tmp_path / "s.db") as store, store._reading() as connection:
        said = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert said == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


def test_a_url_may_say_postgresql_alone(database: str):
    assert database.startswith("postgresql://")
    with open_store(database) as store:
        assert store.add_prompts(PROMPTS) == 3
    with open_store(database.replace("postgresql://", "postgresql+psycopg://")) as store:
        assert store.counts()["prompts"] == 3


def test_an_sqlite_url_is_a_path(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/s.db") as store:
        store.add_prompts(PROMPTS)
    with open_store(tmp_path / "s.db") as store:
        assert store.counts()["prompts"] == 3


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("{}/none/s.db", "/none/s.db: its folder does not exist; make it first"),
        ("mysql://me:secret@host/db", "mysql://…: not a store; give the path of an SQLite file, or postgresql://"),
        ("postgresql://me:secret@localhost:1/db", "me:***@localhost:1/db: connection failed"),
        (":memory:", "a store is a file"),
        ("sqlite://", "not a store"),
    ],
)
def test_a_place_that_cannot_be_is_one_clear_line_without_the_password(tmp_path: Path, place: str, says: str):
    with pytest.raises(StoreError) as caught:
        open_store(place.format(tmp_path))
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "prompts.csv"
    path.write_text("text\n" + "hello\n" * 1000)
    with pytest.raises(StoreError, match=r"prompts\.csv: file is not a database"):
        open_store(path)
    assert path.read_text() == "text\n" + "hello\n" * 1000


def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def small(path: Path) -> Store:
        store = open_store(path)
        # Pages of 4096 bytes: room for what is there and little more.
        with store._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
        return store

    with small(tmp_path / "s.db") as store:
        assert store.add_prompts(PROMPTS) == 3
        with pytest.raises(StoreError, match=r"s\.db: database or disk is full"):
            store.add_prompts([type(PROMPTS[0])(id="big", text="x" * 100_000)])
        assert store.add_prompts([*PROMPTS, type(PROMPTS[0])(id="small", text="x")]) == 1
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()

"""Bring a store's schema to that of this program: one linear history for both engines, shipped in the package.

Its steps are files named by their numbers. Alembic is loaded only where there is something to do: each command opens
a store, and it takes a tenth of a second and 11 MB.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from biddable.store.engine import StoreError, shown, take_turn, writing

HERE = Path(__file__).parent / "migrations"


def steps() -> list[str]:
    return sorted(path.name.split("_")[0] for path in (HERE / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The schema revision of this program."""
    return steps()[-1]


def revision(connection: Connection) -> str | None:
    """The schema revision of a store; None where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()


def upgrade(engine: Engine) -> None:
    """Migrate to head, all or nothing. `engine` checks no foreign keys as it goes, since SQLite alters a table by
    copying and dropping it; they are checked at the end."""
    with engine.connect() as connection:
        found = revision(connection)
    if found == head():
        return
    if found is not None and found not in steps():
        raise StoreError(f"{shown(engine.url)}: its schema {found} is newer than this program's; upgrade biddable")
    with writing(engine).begin() as connection:
        take_turn(connection)
        go_to(connection, head())
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, f"the migration left {len(broken)} rows that name the unknown"


def go_to(connection: Connection, step: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    # The default cuts paths at spaces, and a home folder may have one.
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, step)

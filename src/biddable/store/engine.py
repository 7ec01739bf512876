"""One SQLAlchemy engine a store: SQLite as a server's store should be set up, or PostgreSQL by URL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from biddable.records import Record

try:
    import fcntl
except ImportError:  # Windows: threads of one process still take turns
    fcntl = None

BUSY_SECONDS = 30  # how long a writer waits for another process's transaction
READERS = 16  # connections of one process; whoever comes then waits for one
_LOCK = 0x6269646461626C65  # "biddable": PostgreSQL's advisory locks are numbers


class StoreError(ValueError):
    """What the store cannot take or find: which record, and why. `about` is the record, for whoever knows its row."""

    def __init__(self, what: str, about: Record | None = None) -> None:
        super().__init__(what)
        self.about = about


class Full(StoreError):
    """There is no room on the disk. Nothing of the change is kept, and it can be tried again when there is."""


class Away(StoreError):
    """The database does not answer now: it is stopped, busy for too long, or its disk refuses. Whether the change is
    kept is not known, and it can be tried again."""


def is_full(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == "53100"


_AWAY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR}


def is_away(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _AWAY  # the rest of an IOERR says at which of its calls
    return error.connection_invalidated or isinstance(error, OperationalError)


def locate(where: str | Path) -> URL:
    """The URL of a store: a path is SQLite; postgresql:// means psycopg, the one driver that we ship."""
    text = str(where)
    if ":memory:" in text:
        raise StoreError(f"{text}: a store is a file; what is only in memory loses people's labels")
    if "://" not in text:
        return URL.create("sqlite", database=text)
    with suppress(ArgumentError):
        url = make_url(text)
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        if url.drivername in ("sqlite", "postgresql+psycopg") and (url.database or url.drivername != "sqlite"):
            return url
    scheme = text.split("://")[0]
    raise StoreError(f"{scheme}://…: not a store; give the path of an SQLite file, or postgresql://user@host/database")


def connect(url: URL, *, foreign_keys: bool = True) -> Engine:
    """An engine whose transactions begin as writers where `writing` asked for it, and as readers elsewhere."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, foreign_keys)
    try:
        return create_engine(
            url, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=READERS, max_overflow=0
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(f"{shown(url)}: needs psycopg; pip install 'biddable[postgres]'") from error


def shown(url: URL) -> str:
    """How an error names the store: never with its password."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _sqlite(url: URL, foreign_keys: bool) -> Engine:
    # As many readers as a server can keep busy; one that is opened anew takes longer than what it is to read.
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=READERS, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # Python would begin transactions by itself, deferred; we say BEGIN (below).
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "journal_mode=WAL",
            "synchronous=FULL",  # NORMAL may lose an acknowledged label when the power fails
            f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
            "mmap_size=0",  # a mapped file turns a WAL fault into a damaged database
            "trusted_schema=OFF",
            "cell_size_check=ON",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails at once when another wrote between, whatever the
        # busy timeout: 64 such writers did 8-16 submissions a second and half a million SQLITE_BUSY in 12 s.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def writing(engine: Engine) -> Engine:
    """The engine, its transactions beginning as writers."""
    return engine.execution_options(writes=True)


def reading(engine: Engine) -> Engine:
    """The engine, each of its transactions seeing one moment of the store (SQLite's WAL does so by itself)."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")


@contextmanager
def turn(url: URL) -> Iterator[None]:
    """One process at a time writes to an SQLite store, or copies its WAL.

    BEGIN IMMEDIATE keeps writers apart, but not the copying of the WAL that follows a commit, and two at once could
    damage the database before SQLite 3.51.3; many systems ship an older one. A killed process leaves no lock."""
    if fcntl is None or url.get_backend_name() != "sqlite":
        yield
        return
    try:
        file = open(f"{url.database}.lock", "w")  # noqa: SIM115 (closed below, but its own errors are told apart)
    except OSError as error:
        raise StoreError(f"{url.database}: cannot be written: {error.strerror}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def take_turn(connection: Connection) -> None:
    """One writer at a time on PostgreSQL too, until the transaction ends.

    Then look-then-insert is sound without retries, and `changes` is in the order of the commits: whoever has read
    up to change n has missed nothing before it."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")

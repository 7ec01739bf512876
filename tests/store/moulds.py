"""Stores that are made once in a session and copied for each test: to bring an empty one's schema up to date takes a
quarter of a second, and to copy it next to nothing. That a store is made where nothing is, test_opening tests."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import event
from sqlalchemy.pool import Pool

from biddable.store import Store, open_store

Fill = Callable[[Store], object]


def nothing(_: Store) -> None:
    """An empty store."""


class Moulds:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.databases: set[str] = set()

    def file(self, at: Path, fill: Fill = nothing) -> str:
        """The path of a new SQLite store that is filled so."""
        mould = self.folder / f"{fill.__name__}.db"
        if not mould.exists():
            with open_store(mould) as store:
                fill(store)
        shutil.copy(mould, at)
        return str(at)

    def database(self, postgres: str, fill: Fill = nothing) -> str:
        """The URL of a PostgreSQL store that is filled so. One at a time: the next takes its place."""
        mould = f"mould_{fill.__name__}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            if mould not in self.databases:
                connection.execute(f"CREATE DATABASE {mould} TEMPLATE template0")
                with open_store(_beside(postgres, mould)) as store:
                    fill(store)
                self.databases.add(mould)
            connection.execute("DROP DATABASE IF EXISTS cast_of_mould WITH (FORCE)")
            connection.execute(f"CREATE DATABASE cast_of_mould TEMPLATE {mould} STRATEGY FILE_COPY")
        return _beside(postgres, "cast_of_mould")


def _beside(postgres: str, name: str) -> str:
    found = postgres.replace("/postgres?", f"/{name}?")
    assert found != postgres, "the server's own database is called postgres"
    return found


@contextmanager
def spared_the_disk() -> Iterator[None]:
    """SQLite does not wait for the disk, which takes it 5 ms a transaction, and longer where others write, too. Only a
    power cut would tell: that it waits where nothing is spared, test_opening and test_powercut see."""

    def spare(connection: object, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Pool, "checkout", spare)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", spare)

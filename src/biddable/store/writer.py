"""The one writer of a serving process: many people's changes in one transaction, each answered after it is on disk.

A transaction waits for the disk once, however many changes it holds, and SQLite has one writer at a time anyway. So
changes queue up while one commit is under way and are committed together; each stands in a savepoint of its own, so
that one that is refused takes no other with it.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from biddable.store.keeper import Store

T = TypeVar("T")
Work = Callable[[Connection], Any]

GROUP = 64  # changes in one commit, at most
STATEMENT = (IntegrityError, DataError, ProgrammingError)  # one statement's fault: its savepoint takes it back


class Writer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.SimpleQueue[tuple[Work, Future] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """After all that was asked for is done."""
        self._waiting.put(None)
        self._thread.join()

    def ask(self, work: Callable[[Connection], T]) -> "Future[T]":
        """Have it done; the result is there once it is on disk."""
        done: Future[T] = Future()
        self._waiting.put((work, done))
        return done

    def do(self, work: Callable[[Connection], T]) -> T:
        return self.ask(work).result()

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, last = [first], False
            while len(group) < GROUP and not last:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                else:
                    group.append(more)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[tuple[Work, Future]]) -> None:
        results: list[tuple[Future, Any, BaseException | None]] = []
        try:
            with self._store.writing() as connection:
                for work, done in group:
                    results.append((done, *_alone(connection, work)))
        except Exception as error:  # nothing of the group is on disk: nobody may believe otherwise
            for _, done in group:
                done.set_exception(error)
            return
        for done, value, error in results:
            if error is None:
                done.set_result(value)
            else:
                done.set_exception(error)


def _alone(connection: Connection, work: Work) -> tuple[Any, BaseException | None]:
    """What a change gave, or why it was refused and taken back. Raises when all of the transaction is gone."""
    savepoint = connection.begin_nested()
    try:
        value = work(connection)
        savepoint.commit()
        return value, None
    except Exception as error:
        # A full disk or a lost connection ends the whole transaction: there is no savepoint to go back to.
        if isinstance(error, DBAPIError) and not isinstance(error, STATEMENT):
            raise
        savepoint.rollback()
        return None, error

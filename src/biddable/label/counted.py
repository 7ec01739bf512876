"""Figures that take seconds to count: counted beside the pages, shown with the moment at which they were true."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Waited
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import Depends, Request

T = TypeVar("T")

FRESH = 2.0  # seconds for which a figure is not counted again
SHARE = 20  # nor for so many times as long as its counting took: it may take one core's twentieth
PATIENCE = 0.3  # seconds that a page waits for the very first, and for one that took less the last time


class Figure(NamedTuple, Generic[T]):
    value: T
    at: datetime


class Counted:
    """One count at a time of each name, in the background; a page gets the last one that is done."""

    def __init__(self, workers: ThreadPoolExecutor) -> None:
        self._workers, self._lock = workers, threading.Lock()
        self._last: dict[str, tuple[Figure, float, float]] = {}  # the figure, when it was done, and what it took
        self._running: dict[str, Future] = {}

    def get(
        self, name: str, count: Callable[[], T], now: datetime, fresh: float = FRESH, at_once: bool = False
    ) -> Figure[T] | None:  # fmt: skip
        """The newest figure that there is; nothing where the first is not done yet. Raises what counting raised.
        `at_once`: somebody asks for a new one, however young the last is."""
        with self._lock:
            last = self._last.get(name)
            if last is None or at_once or time.monotonic() - last[1] > max(fresh, SHARE * last[2]):
                running = self._running.get(name)
                if running is None:
                    running = self._running[name] = self._workers.submit(self._count, name, count, now)
            else:
                running = None
        waits = last is None or at_once or last[2] < PATIENCE
        if running is None or not (waits or running.done()):
            return last[0] if last else None
        try:
            return running.result(PATIENCE)
        except Waited:
            return last[0] if last else None

    def _count(self, name: str, count: Callable[[], Any], now: datetime) -> Figure:
        try:
            begun = time.monotonic()
            figure = Figure(count(), now)
            done = time.monotonic()
            with self._lock:
                self._last[name] = figure, done, done - begun
            return figure
        finally:
            with self._lock:
                self._running.pop(name, None)

    def forget(self, *names: str) -> None:
        """What was just changed by this very person should be seen by them."""
        with self._lock:
            for name in names:
                self._last.pop(name, None)


def _counted(request: Request) -> Counted:
    return request.app.state.counted


Counts = Annotated[Counted, Depends(_counted)]

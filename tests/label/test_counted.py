"""Figures that are counted beside the pages: one count at a time, the last figure meanwhile, faults told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from biddable.label.counted import Counted

NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def counted():
    with ThreadPoolExecutor(2) as workers:
        yield Counted(workers)


def test_a_quick_count_is_there_at_once_and_is_not_counted_again(counted):
    calls = []
    for _ in range(3):
        assert counted.get("a", lambda: calls.append(1) or len(calls), NOW).value == 1
    assert calls == [1]
    counted.forget("a")
    assert counted.get("a", lambda: 7, NOW).value == 7


def test_a_slow_count_runs_once_and_its_last_figure_is_shown_meanwhile(counted):
    assert counted.get("a", lambda: "old", NOW).value == "old"
    go, calls = threading.Event(), []

    def slow():
        calls.append(1)
        assert go.wait(10)
        return "new"

    assert counted.get("a", slow, NOW, fresh=-1).value == "old"
    assert counted.get("a", slow, NOW, fresh=-1).value == "old"
    go.set()
    for _ in range(2000):
        if (found := counted.get("a", slow, NOW)).value == "new":
            break
        threading.Event().wait(0.01)
    assert found.value == "new"
    assert calls == [1]


def test_the_first_of_a_slow_count_is_nothing_yet(counted):
    go = threading.Event()
    assert counted.get("a", lambda: go.wait(10), NOW) is None
    go.set()


def test_what_counting_raises_is_raised_and_tried_again(counted):
    def wrong():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        counted.get("a", wrong, NOW)
    assert counted.get("a", lambda: 1, NOW).value == 1

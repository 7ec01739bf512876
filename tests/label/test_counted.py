"""Figures that are counted beside the pages: one count at a time, the last figure meanwhile, faults told."""

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from team import hire, rank_job, ranked, stock, true_worth, work_on

from biddable.label import create_app
from biddable.label.counted import Counted

NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def app(where, clock):
    return create_app(where, clock=clock)


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


def test_who_asks_for_a_new_count_gets_it_and_the_last_one_where_it_takes_long(counted):
    assert counted.get("a", lambda: "old", NOW).value == "old"
    assert counted.get("a", lambda: "new", NOW).value == "old"
    assert counted.get("a", lambda: "new", NOW, at_once=True).value == "new"
    go = threading.Event()
    assert counted.get("a", lambda: go.wait(10), NOW, at_once=True).value == "new"
    go.set()


def test_a_count_that_is_quick_is_waited_for(counted, monkeypatch):
    """Whoever opens the page again after a while sees what is so now, and not the emptiness of before."""
    for name, value in (("PATIENCE", 60), ("SHARE", 0)):  # quick, however busy the machine is
        monkeypatch.setattr(f"biddable.label.counted.{name}", value)
    assert counted.get("a", lambda: "old", NOW).value == "old"
    assert counted.get("a", lambda: "new", NOW, fresh=-1).value == "new"


# On the pages.


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_an_empty_page_says_when_it_was_counted_what_will_be_here_and_counts_again(person, store, monkeypatch):
    monkeypatch.setattr(Counted.get, "__defaults__", (1e9, False))  # for ever fresh
    owner, _ = person("olga", "owner", "researcher")
    stock(store, 3)
    job = rank_job(store, doubly=1.0)
    for path, empty in (
        ("quality", "Here will be how often two people say the same"),
        ("pay", "Here will be a line for"),
    ):
        page = text_of(owner.get(f"/manage/{path}").text)
        assert empty in page
        assert re.search(r"As of 2\d{3}-\d\d-\d\d \d\d:\d\d ", page)
    for name in ("ann", "ben"):
        work_on(
            store, hire(store, name), lambda held: ranked(held, true_worth), store.clock() - timedelta(hours=1), job
        )
    for path, empty in (("quality", "Here will be"), ("pay", "Here will be")):
        assert empty in owner.get(f"/manage/{path}").text
        link = re.search(r'href="(\?count=now[^"]*)">Count now', owner.get(f"/manage/{path}").text).group(1)
        page = owner.get(f"/manage/{path}{html.unescape(link)}").text
        assert empty not in page
        assert "ben" in page


def test_pay_tells_active_time_from_time_by_the_clock(person, store, url, clock):
    owner, _ = person("olga", "owner", "researcher")
    stock(store, 1)
    rank_job(store, judge=False)
    ann, _ = person("ann")
    task = ann.post("/api/claim", json={}).json()["task"]
    clock.ahead = timedelta(minutes=6)
    fields = {f"rank.{one['letter']}": "1" for one in task["answers"]} | {"_key": "without script"}
    assert ann.post(f"/work/{task['task']}", data=fields, follow_redirects=False).status_code == 303
    page = text_of(owner.get("/manage/pay").text)
    assert re.search(r"ann 1 1 0\.10 0\.10 0\.10", page), page
    assert "By the clock: in a browser without script" in page

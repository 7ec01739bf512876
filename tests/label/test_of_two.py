"""Who compares two answers and prefers the one shown first, and who does not."""

import json
import random
from datetime import UTC, datetime

import pytest
from served import settled
from team import stock, taste, team, work_on

from biddable.label import measured
from biddable.measure.winrate import first_shown_rate
from biddable.store import accounts, fill, jobs, quality
from biddable.store.jobs import JobSettings

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def compare_job(store) -> None:
    with store.writing() as connection:
        settings = JobSettings(doubly=1.0, fivefold=0, gold=0)
        job = jobs.make(connection, "compare", "Compare", "evaluation", settings, NOON)
        what = fill.Fill(split="train", runs=("run-a", "run-b"))
        jobs.add(connection, job, fill.todos(connection, job, what), NOON)


def picked(rng: random.Random, pull: float):
    """The body of a comparison by noisy worth with a pull to what is shown first; now and then neither."""

    def say(held) -> str:
        first, second = (taste(rng, pull=pull)(answer, n) for n, answer in enumerate(held.completions))
        better = None if abs(first - second) < 0.2 else "A" if first > second else "B"
        return json.dumps({"better": better})

    return say


def test_who_prefers_the_first_of_two_is_found_and_who_does_not_is_not(person, app, url):
    owner, store = person("olga", "owner", "researcher")[0], app.state.desk.store
    stock(store, 200)
    compare_job(store)
    rng = random.Random(3)
    for who, pull in zip(team(store, ["ann", "bea"]), (0.0, 1.5), strict=True):
        work_on(store, who, picked(rng, pull), NOON)
    with store.reading() as connection:
        found = measured.leans(quality.leanings(connection), compared=quality.compared(connection))
        names = {one.labeler: one.name for one in accounts.everyone(connection)}
    assert found.rankings == []
    said = {names.get(one.labeler, "everyone"): one for one in found.comparisons}
    assert said["ann"].marks == []
    assert [one.what for one in said["bea"].marks] == ["place"]
    assert said["bea"].first.low > 0.6
    assert (said["ann"].comparisons, said["everyone"].comparisons) == (200, 400)
    for name, one in said.items():  # beside a count that goes through the records
        own = [v for v in store.verdicts() if name in (names[v.labeler], "everyone")]
        assert {v.a[-1] for v in own} == {"a", "b"}  # the order on the screen is drawn
        slow = first_shown_rate(own)
        assert (one.first.value, one.first.n) == (pytest.approx(slow.value), slow.n)
        if name != "everyone":  # whose interval is over prompts, and that one over people, too
            assert (one.first.low, one.first.high) == pytest.approx((slow.low, slow.high), abs=0.01)
    page = settled(owner, "/manage/quality")
    assert page.count("prefers what is shown first") == 1
    assert "Where two answers are compared" in page

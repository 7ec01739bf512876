"""What is paid of a task when the cap changes while people are at it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select
from team import rank_job, ranked, stock, team, true_worth, work_on

from biddable.cli.measuring import paid_until_now
from biddable.cli.project import Project
from biddable.store import jobs, open_store, pay
from biddable.store.work_tables import activity

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(where):
    with open_store(where) as opened:
        yield opened


def test_a_new_cap_leaves_the_days_that_are_over_as_they_were(store):
    stock(store, 1)
    job = rank_job(store, hourly=60, cap_minutes=10)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, seconds=480)

    def spend(day: int, minutes: float) -> None:
        with store.writing() as connection:
            (task,) = connection.execute(select(activity.c.task).distinct()).scalars()
            row = {"labeler": ann.labeler, "task": task, "what": "active", "seconds": 60 * minutes}
            connection.execute(activity.insert(), [row | {"at": NOON + timedelta(days=day)}])

    def cap(minutes: float, day: int) -> None:
        with store.writing() as connection:
            now = jobs.find(connection, job.id)
            new = now.settings.model_copy(update={"cap_minutes": minutes})
            jobs.change(connection, now, "Rank", new, NOON + timedelta(days=day), None)

    def paid() -> list[float]:
        with store.reading() as connection:
            return [line.pay for line in pay.sheet(connection, date(2026, 11, 1), date(2026, 11, 30))]

    assert paid() == [8.0]
    cap(2, 0)
    assert paid() == [8.0]
    spend(1, 5)
    assert paid() == [8.0, 0.0]  # eight are paid, and two are the most by now
    cap(15, 1)
    spend(2, 9)
    # By hand: on the third day 15 may be paid of the task, 8 are: so 7 of the 9.
    assert paid() == [8.0, 0.0, 7.0]
    cap(1, 2)
    assert paid() == [8.0, 0.0, 7.0]


def test_a_pay_that_is_set_before_anybody_works_holds_at_once(store):
    stock(store, 2)
    job = rank_job(store)
    (ann,) = team(store, ["ann"])
    with store.writing() as connection:
        job = jobs.change(connection, job, "Rank", job.settings.model_copy(update={"hourly": 60.0}), NOON, None)
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, seconds=60)
    with store.writing() as connection:
        jobs.change(connection, job, "Rank", job.settings.model_copy(update={"hourly": 6.0}), NOON, None)
    with store.reading() as connection:
        (line,) = pay.sheet(connection, NOON.date(), NOON.date())
    assert line.pay == 2.0  # by hand: two tasks of a minute, at a unit a minute


def test_a_measurement_knows_what_was_paid(store, where, tmp_path):
    here = Project(tmp_path, str(where))
    stock(store, 2)
    job = rank_job(store, hourly=0)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON, most=1, seconds=90)
    assert paid_until_now(here) is None  # nobody's hour has a price
    with store.writing() as connection:
        jobs.change(connection, job, "Rank", job.settings.model_copy(update={"hourly": 60.0}), NOON, None)
    work_on(store, ann, lambda held: ranked(held, true_worth), NOON + timedelta(days=1), seconds=90)
    found = paid_until_now(here)
    assert found is not None
    # By hand: of two times 90 s the second is paid, at a unit a minute; both are hours of work.
    assert (found.amount, found.hours) == (1.5, pytest.approx(0.05))

"""How far a job is and when it will be done: what counts as done, the time it is divided by, what nobody will do."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from team import hire, rank_job, ranked, stock, team, true_worth, work_on

from biddable.store import golds, jobs, progress, work
from biddable.store.work_tables import answers
from biddable.store.work_tables import jobs as all_jobs

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def owner(person):
    return person("olga", "owner", "researcher")[0]


def opened(store, job, at: datetime) -> None:
    with store.writing() as connection:
        connection.execute(update(all_jobs).where(all_jobs.c.id == job.id).values(opened=at))


def of(store, job, at: datetime) -> progress.Progress:
    with store.reading() as connection:
        return progress.of(connection, jobs.find(connection, job.id), at)


def right(held) -> str:
    return ranked(held, true_worth)


def test_what_is_said_again_or_late_or_of_a_check_is_no_progress(store, person):
    stock(store, 5)
    key = rank_job(store)
    work_on(store, hire(store, "rita", "researcher"), right, NOON, key, most=5)
    with store.writing() as connection:
        jobs.set_state(connection, key.id, "closed", NOON)
    stock(store, 10, start=20)
    job = rank_job(store, gold=0.5, revise_minutes=1000)
    with store.writing() as connection:
        jobs.add(connection, job, golds.checks(connection, job, 5), NOON)
    ann, account = person("ann")
    met = []
    work_on(store, account, lambda held: (met.append(held.gold), right(held))[1], store.clock(), job, most=9)
    tasks, checks = met.count(None), len(met) - met.count(None)
    assert tasks > 2, checks > 0
    with store.writing() as connection:
        last = connection.execute(answers.select().order_by(answers.c.id.desc())).first()
    for n in range(3):  # said again, thrice
        order = [["A"], ["B"], ["C"], ["D"]] if n % 2 else [["B"], ["A"], ["C"], ["D"]]
        sent = {"key": f"again and again {n}", "body": json.dumps({"order": order})}
        assert ann.post(f"/api/tasks/{last.task}/answer", json=sent).json()["revision"] == n + 2
    with store.writing() as connection:  # and one of the tasks came late
        first = connection.execute(answers.select().where(answers.c.job == job.id).order_by(answers.c.id)).first()
        connection.execute(update(answers).where(answers.c.id == first.id).values(late=True))
    found = of(store, job, store.clock() + timedelta(hours=1))
    in_time = tasks - (met[0] is None)
    assert (found.done, found.left, found.last_day) == (tasks, 10 - tasks, in_time)
    with store.reading() as connection:
        assert progress.by_labeler(connection, job.id) == {account.labeler: 9}
        (mine,) = [one for one in progress.of_labeler(connection, account.labeler) if one.answers]
        assert mine.answers == 9


def test_the_rate_is_of_the_time_in_which_the_job_was_open(store, owner):
    stock(store, 40)
    job = rank_job(store)
    (ann,) = team(store, ["ann"])
    work_on(store, ann, right, NOON, job, most=10)
    opened(store, job, NOON)
    after_two_hours = of(store, job, NOON + timedelta(hours=2))
    assert (after_two_hours.an_hour, after_two_hours.days_left) == (5.0, 6 / 24)  # 30 at five an hour
    opened(store, job, NOON - timedelta(days=30))
    monday = of(store, job, NOON + timedelta(days=5))  # nobody for four days
    assert (monday.last_day, monday.an_hour, monday.days_left) == (0, 10 / 168, 21)
    opened(store, job, NOON + timedelta(minutes=1))  # closed in between: what was before it says nothing
    assert of(store, job, NOON + timedelta(minutes=5)).an_hour == 4.0  # of an hour at least
    at = store.clock()
    for state in ("paused", "open", "open"):
        owner.patch(f"/api/jobs/{job.id}", json={"state": state})
    with store.reading() as connection:
        assert at <= jobs.find(connection, job.id).opened <= store.clock()
    assert of(store, job, store.clock()).days_left is None


def test_a_task_that_everybody_has_skipped_keeps_no_job_from_its_end(store, owner, person):
    stock(store, 2)
    job = rank_job(store)
    (_, one), (_, other) = person("ann"), person("ben")
    with store.writing() as connection:
        held = work.claim(connection, one, NOON)
        work.leave(connection, one, held.task, "skip", "unclear", "", NOON)
    work_on(store, one, right, NOON)
    assert of(store, job, NOON).left == 1, "ben can do it"
    with store.writing() as connection:
        assert work.claim(connection, other, NOON).task == held.task
        work.leave(connection, other, held.task, "flag", "It names a private person", "line 2", NOON)
    found = of(store, job, NOON)
    assert (found.done, found.left, found.refused) == (1, 0, {held.task: 1})
    page = owner.get(f"/manage/jobs/{job.id}").text
    assert re.findall(r'<span class="figure">([^<]*)</span>', page)[:2] == ["1", "0"]
    assert "1 task is not counted as left" in page
    assert "nothing is left" in page
    assert ">done</td>" in owner.get("/manage").text
    _, di = person("di")
    with store.writing() as connection:
        assert work.claim(connection, di, NOON).task == held.task, "whoever joins is given it"
    assert of(store, job, NOON).left == 1

"""Active time and what it is worth, out of the activity log and nothing else: the same log, the same sheet.

A sign of life says how many seconds its person was active since the last one (input within the last minute, the page
in sight; the browser leaves idle time out), and `work.beat` never counts more than has passed. What was done without
script is counted by the clock. Here a task is paid for so many minutes at most, the earliest first.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from biddable.store import jobs
from biddable.store.jobs import Job
from biddable.store.work_tables import activity, tasks


class Line(NamedTuple):
    """One person's day in one job."""

    labeler: str
    day: date
    job: str
    tasks: int  # on which they were active
    active: float  # minutes
    paid: float  # minutes, those beyond a task's cap left out
    hourly: float
    pay: float


class Spent(NamedTuple):
    labeler: str
    task: str
    day: date
    seconds: float


def sheet(connection: Connection, first: date, last: date, labeler: str | None = None) -> list[Line]:
    """The lines of the days from first to last, UTC."""
    known = {job.id: job for job in jobs.all_of(connection)}
    spent = list(_spent(connection, last, labeler, since=first))
    of_task = _jobs_of(connection, {one.task for one in spent})
    return [line for line in lines(spent, of_task, known) if first <= line.day <= last]


def lines(spent: Iterable[Spent], of_task: dict[str, str], known: dict[str, Job]) -> list[Line]:
    """Days in order, so that a cap takes from the later ones: of a day's seconds those are paid that are still free
    under its cap, of all that was paid of the task before."""
    used: dict[tuple[str, str], float] = defaultdict(float)  # seconds that are paid
    sums: dict[tuple[str, date, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for one in sorted(spent, key=lambda one: (one.day, one.labeler, one.task)):
        job = known[of_task[one.task]]
        free = max(0.0, 60 * job.cap_on(one.day) - used[one.labeler, one.task])
        paid = min(one.seconds, free)
        used[one.labeler, one.task] += paid
        sum_ = sums[one.labeler, one.day, job.id]
        sum_[0] += 1
        sum_[1] += one.seconds
        sum_[2] += paid
    return [
        _line(labeler, day, known[job], int(count), active / 60, paid / 60)
        for (labeler, day, job), (count, active, paid) in sorted(sums.items())
    ]


def _line(labeler: str, day: date, job: Job, count: int, active: float, paid: float) -> Line:
    hourly = job.hourly_on(day)
    return Line(labeler, day, job.id, count, round(active, 2), round(paid, 2), hourly, round(paid / 60 * hourly, 2))


def by_clock(connection: Connection, first: date, last: date, labeler: str | None = None) -> dict[str, float]:
    """The minutes of each person in the days from first to last that no script counted, where there are any."""
    start, end = _span(first, last)
    mine = [activity.c.labeler == labeler] if labeler else []
    those = (activity.c.what == "clock", activity.c.seconds > 0, activity.c.at >= start, activity.c.at < end, *mine)
    each = select(activity.c.labeler, func.sum(activity.c.seconds)).where(*those).group_by(activity.c.labeler)
    return {row[0]: float(row[1]) / 60 for row in connection.execute(each)}


def _span(first: date, last: date) -> tuple[datetime, datetime]:
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last + timedelta(days=1)))
    return start, end


def _spent(connection: Connection, last: date, labeler: str | None, since: date) -> Iterable[Spent]:
    """All that was spent until `last` on the tasks that were worked on since `since`: a cap looks back."""
    start, end = _span(since, last)
    mine = [activity.c.labeler == labeler] if labeler else []
    active = (activity.c.what.in_(("active", "clock")), activity.c.seconds > 0, activity.c.task.is_not(None), *mine)
    lately = select(activity.c.task).where(*active, activity.c.at >= start, activity.c.at < end)
    moment = activity.c.at if connection.dialect.name == "sqlite" else func.timezone("UTC", activity.c.at)
    day = func.date(moment)
    query = (
        select(activity.c.labeler, activity.c.task, day, func.sum(activity.c.seconds))
        .where(*active, activity.c.at < end, activity.c.task.in_(lately))
        .group_by(activity.c.labeler, activity.c.task, day)
    )
    for row in connection.execute(query):
        yield Spent(row[0], row[1], date.fromisoformat(str(row[2])), float(row[3]))


def _jobs_of(connection: Connection, names: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    some = sorted(names)
    for start in range(0, len(some), 5000):
        query = select(tasks.c.id, tasks.c.job).where(tasks.c.id.in_(some[start : start + 5000]))
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found

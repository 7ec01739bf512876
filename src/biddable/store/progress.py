"""How far the work is, how fast it goes, and when it will be done. Counted on indexes: a manager looks often."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from biddable.store import accounts, jobs
from biddable.store.jobs import Job
from biddable.store.queries import among, count
from biddable.store.tables import completions, demonstrations, prompts, rankings, scores
from biddable.store.taken_out import open_flag
from biddable.store.work_tables import accounts as people
from biddable.store.work_tables import answers, passes, slots, tasks


class Progress(NamedTuple):
    job: Job
    open: int
    held: int
    done: int
    out: int  # were taken out
    refused: dict[str, int]  # tasks that everybody at work has skipped or done, and how many open slots each has
    last_day: int  # done in the last 24 hours
    lately: int  # done in so many hours: since it was opened, or in the last week of that
    hours: float

    @property
    def left(self) -> int:
        return self.open + self.held - sum(self.refused.values())

    @property
    def an_hour(self) -> float:
        return self.lately / self.hours

    @property
    def days_left(self) -> float | None:
        """At this rate; nothing when nobody works."""
        return self.left / self.an_hour / 24 if self.lately else None


WINDOW = timedelta(days=7)  # of which every day of the week, and the nights, are a part
SHORTEST = timedelta(hours=1)  # three answers in two minutes are no rate


def of(connection: Connection, job: Job, at: datetime) -> Progress:
    left = jobs.left(connection, job.id)
    start = max(job.opened, at - WINDOW)
    hours = max(at - start, SHORTEST) / timedelta(hours=1)
    day, lately = (_done(connection, job.id, since, at) for since in (at - timedelta(days=1), start))
    refused = _refused(connection, job)
    return Progress(job, left["open"], left["leased"], left["done"], left["out"], refused, day, lately, hours)


def _refused(connection: Connection, job: Job) -> dict[str, int]:
    """Only tasks that somebody skipped or flagged are looked at: the others wait for whoever comes. An owner or a
    manager who has done nothing in the job is nobody whom its tasks wait for."""
    mine = exists().where(tasks.c.id == passes.c.task, tasks.c.job == job.id, tasks.c.gold.is_(None))
    names = connection.execute(select(passes.c.task).where(mine).distinct()).scalars().all()
    everyone = accounts.everyone(connection) if names else []
    at_work = {*by_labeler(connection, job.id)} if names else set()
    at_work |= {one.labeler for one in everyone if one.role in ("labeler", "adjudicator")}
    able = {one.labeler for one in everyone if one.state == "active" and job.suits(one.group, one.skills)}
    there: dict[str, list[str | None]] = defaultdict(list)  # the holder of each slot
    had: dict[str, set[str]] = defaultdict(set)
    for those in among(slots, ("task",), ((name,) for name in names)):
        for row in connection.execute(select(slots.c.task, slots.c.labeler).where(those, slots.c.state != "out")):
            there[row[0]].append(row[1])
    for table in (passes, answers):
        for those in among(table, ("task",), ((name,) for name in names)):
            for row in connection.execute(select(table.c.task, table.c.labeler).where(those)):
                had[row[0]].add(row[1])
                at_work.add(row[1])
    able &= at_work
    return {
        task: holders.count(None)
        for task, holders in there.items()
        if able and None in holders and able <= had[task] | set(holders)
    }


def all_of(connection: Connection, at: datetime) -> list[Progress]:
    return [of(connection, job, at) for job in jobs.all_of(connection)]


def _done(connection: Connection, job: str, start: datetime, end: datetime) -> int:
    """Slots that were done for the first time, in time; without hidden checks."""
    within = (answers.c.job == job, answers.c.at >= start, answers.c.at < end)
    first = (answers.c.revision == 1, answers.c.late.is_(False))
    query = select(func.count()).select_from(answers).where(*within, *first)
    checks = query.where(answers.c.task.in_(jobs.checks_of(job)))
    return connection.execute(query).scalar_one() - connection.execute(checks).scalar_one()


def by_day(connection: Connection, job: str, today: date, zone, days: int = 14) -> list[tuple[date, int]]:
    """Slots done on each of the last days; `zone` is the time zone in which a day begins."""
    found = []
    for back in reversed(range(days)):
        day = today - timedelta(days=back)
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
        found.append((day, _done(connection, job, start, start + timedelta(days=1))))
    return found


def by_labeler(connection: Connection, job: str) -> dict[str, int]:
    """Of those who have any. One look at an index for each person: grouping 300,000 answers takes a second."""
    theirs = (answers.c.labeler == people.c.labeler, answers.c.job == job, answers.c.revision == 1)
    query = select(people.c.labeler, select(func.count()).where(*theirs).scalar_subquery())
    return {row[0]: row[1] for row in connection.execute(query) if row[1]}


class Done(NamedTuple):
    """What one person did in one job."""

    title: str
    answers: int
    seconds: float  # active, a task, in the mean
    last: datetime


def of_labeler(connection: Connection, labeler: str) -> list[Done]:
    titles = {job.id: job.title for job in jobs.all_of(connection)}
    columns = (func.count(answers.c.task.distinct()), func.avg(answers.c.seconds), func.max(answers.c.at))
    query = select(answers.c.job, *columns).where(answers.c.labeler == labeler).group_by(answers.c.job)
    return [Done(titles[row[0]], row[1], float(row[2]), row[3]) for row in connection.execute(query)]


class Chosen(NamedTuple):
    """The tasks of a job that were chosen in one way."""

    how: str
    tasks: int
    least: float  # propensity
    most: float


def chosen(connection: Connection, job: str) -> list[Chosen]:
    columns = (func.count(), func.min(tasks.c.propensity), func.max(tasks.c.propensity))
    query = select(tasks.c.chosen_by, *columns).where(tasks.c.job == job, tasks.c.gold.is_(None))
    return [Chosen(*row) for row in connection.execute(query.group_by(tasks.c.chosen_by).order_by(tasks.c.chosen_by))]


def scorers(connection: Connection) -> list[str]:
    """The reward models whose scores have a spread."""
    query = select(scores.c.run_id).where(scores.c.spread.is_not(None)).distinct()
    return sorted(connection.execute(query).scalars())


class Left(NamedTuple):
    """A task that somebody did not want, and why."""

    task: str
    labeler: str
    what: str
    reason: str
    note: str
    at: datetime
    open: bool  # a flag that no manager has looked at


def passed(connection: Connection, job: str, most: int = 50) -> Sequence[Left]:
    """Open flags first, and the newest first."""
    waits = open_flag()
    query = select(passes, waits).where(exists().where(tasks.c.id == passes.c.task, tasks.c.job == job))
    return [Left(*row) for row in connection.execute(query.order_by(waits.desc(), passes.c.at.desc()).limit(most))]


def newest(connection: Connection, job: str, most: int = 20) -> list[tuple[str, str, datetime]]:
    """The last answers: the task, who, and when."""
    query = select(answers.c.task, answers.c.labeler, answers.c.at).where(answers.c.job == job)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(answers.c.at.desc()).limit(most))]


class Stock(NamedTuple):
    """What there is to make jobs of."""

    splits: dict[str, int]  # prompts
    runs: list[str]  # whose answers are there
    demonstrated: int
    ranked: int
    use_cases: dict[str, int]  # prompts of which one is known

    @property
    def prompts(self) -> int:
        return sum(self.splits.values())


def runs(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(completions.c.run_id).distinct()).scalars())


def stock(connection: Connection) -> Stock:
    by_split = select(prompts.c.split, func.count()).group_by(prompts.c.split)
    splits = {split or "none": count for split, count in connection.execute(by_split)}
    demonstrated, ranked = (count(connection, table) for table in (demonstrations, rankings))
    by_use = select(prompts.c.use_case, func.count()).where(prompts.c.use_case.is_not(None))
    use_cases = dict(connection.execute(by_use.group_by(prompts.c.use_case).order_by(prompts.c.use_case)).all())
    return Stock(splits, runs(connection), demonstrated, ranked, use_cases)


def mean_seconds(connection: Connection, job: str, most: int = 1000) -> tuple[float, float] | None:
    """Mean active and wall seconds of the job's newest answers."""
    newest = select(answers.c.seconds, answers.c.wall).where(answers.c.job == job)
    part = newest.order_by(answers.c.at.desc()).limit(most).subquery()
    row = connection.execute(select(func.avg(part.c.seconds), func.avg(part.c.wall))).one()
    return None if row[0] is None else (float(row[0]), float(row[1]))

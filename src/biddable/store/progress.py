"""How far the work is, how fast it goes, and when it will be done. Counted on indexes: a manager looks often."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from biddable.store import jobs
from biddable.store.jobs import Job
from biddable.store.tables import completions, demonstrations, prompts, rankings, scores
from biddable.store.work_tables import accounts, answers, passes, slots, tasks


class Progress(NamedTuple):
    job: Job
    open: int
    held: int
    done: int
    last_day: int  # answers of the last 24 hours
    last_week: int

    @property
    def left(self) -> int:
        return self.open + self.held

    @property
    def a_day(self) -> float:
        """The last 24 hours' answers; where there were none, the week's mean."""
        return float(self.last_day) if self.last_day else self.last_week / 7

    @property
    def days_left(self) -> float | None:
        """At this rate; nothing when nobody works."""
        return self.left / self.a_day if self.a_day else None


def of(connection: Connection, job: Job, at: datetime) -> Progress:
    left = jobs.left(connection, job.id)
    day, week = (_since(connection, job.id, at - timedelta(days=days)) for days in (1, 7))
    return Progress(job, left["open"], left["leased"], left["done"], day, week)


def all_of(connection: Connection, at: datetime) -> list[Progress]:
    return [of(connection, job, at) for job in jobs.all_of(connection)]


def _since(connection: Connection, job: str, start: datetime) -> int:
    query = select(func.count()).where(answers.c.job == job, answers.c.at >= start)
    return connection.execute(query).scalar_one()


def by_day(connection: Connection, job: str, today: date, zone, days: int = 14) -> list[tuple[date, int]]:
    """Answers of each of the last days; `zone` is the time zone in which a day begins."""
    found = []
    for back in reversed(range(days)):
        day = today - timedelta(days=back)
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
        query = select(func.count()).where(
            answers.c.job == job, answers.c.at >= start, answers.c.at < start + timedelta(days=1)
        )
        found.append((day, connection.execute(query).scalar_one()))
    return found


def by_labeler(connection: Connection, job: str) -> dict[str, int]:
    """Of those who have any. One look at an index for each person: grouping 300,000 answers takes a second."""
    mine = select(func.count()).where(answers.c.labeler == accounts.c.labeler, answers.c.job == job).scalar_subquery()
    query = select(accounts.c.labeler, mine)
    return {row[0]: row[1] for row in connection.execute(query) if row[1]}


class Done(NamedTuple):
    """What one person did in one job."""

    title: str
    answers: int
    seconds: float  # active, a task, in the mean
    last: datetime


def of_labeler(connection: Connection, labeler: str) -> list[Done]:
    titles = {job.id: job.title for job in jobs.all_of(connection)}
    columns = (func.count(), func.avg(answers.c.seconds), func.max(answers.c.at))
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


def passed(connection: Connection, job: str, most: int = 50) -> Sequence[Left]:
    query = select(passes).where(exists().where(tasks.c.id == passes.c.task, tasks.c.job == job))
    return [Left(*row) for row in connection.execute(query.order_by(passes.c.at.desc()).limit(most))]


class Stock(NamedTuple):
    """What there is to make jobs of."""

    splits: dict[str, int]  # prompts
    runs: list[str]  # whose answers are there
    demonstrated: int
    ranked: int

    @property
    def prompts(self) -> int:
        return sum(self.splits.values())


def runs(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(completions.c.run_id).distinct()).scalars())


def stock(connection: Connection) -> Stock:
    by_split = select(prompts.c.split, func.count()).group_by(prompts.c.split)
    splits = {split or "none": count for split, count in connection.execute(by_split)}
    said = (connection.execute(select(func.count()).select_from(t)).scalar_one() for t in (demonstrations, rankings))
    return Stock(splits, runs(connection), *said)


def mean_seconds(connection: Connection, job: str, most: int = 1000) -> tuple[float, float] | None:
    """Mean active and wall seconds of the job's newest answers."""
    newest = select(answers.c.seconds, answers.c.wall).where(answers.c.job == job)
    part = newest.order_by(answers.c.at.desc()).limit(most).subquery()
    row = connection.execute(select(func.avg(part.c.seconds), func.avg(part.c.wall))).one()
    return None if row[0] is None else (float(row[0]), float(row[1]))


def held_now(connection: Connection, job: str) -> Sequence[tuple[str, datetime]]:
    """Who holds a task of the job, and until when."""
    query = select(slots.c.labeler, slots.c.until).where(slots.c.job == job, slots.c.state == "leased")
    return [(row[0], row[1]) for row in connection.execute(query.order_by(slots.c.until))]

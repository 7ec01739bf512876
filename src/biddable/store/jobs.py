"""What is to be done: jobs, the tasks in them, and the guidelines that hold while they are done."""

import json
import random
import secrets
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from pydantic import Field
from sqlalchemy import Connection, bindparam, func, select

from biddable.config import Settings, differences
from biddable.records import Group, digest
from biddable.store import accounts, history, kept
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.queries import among
from biddable.store.rows import Task
from biddable.store.taken_out import is_out
from biddable.store.work_tables import activity, guidelines, jobs, slots, tasks

JobPurpose = Literal["training", "evaluation", "screening"]
Choose = Literal["random", "spread", "mixed"]
State = Literal["open", "paused", "closed"]


class JobSettings(Settings):
    judge: bool = Field(True, description="rank: each answer is judged before all are ranked (paper, Fig. 12)")
    groups: tuple[Group, ...] = Field((), description="whose work it is; nothing: what its purpose allows")
    doubly: float = Field(0.2, ge=0, le=1, description="share of tasks that two people do")
    fivefold: float = Field(0.05, ge=0, le=1, description="share of tasks that five people do")
    disagree: float | None = Field(
        None, gt=0, le=1, description="one more person does a task whose answers lie further apart than this, of 1"
    )
    people: int = Field(5, ge=2, le=26, description="so many people do a task at most, however much they disagree")
    skills: tuple[str, ...] = Field((), description="what somebody must be able to do to be given its tasks")
    choose: Choose = Field(
        "random",
        description="which tasks are taken where not all are: by lot, by the ensemble's spread, or some of each",
    )
    at_random: float = Field(0.25, gt=0, le=1, description="mixed: the share that is chosen by lot")
    scores: str | None = Field(None, description="whose scores tell the spread; none: the only reward model's that do")
    lease_minutes: float = Field(
        30, gt=0, le=100_000, description="how long a task is held for one person without a sign of life"
    )
    longest_hours: float = Field(8, gt=0, le=10_000, description="how long it is held with signs of life")
    quota: int | None = Field(None, ge=1, description="answers a person; none: no limit")
    revise_minutes: float = Field(
        10, ge=0, le=1_000_000, description="how long an answer can be taken back and changed"
    )
    hourly: float = Field(0.0, ge=0, description="pay an hour of active time, for the pay sheet")
    hourly_before: tuple[tuple[date, float], ...] = Field((), description="what an hour was paid until those days")
    cap_minutes: float = Field(60, gt=0, description="active minutes of one task that are paid, at most")
    cap_before: tuple[tuple[date, float], ...] = Field((), description="how many were paid until those days")
    gold: float = Field(
        0.05, ge=0, le=0.5, description="share of a person's tasks whose answer is known: hidden checks"
    )
    seed: int = Field(0, ge=0, description="the order of tasks, of answers on the screen, and which tasks overlap")


class Job(NamedTuple):
    id: str
    kind: Task
    title: str
    purpose: JobPurpose
    state: State
    settings: JobSettings
    made: datetime
    opened: datetime  # the last time

    def hourly_on(self, day: date) -> float:
        return next((rate for until, rate in self.settings.hourly_before if day <= until), self.settings.hourly)

    def cap_on(self, day: date) -> float:
        return next((cap for until, cap in self.settings.cap_before if day <= until), self.settings.cap_minutes)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Held-out labelers make no training data, and candidates only take the test (paper, App. B.1)."""
        allowed: dict[JobPurpose, tuple[Group, ...]] = {
            "training": ("training", "researcher"),
            "evaluation": ("training", "held_out", "researcher"),
            "screening": ("candidate", "researcher"),
        }
        those = allowed[self.purpose]
        return tuple(group for group in those if not self.settings.groups or group in self.settings.groups)

    def suits(self, group: str, skills: Iterable[str]) -> bool:
        return group in self.groups and set(accounts.skills(self.settings.skills)) <= set(skills)


class Todo(NamedTuple):
    """One thing to do, before it is a task."""

    prompt_id: str | None
    completions: tuple[str, ...] = ()
    gold: str | None = None
    chosen_by: str = "random"
    propensity: float = 1.0
    slots: int | None = None  # by the job's overlap, where nothing is said


def make(
    connection: Connection, kind: Task, title: str, purpose: JobPurpose, settings: JobSettings, at: datetime,
    who: str | None = None,
) -> Job:  # fmt: skip
    job = new(kind, title, purpose, settings, at)
    keep(connection, job, who)
    return job


def new(kind: Task, title: str, purpose: JobPurpose, settings: JobSettings, at: datetime) -> Job:
    """One that nobody has kept yet."""
    if kind == "toxicity" and purpose == "training":
        raise StoreError("purpose: continuations are rated to evaluate, and nothing learns from it; say evaluation")
    _refuse_too_many(settings)
    return Job("j-" + secrets.token_hex(6), kind, title, purpose, "open", settings, at, at)


def _refuse_too_many(settings: JobSettings) -> None:
    """Each task is drawn for five people, for two, or for one."""
    if settings.doubly + settings.fivefold > 1 + 1e-9:
        both = 100 * (settings.doubly + settings.fivefold)
        raise StoreError(f"doubly: what two and what five people do are {both:g} % of the tasks together; make it less")


def keep(connection: Connection, job: Job, who: str | None) -> None:
    kept.add(connection, jobs, [job._asdict() | {"settings": job.settings.model_dump_json()}], job.made, who)
    history.write(connection, job.made, [Change("job made", job.id, who, f"{job.kind}, {job.purpose}")])


def all_of(connection: Connection, *states: State) -> list[Job]:
    query = select(jobs).order_by(jobs.c.made, jobs.c.id)
    if states:
        query = query.where(jobs.c.state.in_(states))
    return [_job(row) for row in connection.execute(query)]


def like(connection: Connection, job: Job) -> Job | None:
    """An open job that nobody could tell from this one."""
    same = ((one, one.kind, one.purpose, one.title.casefold()) for one in all_of(connection, "open"))
    return next((one for one, *told in same if told == [job.kind, job.purpose, job.title.casefold()]), None)


def find(connection: Connection, name: str) -> Job | None:
    row = connection.execute(_FIND, {"name": name}).first()
    return _job(row) if row else None


_FIND = select(jobs).where(jobs.c.id == bindparam("name"))  # what every request asks for is put together once
_GUIDE = select(guidelines).where(guidelines.c.purpose == bindparam("of")).order_by(guidelines.c.number.desc()).limit(1)


def _job(row) -> Job:
    return Job(**(dict(row._mapping) | {"settings": _settings(row.settings)}))


@lru_cache(maxsize=256)
def _settings(text: str) -> JobSettings:
    return JobSettings.model_validate_json(text)


def set_state(connection: Connection, job: str, state: State, at: datetime, who: str | None = None) -> None:
    now = find(connection, job)
    begins = {"opened": at} if state == "open" and now and now.state != "open" else {}
    kept.change(connection, jobs, (job,), {"state": state} | begins, at, who)
    history.write(connection, at, [Change(f"job {state}", job, who)])


def change(connection: Connection, job: Job, title: str, settings: JobSettings, at: datetime, who: str | None) -> Job:
    """New settings, for what is handed out from now on. A new pay, or cap on what is paid, holds from tomorrow, since a
    day has one; before anybody has worked it holds at once."""
    _refuse_too_many(settings)
    today, was = at.date(), job.settings
    for key, before, now in (
        ("hourly", "hourly_before", job.hourly_on(today)), ("cap_minutes", "cap_before", job.cap_on(today))
    ):  # fmt: skip
        if getattr(settings, key) != getattr(was, key) and _begun(connection, job):
            earlier = (one for one in getattr(was, before) if one[0] < today)
            settings = settings.model_copy(update={before: (*earlier, (today, now))})
    said = differences(was.model_dump(mode="json"), settings.model_dump(mode="json"))
    if title != job.title:
        said.insert(0, ("title", job.title, title))
    if said:
        values = {"title": title, "settings": settings.model_dump_json()}
        kept.change(connection, jobs, (job.id,), values, at, who)
        detail = "; ".join(f"{key}: {old} → {new}" for key, old, new in said)
        history.write(connection, at, [Change("job changed", job.id, who, detail)])
    return job._replace(title=title, settings=settings)


def _begun(connection: Connection, job: Job) -> bool:
    of_job = select(activity.c.task).join(tasks, tasks.c.id == activity.c.task).where(tasks.c.job == job.id)
    return connection.execute(of_job.limit(1)).first() is not None


def name(job: Job, todo: Todo) -> str:
    """The task that this is, so that the same thing put in twice is one."""
    kind = ("gold",) if todo.gold is not None else ()
    return "t-" + digest(job.id, *kind, todo.prompt_id or secrets.token_hex(8), *sorted(todo.completions))


def names(connection: Connection, job: Job) -> set[str]:
    return set(connection.execute(select(tasks.c.id).where(tasks.c.job == job.id)).scalars())


def add(connection: Connection, job: Job, some: Iterable[Todo], at: datetime, who: str | None = None) -> int:
    """Put tasks in the job's queue, in an order that follows from its seed. What is in it already stays as it is."""
    coming: dict[str, tuple[Todo, random.Random]] = {}
    for todo in some:
        task = name(job, todo)
        coming[task] = (todo, random.Random(f"{job.settings.seed} {task}"))
    for condition in among(tasks, ("id",), ((task,) for task in coming)):
        for known in connection.execute(select(tasks.c.id).where(condition)).scalars().all():
            del coming[known]
    if not coming:
        return 0
    rows, shares = [], []
    for task, (todo, rng) in coming.items():
        place = rng.random()
        rows.append({
            "id": task, "job": job.id, "prompt_id": todo.prompt_id, "completions": json.dumps(sorted(todo.completions)),
            "place": place, "gold": todo.gold, "chosen_by": todo.chosen_by, "propensity": todo.propensity,
        })  # fmt: skip
        # A check, or a screening's task, is everybody's: work.claim makes its slots when they come.
        shared = todo.gold is not None or job.purpose == "screening"
        many = 0 if shared else todo.slots or _overlap(job.settings, rng)
        shares += [
            {"task": task, "slot": n, "job": job.id, "place": place, "state": "open"} for n in range(many)
        ]  # fmt: skip
    kept.add(connection, tasks, rows, at, who)
    if shares:
        connection.execute(slots.insert(), shares)
    history.write(connection, at, [Change("tasks added", job.id, who, str(len(rows)))])
    return len(rows)


def retire(connection: Connection, task: str, at: datetime, who: str | None) -> None:
    """A hidden check that too many have seen is not handed out any more."""
    known = select(tasks.c.id).where(tasks.c.id == task, tasks.c.chosen_by == "gold")
    if connection.execute(known).first():
        kept.change(connection, tasks, (task,), {"chosen_by": "gold, retired"}, at, who)
        history.write(connection, at, [Change("check retired", task, who)])


def _overlap(settings: JobSettings, rng: random.Random) -> int:
    drawn = rng.random()
    return 5 if drawn < settings.fivefold else 2 if drawn < settings.fivefold + settings.doubly else 1


class Guidelines(NamedTuple):
    id: str
    purpose: str
    number: int
    text: str
    who: str | None
    at: datetime


def guided_by(job: Job) -> str:
    """The purpose of the guidelines that hold for a job: a test is for training."""
    return "evaluation" if job.purpose == "evaluation" else "training"


def guide(connection: Connection, purpose: str) -> Guidelines | None:
    """The version that holds."""
    row = connection.execute(_GUIDE, {"of": purpose}).first()
    return Guidelines(*row) if row else None


def guides(connection: Connection, purpose: str | None = None) -> Sequence[Guidelines]:
    query = select(guidelines).order_by(guidelines.c.purpose, guidelines.c.number)
    if purpose:
        query = query.where(guidelines.c.purpose == purpose)
    return [Guidelines(*row) for row in connection.execute(query)]


def set_guide(connection: Connection, purpose: str, text: str, at: datetime, who: str | None = None) -> Guidelines:
    """A new version; answers from now on are given under it. The same text again is no new one."""
    if not text.strip():
        raise StoreError("guidelines: are empty")
    now = guide(connection, purpose)
    if now and now.text == text:
        return now
    number = now.number + 1 if now else 1
    made = Guidelines("g-" + digest(purpose, str(number), text), purpose, number, text, who, at)
    kept.add(connection, guidelines, [made._asdict()], at, who)
    history.write(connection, at, [Change("guidelines", made.id, who, f"{purpose}, version {number}")])
    return made


def left(connection: Connection, job: str) -> dict[str, int]:
    """How many slots of a job are in which state; without hidden checks, which nobody has to do."""
    query = select(slots.c.state, func.count()).group_by(slots.c.state)
    counts = dict(connection.execute(query.where(slots.c.job == job)).all())
    found = {"open": 0, "leased": 0, "done": 0, "out": 0} | counts
    # Taken off, and not left out: so the many are counted on an index, and the few are found by their tasks.
    for state, count in connection.execute(query.where(slots.c.task.in_(checks_of(job)))).all():
        found[state] -= count
    return found


def checks_of(job: str):
    return select(tasks.c.id).where(tasks.c.job == job, tasks.c.gold.is_not(None))


def count_tasks(connection: Connection, job: str) -> int:
    return connection.execute(select(func.count()).where(tasks.c.job == job, ~is_out(tasks.c.id))).scalar_one()

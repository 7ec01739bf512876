"""What managers do, as scripts ask for it: people, jobs, guidelines. Their pages are people, jobs and guidelines."""

import itertools
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field
from sqlalchemy import Connection

from biddable.label.desk import Desk, Here, Who
from biddable.label.work import Sent, Short
from biddable.records import Group
from biddable.store import StoreError, accounts, fill, jobs
from biddable.store.accounts import Account, Role
from biddable.store.jobs import Job, JobPurpose, JobSettings, State, Todo
from biddable.store.rows import Task

router = APIRouter()

PART = 1000  # tasks that go in at once


class Newcomer(Sent):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role = "labeler"
    group: Group = "training"
    skills: tuple[Short, ...] = ()


class Changed(Sent):
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    skills: tuple[Short, ...] | None = None
    role: Role | None = None
    group: Group | None = None
    state: Literal["active", "closed"] | None = None


class NewJob(Sent):
    kind: Task
    title: Annotated[str, Field(min_length=1, max_length=200)]
    purpose: JobPurpose = "training"
    settings: JobSettings = Field(default_factory=JobSettings)
    what: fill.Fill = Field(default_factory=fill.Fill)


class JobState(Sent):
    state: State


class NewGuidelines(Sent):
    purpose: Literal["training", "evaluation"]
    text: Annotated[str, Field(min_length=1, max_length=200_000)]


def may_make(who: Account, role: Role) -> None:
    """Only an owner makes owners and managers: nobody raises themselves."""
    if role in ("owner", "manager") and who.role != "owner":
        raise HTTPException(403, "only an owner makes owners and managers")


@router.get("/api/people")
def people(desk: Here):
    told = ("labeler", "name", "role", "group", "state")
    return {"people": [{key: getattr(one, key) for key in told} for one in desk.read(accounts.everyone)]}


@router.post("/api/people", status_code=201)
def newcomer(sent: Newcomer, desk: Here, who: Who):
    may_make(who, sent.role)
    made, secret = desk.write(invited, sent.name, sent.role, sent.group, desk.now(), who, sent.skills)
    return {"labeler": made.labeler} | secret


def invited(
    connection: Connection, name: str, role: Role, group: Group, at: datetime, who: Account,
    skills: tuple[str, ...] = (),
) -> tuple[Account, dict[str, str]]:  # fmt: skip
    """A new account with what lets its person in: both, or neither."""
    made = accounts.make(connection, name, role, group, at, who.labeler)
    if skills:
        accounts.give_skills(connection, made.labeler, skills, at, who.labeler)
    return made, let_know(connection, made, at, who)


@router.post("/api/people/{labeler}/invite", status_code=201)
def invite(labeler: str, desk: Here, who: Who):
    return desk.write(let_know, somebody(desk, who, labeler), desk.now(), who)


def let_know(connection: Connection, account: Account, at: datetime, who: Account) -> dict[str, str]:
    """What lets somebody in, told this once: a person's link, or a program's key, which ends those before it."""
    if account.role != "service":
        return {"invite": f"/join/{accounts.open_door(connection, account.labeler, 'invite', at, who.labeler)}"}
    accounts.end_all(connection, account.labeler, at)
    return {"key": accounts.open_door(connection, account.labeler, "service", at, who.labeler)}


@router.patch("/api/people/{labeler}")
def change(labeler: str, sent: Changed, desk: Here, who: Who):
    somebody(desk, who, labeler)
    if sent.role:
        may_make(who, sent.role)
    values = sent.model_dump(exclude_none=True, exclude={"skills"})
    if sent.skills is not None:
        desk.write(accounts.give_skills, labeler, sent.skills, desk.now(), who.labeler)
    if values:
        desk.write(accounts.change, labeler, desk.now(), who.labeler, **values)
    return sent.model_dump(exclude_none=True)


def somebody(desk: Desk, who: Account, labeler: str) -> Account:
    """Somebody whom this manager may change."""
    account = desk.read(accounts.of, labeler)
    if account is None:
        raise HTTPException(404, "no such person")
    may_make(who, account.role)
    return account


@router.post("/api/jobs", status_code=201)
def new_job(sent: NewJob, desk: Here, who: Who):
    job, count = make_job(desk, who, sent.kind, sent.title, sent.purpose, sent.settings, sent.what)
    return {"job": job, "tasks": count}


def make_job(
    desk: Desk, who: Account, kind: Task, title: str, purpose: JobPurpose, settings: JobSettings, what: fill.Fill
) -> tuple[str, int]:  # fmt: skip
    job = jobs.new(kind, title, purpose, settings, desk.now())
    todos = desk.read(lambda connection: list(fill.todos(connection, job, what)))
    if not todos:
        raise StoreError(f"there is nothing to do in this job: {fill.wanting(job, what)}")
    desk.write(jobs.keep, job, who.labeler)
    return job.id, put_in(desk, who, job, todos)


def put_in(desk: Desk, who: Account, job: Job, todos: Iterable[Todo]) -> int:
    """A large job comes in parts, so that people at work need not wait for it. Stopped in the middle, it has the first
    of them, and more are added as to any job."""
    there, count = iter(todos), 0
    while part := list(itertools.islice(there, PART)):
        count += desk.write(jobs.add, job, part, desk.now(), who.labeler)
    return count


@router.patch("/api/jobs/{job}")
def set_state(job: str, sent: JobState, desk: Here, who: Who):
    if desk.read(jobs.find, job) is None:
        raise HTTPException(404, "no such job")
    desk.write(jobs.set_state, job, sent.state, desk.now(), who.labeler)
    return {"state": sent.state}


@router.post("/api/guidelines", status_code=201)
def new_guidelines(sent: NewGuidelines, desk: Here, who: Who):
    made = desk.write(jobs.set_guide, sent.purpose, sent.text, desk.now(), who.labeler)
    return {"id": made.id, "number": made.number}

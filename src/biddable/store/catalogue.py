"""The prompts as a manager looks through them: a list, what hangs on one, and taking it out or letting it rest.

A prompt of which nothing was made is taken back, as a record that its author changes is: its row goes, and the history
says so. Of any other its tasks are closed: what was said stays, and nobody is given it any more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Table, delete, func, select

from biddable.records import Prompt, Source, Split, UseCase
from biddable.store import history, jobs, queries, taken_out, writing
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.jobs import Todo
from biddable.store.rows import sound
from biddable.store.tables import completions, continuations, demonstrations, judgements, prompts, rankings, skips
from biddable.store.tables import verdicts as compared
from biddable.store.team_tables import adjudications, readings, sightings
from biddable.store.team_tables import taken_out as set_aside
from biddable.store.work_tables import activity, answers, drafts, passes, slots, tasks
from biddable.store.work_tables import jobs as of_jobs

OF_TASK = (answers, passes, drafts, activity, adjudications, readings, sightings, set_aside)


class Wanted(NamedTuple):
    """Which prompts: all of these at once."""

    words: str = ""  # that stand in the text, as one stretch
    split: Split | None = None
    source: Source | None = None
    use_case: UseCase | None = None


class Listed(NamedTuple):
    prompt: Prompt
    jobs: int  # in which it is


def some(connection: Connection, wanted: Wanted, after: str, most: int) -> list[Listed]:
    """By id, those after one: so many at most."""
    conditions = [prompts.c.id > after] if after else []
    for column in ("split", "source", "use_case"):
        if (value := getattr(wanted, column)) is not None:
            conditions.append(prompts.c[column] == value)
    if wanted.words:
        conditions.append(prompts.c.text.icontains(wanted.words, autoescape=True))
    query = select(prompts.c.id).where(*conditions).order_by(prompts.c.id).limit(most)
    names = connection.execute(query).scalars().all()
    found = queries.named(connection, "prompt", names)
    its = (tasks.c.prompt_id, func.count(tasks.c.job.distinct()))
    count = dict(connection.execute(select(*its).where(tasks.c.prompt_id.in_(names)).group_by(tasks.c.prompt_id)).all())
    return [Listed(one, count.get(name, 0)) for name in names if isinstance(one := found[name], Prompt)]


class InJob(NamedTuple):
    job: str
    title: str
    purpose: str
    task: str
    shares: dict[str, int]  # by state


class Hanging(NamedTuple):
    """What is there of a prompt."""

    prompt: Prompt
    runs: dict[str, int]  # answers of models
    said: dict[str, int]  # what people said, by the table; without those of which there is none
    tasks: list[InJob]
    begun: bool  # somebody has had one of its tasks

    @property
    def untouched(self) -> bool:
        in_test = any(one.purpose == "screening" for one in self.tasks)
        return not (self.runs or self.said or self.begun or in_test)

    @property
    def waiting(self) -> int:
        """Shares of its tasks that would be given to somebody; a test is given whole."""
        return sum(one.shares.get("open", 0) for one in self.tasks if one.purpose != "screening")

    @property
    def held(self) -> int:
        return sum(one.shares.get("leased", 0) for one in self.tasks)


def hanging(connection: Connection, name: str) -> Hanging | None:
    prompt = queries.named(connection, "prompt", [name]).get(name)
    if not isinstance(prompt, Prompt):
        return None
    by_run = select(completions.c.run_id, func.count()).where(completions.c.prompt_id == name)
    runs = dict(connection.execute(by_run.group_by(completions.c.run_id).order_by(completions.c.run_id)).all())
    its = select(completions.c.id).where(completions.c.prompt_id == name)
    counted = [(table, table.c.prompt_id == name) for table in (demonstrations, rankings, compared, skips)]
    counted += [(table, table.c.completion_id.in_(its)) for table in (judgements, continuations)]
    said = {table.name: queries.count(connection, table, condition) for table, condition in counted}
    there = _tasks(connection, name)
    begun = any(_has(connection, table, [one.task for one in there]) for table in OF_TASK)
    return Hanging(prompt, runs, {table: count for table, count in said.items() if count}, there, begun)


def _tasks(connection: Connection, prompt: str) -> list[InJob]:
    query = (
        select(tasks.c.id, of_jobs.c.id, of_jobs.c.title, of_jobs.c.purpose, slots.c.state, func.count(slots.c.slot))
        .select_from(tasks.join(of_jobs, of_jobs.c.id == tasks.c.job).outerjoin(slots, slots.c.task == tasks.c.id))
        .where(tasks.c.prompt_id == prompt)
        .group_by(tasks.c.id, of_jobs.c.id, of_jobs.c.title, of_jobs.c.purpose, of_jobs.c.made, slots.c.state)
        .order_by(of_jobs.c.made, tasks.c.id)
    )
    found: dict[str, InJob] = {}
    for task, job, title, purpose, state, count in connection.execute(query):
        one = found.setdefault(task, InJob(job, title, purpose, task, {}))
        if state is not None:
            one.shares[state] = count
    return list(found.values())


def _has(connection: Connection, table: Table, names: Sequence[str]) -> bool:
    return connection.execute(select(table.c.task).where(table.c.task.in_(names)).limit(1)).first() is not None


def _untouched(connection: Connection, name: str) -> Hanging:
    found = hanging(connection, name)
    if found is None:
        raise StoreError(f"{name}: no such prompt")
    if not found.untouched:
        raise StoreError("something was made of this prompt by now, so it stays; its tasks can be closed")
    return found


def take_out(connection: Connection, name: str, at: datetime, who: str | None) -> None:
    """A prompt of which nothing was made, and its tasks."""
    names = [one.task for one in _untouched(connection, name).tasks]
    connection.execute(delete(slots).where(slots.c.task.in_(names)))
    connection.execute(delete(tasks).where(tasks.c.id.in_(names)))
    connection.execute(delete(prompts).where(prompts.c.id == name))
    gone = [Change("task taken back", task, who) for task in names]
    history.write(connection, at, [*gone, Change("prompt taken back", name, who)])


def mend(connection: Connection, name: str, text: str, at: datetime, who: str | None) -> str:
    """Another text in its place, with the same tasks. Returns the new prompt's id."""
    was = _untouched(connection, name).prompt
    about = {key: getattr(was, key) for key in Prompt.model_fields if key not in ("id", "kind", "text")}
    made = sound(Prompt.make(text, **about))
    assert isinstance(made, Prompt)
    if queries.named(connection, "prompt", [made.id]):
        raise StoreError("text: is the same as before" if made.id == name else "text: such a prompt is here already")
    its = select(tasks.c.job, tasks.c.chosen_by, tasks.c.propensity).where(tasks.c.prompt_id == name)
    there = connection.execute(its).all()
    take_out(connection, name, at, who)
    writing.add(connection, [made], at)
    for of, by, propensity in there:  # without answers there are none but to be written
        job = jobs.find(connection, of)
        assert job is not None
        jobs.add(connection, job, [Todo(made.id, chosen_by=by, propensity=propensity)], at, who)
    history.write(connection, at, [Change("prompt mended", made.id, who, f"was {name}")])
    return made.id


def close(connection: Connection, name: str, at: datetime, who: str) -> None:
    """Its tasks are taken out, but for those of a test; who holds one is told."""
    tests = select(of_jobs.c.id).where(of_jobs.c.purpose == "screening")
    its = select(tasks.c.id, tasks.c.chosen_by).where(tasks.c.prompt_id == name, tasks.c.job.not_in(tests))
    for task, chosen_by in connection.execute(its.order_by(tasks.c.id)).all():
        if chosen_by == "gold":
            jobs.retire(connection, task, at, who)
        taken_out.take_out(connection, task, "Its prompt was closed.", at, who)
    history.write(connection, at, [Change("prompt's tasks closed", name, who)])

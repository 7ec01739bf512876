"""Another person for a task about which those before them disagree; and how its answers are told apart from the rest.

How many people a task gets at first is drawn by lot. Whoever comes after that came because of what was said, so what
they say is marked `extra`, and no estimate of how often people agree may count it. So is what is said of a hidden
check, which nobody drew and everybody meets (work.submit).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from biddable.store.jobs import Job
from biddable.store.taken_out import is_out
from biddable.store.work_tables import answers, slots, tasks


class Said(NamedTuple):
    """Somebody's newest answer to a task: its body, and the ids of what was shown, in order."""

    body: str
    shown: str


Apart = Callable[[Sequence[Said]], float]  # how far answers lie from one another, from 0 to 1


def ask_again(connection: Connection, job: Job, task: str, apart: Apart) -> bool:
    """Once all have answered whom the task was for, let one more do it if they lie too far apart."""
    settings = job.settings
    if settings.disagree is None or job.purpose == "screening":
        return False
    query = select(slots.c.state, slots.c.place, tasks.c.gold).join(tasks, tasks.c.id == slots.c.task)
    there = connection.execute(query.where(slots.c.task == task)).all()
    if not 2 <= len(there) < settings.people or any(one.state != "done" or one.gold is not None for one in there):
        return False
    if connection.execute(select(is_out(task))).scalar() or apart(_said(connection, task)) <= settings.disagree:
        return False
    new = {"task": task, "slot": len(there), "job": job.id, "place": there[0].place, "state": "open", "extra": True}
    connection.execute(slots.insert(), [new])
    return True


def _said(connection: Connection, task: str) -> list[Said]:
    query = select(answers.c.labeler, answers.c.body, answers.c.shown).where(answers.c.task == task)
    newest = {row[0]: Said(row[1], row[2]) for row in connection.execute(query.order_by(answers.c.revision))}
    return [said for _, said in sorted(newest.items())]


def is_extra(connection: Connection, job: Job, task: str, labeler: str) -> bool:
    """Whether this person was asked because others disagreed. Who came late to a job that asks again has no place by
    which to tell, and is left out of the estimate too."""
    if job.settings.disagree is None:
        return False
    mine = select(slots.c.extra).where(slots.c.task == task, slots.c.labeler == labeler)
    return connection.execute(mine).scalar() is not False


def asked_again(connection: Connection, job: str) -> int:
    """How many more people were asked."""
    query = select(func.count()).where(slots.c.job == job, slots.c.extra.is_(True))
    return connection.execute(query).scalar_one()

"""What a manager does about a task that somebody flagged: take it out, give it back, or let it be seen.

A task that is taken out is given to nobody. What was said of it stays, drafts too, and who holds it is told: what they
hand in all the same is kept as an answer that came late.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, exists, func, select, update

from biddable.store import history, kept
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.team_tables import sightings, taken_out
from biddable.store.work_tables import passes, slots, tasks

FREE = {"labeler": None, "lease": None, "taken": None, "until": None}


def is_out(task: ColumnElement[str] | str) -> ColumnElement[bool]:
    return exists().where(taken_out.c.task == task, taken_out.c.out.is_(True))


def why(task: ColumnElement[str]) -> ScalarSelect[str]:
    """The reason, of one that is out."""
    return select(taken_out.c.reason).where(taken_out.c.task == task, taken_out.c.out.is_(True)).scalar_subquery()


def take_out(connection: Connection, task: str, reason: str, at: datetime, who: str) -> None:
    """For everyone. Its flags have been answered by that."""
    if not (reason := reason.strip()):
        raise StoreError("reason: say in a few words why the task is taken out; who holds it reads them")
    if connection.execute(select(is_out(task))).scalar():
        return
    not_done = and_(slots.c.task == task, slots.c.state.in_(("open", "leased")))
    connection.execute(update(slots).where(not_done).values(state="out", **FREE))
    _keep(connection, task, True, reason, at, who)
    history.write(connection, at, [Change("task taken out", task, who, reason)])
    flags = select(passes.c.labeler).where(passes.c.task == task, open_flag())
    for labeler in connection.execute(flags).scalars().all():
        see(connection, task, labeler, at, who)


def give_back(connection: Connection, task: str, at: datetime, who: str) -> None:
    """To the queue: one that was taken out, or that somebody holds. Their draft stays, and they are told."""
    back = and_(slots.c.task == task, slots.c.state.in_(("out", "leased")))
    freed = connection.execute(update(slots).where(back).values(state="open", **FREE)).rowcount
    was_out = connection.execute(select(is_out(task))).scalar()
    if was_out:
        _keep(connection, task, False, "", at, who)
    if was_out or freed:
        history.write(connection, at, [Change("task given back", task, who)])


def _keep(connection: Connection, task: str, out: bool, reason: str, at: datetime, who: str) -> None:
    row = {"task": task, "out": out, "reason": reason, "who": who, "at": at}
    if connection.execute(select(taken_out.c.task).where(taken_out.c.task == task)).first():
        kept.change(connection, taken_out, (task,), row, at, who)
    else:
        kept.add(connection, taken_out, [row], at, who)


# Flags.


def open_flag() -> ColumnElement[bool]:
    """Of a row of `passes`: a flag that no manager has looked at."""
    seen = exists().where(sightings.c.task == passes.c.task, sightings.c.labeler == passes.c.labeler)
    return and_(passes.c.what == "flag", ~seen)


def see(connection: Connection, task: str, labeler: str, at: datetime, who: str) -> None:
    its = (passes.c.task == task, passes.c.labeler == labeler, open_flag())
    if connection.execute(select(passes.c.task).where(*its)).first():
        kept.add(connection, sightings, [{"task": task, "labeler": labeler, "who": who, "at": at}], at, who)


def open_flags(connection: Connection) -> dict[str, int]:
    """How many there are in each job that has any."""
    query = select(tasks.c.job, func.count()).join(tasks, tasks.c.id == passes.c.task).where(open_flag())
    return dict(connection.execute(query.group_by(tasks.c.job)).all())

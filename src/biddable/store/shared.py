"""Tasks that are everybody's: hidden checks, and all of a screening test. Their slots are made when somebody comes."""

import random

from sqlalchemy import ColumnElement, Connection, Row, exists, func, literal_column, select

from biddable.store import queue
from biddable.store.accounts import Account
from biddable.store.jobs import Job
from biddable.store.taken_out import is_out
from biddable.store.work_tables import answers, passes, slots, tasks


def is_check(connection: Connection, job: Job, account: Account) -> bool:
    """Whether this person's next task is to be a check: it follows from the seed, the job, who they are, and how many
    they have had."""
    if not job.settings.gold:
        return False
    mine = select(func.count()).where(slots.c.job == job.id, slots.c.labeler == account.labeler)
    had = connection.execute(mine).scalar_one()
    return random.Random(f"{job.settings.seed} check {job.id} {account.labeler} {had}").random() < job.settings.gold


def check(connection: Connection, job: Job, account: Account) -> Row | None:
    """A slot of a check that this person has not had; nothing where there is none."""
    # Nor one of what they have said something of already: they would know it for a check.
    gold = tasks.c.chosen_by == literal_column("'gold'")  # in the words of its index
    conditions = [gold, *(~one for one in queue.met(job.kind, account.labeler))]
    return _slot(connection, job, account.labeler, conditions)


def part_of_test(connection: Connection, job: Job, account: Account) -> Row | None:
    return _slot(connection, job, account.labeler, [])


def _slot(connection: Connection, job: Job, labeler: str, conditions: list[ColumnElement[bool]]) -> Row | None:
    had = (exists().where(t.c.task == tasks.c.id, t.c.labeler == labeler) for t in (slots, answers, passes))
    conditions = [tasks.c.job == job.id, *conditions, ~is_out(tasks.c.id), *(~one for one in had)]
    query = select(tasks.c.id, tasks.c.place).where(*conditions)
    task = connection.execute(query.order_by(tasks.c.place, tasks.c.id).limit(1)).first()
    if task is None:
        return None
    free = select(slots.c.task, slots.c.slot).where(slots.c.task == task.id, slots.c.state == "open").limit(1)
    if (row := connection.execute(free).first()) is not None:
        return row
    number = select(func.coalesce(func.max(slots.c.slot), -1) + 1).where(slots.c.task == task.id)
    new = {"task": task.id, "slot": connection.execute(number).scalar_one(), "job": job.id, "place": task.place}
    connection.execute(slots.insert(), [new | {"state": "open"}])
    return connection.execute(free).first()

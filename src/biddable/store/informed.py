"""Who has read what others said of a prompt: an adjudicator after their blind ranking, a manager who looked a task up.

From then on nothing that they say of it is a word of their own, so they are given no task of it and begin no review.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, literal, or_, select

from biddable.store import kept
from biddable.store.tables import rankings
from biddable.store.team_tables import adjudications, readings
from biddable.store.work_tables import slots, tasks


def informed(prompt: ColumnElement, labeler: ColumnElement[str] | str) -> ColumnElement[bool]:
    found = []
    for table in (adjudications, readings):
        of = tasks.alias()
        found.append(exists().where(of.c.prompt_id == prompt, table.c.task == of.c.id, table.c.labeler == labeler))
    return or_(*found)


def has_read(connection: Connection, task: str, labeler: str) -> bool:
    mine = (readings.c.task == task, readings.c.labeler == labeler)
    return connection.execute(select(readings.c.task).where(*mine)).first() is not None


def read(connection: Connection, task: str, labeler: str, at: datetime) -> None:
    """They are about to see what was said of this task."""
    if not has_read(connection, task, labeler):
        kept.add(connection, readings, [{"task": task, "labeler": labeler, "at": at}], at, labeler)


def holds(prompt: str, labeler: str, at: datetime) -> ColumnElement[bool]:
    its = (tasks.c.id == slots.c.task, tasks.c.prompt_id == prompt)
    return exists().where(*its, slots.c.labeler == labeler, slots.c.state == "leased", slots.c.until >= at)


def why_not(connection: Connection, labeler: str, prompt: str, at: datetime) -> str | None:
    """Why somebody cannot rank a prompt blind for a review; nothing where they can."""
    ranked = exists().where(rankings.c.prompt_id == prompt, rankings.c.labeler == labeler)
    reasons = (
        ("you have ranked these answers yourself, so somebody else should decide", ranked),
        ("you hold a task of this prompt: skip that first, or let somebody else decide", holds(prompt, labeler, at)),
        (
            "you have read what others said of it, so somebody else should decide",
            informed(literal(prompt), labeler),
        ),
    )
    return next((why for why, condition in reasons if connection.execute(select(condition)).scalar()), None)

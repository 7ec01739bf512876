"""One task as a manager reads it: what was asked, who said what and when, and who did not want it."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from biddable.records import Completion, Prompt
from biddable.store import jobs
from biddable.store.jobs import Job
from biddable.store.progress import Left
from biddable.store.queries import named
from biddable.store.taken_out import open_flag
from biddable.store.team_tables import taken_out
from biddable.store.work_tables import answers, passes, slots, tasks


class Word(NamedTuple):
    """An answer as it was handed in."""

    labeler: str
    at: datetime
    revision: int
    late: bool
    seconds: float
    body: str
    shown: tuple[str, ...]


class Share(NamedTuple):
    """One person's share of it."""

    state: str
    labeler: str | None
    until: datetime | None
    extra: bool


class TakenOut(NamedTuple):
    reason: str
    who: str
    at: datetime


class LookedUp(NamedTuple):
    task: str
    job: Job
    prompt: Prompt | None
    completions: tuple[Completion, ...]  # in no order that anybody saw
    gold: str | None
    chosen_by: str
    propensity: float
    shares: list[Share]
    words: list[Word]
    left: list[Left]
    taken_out: TakenOut | None  # if it is taken out


def look_up(connection: Connection, name: str) -> LookedUp | None:
    row = connection.execute(select(tasks).where(tasks.c.id == name)).first()
    if row is None:
        return None
    job = jobs.find(connection, row.job)
    assert job is not None
    ids: Sequence[str] = json.loads(row.completions)
    found = named(connection, "completion", ids)
    prompt = named(connection, "prompt", [row.prompt_id])[row.prompt_id] if row.prompt_id else None
    its = select(slots.c.state, slots.c.labeler, slots.c.until, slots.c.extra).where(slots.c.task == name)
    said = (answers.c.labeler, answers.c.at, answers.c.revision, answers.c.late, answers.c.seconds, answers.c.body)
    words = select(*said, answers.c.shown).where(answers.c.task == name).order_by(answers.c.id)
    left = select(passes, open_flag()).where(passes.c.task == name)
    gone = select(taken_out.c.reason, taken_out.c.who, taken_out.c.at)
    gone = gone.where(taken_out.c.task == name, taken_out.c.out.is_(True))
    return LookedUp(
        name, job, prompt if isinstance(prompt, Prompt) else None,
        tuple(one for one in (found[c] for c in ids) if isinstance(one, Completion)),
        row.gold, row.chosen_by, row.propensity,
        [Share(*one) for one in connection.execute(its.order_by(slots.c.slot))],
        [Word(*one[:6], tuple(json.loads(one[6]))) for one in connection.execute(words)],
        [Left(*one) for one in connection.execute(left.order_by(passes.c.at))],
        TakenOut(*out) if (out := connection.execute(gone).first()) else None,
    )  # fmt: skip

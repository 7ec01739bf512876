"""Which slot is next for a person, as one statement: their task comes while they wait."""

from functools import cache
from typing import Literal

from sqlalchemy import ColumnElement, bindparam, exists, select

from biddable.store.informed import informed
from biddable.store.rows import Task
from biddable.store.tables import completions, continuations, demonstrations, rankings
from biddable.store.work_tables import answers, passes, slots, tasks


@cache
def first(kind: Task, state: Literal["open", "leased"] = "open"):
    """The first slot in this state of a task that this person has not had, nor another task that says the same."""
    other, labeler = slots.alias(), bindparam("labeler")
    had = [
        exists().where(other.c.task == slots.c.task, other.c.labeler == labeler),
        exists().where(answers.c.task == slots.c.task, answers.c.labeler == labeler),
        exists().where(passes.c.task == slots.c.task, passes.c.labeler == labeler),
        *met(kind, labeler),
    ]
    return (
        select(slots.c.task, slots.c.slot)
        .join(tasks, tasks.c.id == slots.c.task)
        .where(slots.c.job == bindparam("job"), slots.c.state == state, tasks.c.gold.is_(None), *(~one for one in had))
        .order_by(slots.c.place, slots.c.task, slots.c.slot)
        .limit(1)
    )


def _in_hand(labeler: ColumnElement[str] | str):
    """Whether this person holds a task of the same prompt: its record is not there yet, but soon is."""
    held, of = slots.alias(), tasks.alias()
    mine = (held.c.labeler == labeler, held.c.state == "leased", of.c.id == held.c.task)
    return exists().where(*mine, of.c.prompt_id == tasks.c.prompt_id)


def _continued(labeler: ColumnElement[str] | str):
    """Whether this person rated continuations of the same beginning."""
    its = (continuations.c.completion_id == completions.c.id, completions.c.prompt_id == tasks.c.prompt_id)
    return exists().where(*its, continuations.c.labeler == labeler)


def _twin(labeler: ColumnElement[str] | str):
    """Whether this person has had another task of the job that is the same thing: a check is such a task."""
    twin, had = tasks.alias(), slots.alias()
    same = (twin.c.job == tasks.c.job, twin.c.prompt_id == tasks.c.prompt_id, twin.c.completions == tasks.c.completions)
    theirs = (had.c.task == twin.c.id, had.c.labeler == labeler)
    return exists().where(*same, twin.c.id != tasks.c.id, *theirs)


def met(kind: Task, labeler: ColumnElement[str] | str) -> list:
    """What tells that this person has said the same thing before, or read what others said. A ranking, a demonstration
    and what is said of continuations are one a person and prompt, whatever the job."""
    of_prompt = {"rank": rankings, "write": demonstrations}
    if kind == "prompt":
        return []
    read = informed(tasks.c.prompt_id, labeler)
    if kind == "toxicity":
        return [read, _continued(labeler), _in_hand(labeler)]
    if kind not in of_prompt:
        return [read, _twin(labeler)]
    table = of_prompt[kind]
    said = exists().where(table.c.prompt_id == tasks.c.prompt_id, table.c.labeler == labeler)
    return [read, said, _in_hand(labeler)]

"""Somebody takes back what they gave: their labels, and the prompts that were theirs with all that hangs on them.

The rows go, and the history says of each that it was taken back, so that the store stays sound and nobody can read any
more what was said. What stays is that they were there: the account, their consent, how they were screened, and the time
for which they are paid.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, or_, select, update

from biddable.store import history, kept, queries
from biddable.store.history import Change
from biddable.store.rows import SHELVES
from biddable.store.tables import (
    completions,
    continuations,
    demonstrations,
    judgements,
    prompts,
    ranked,
    rankings,
    scores,
    skips,
    verdicts,
)
from biddable.store.team_tables import adjudications, ratings, readings, sightings, taken_out, topics
from biddable.store.work_tables import answers, drafts, passes, slots, tasks

KINDS = {shelf.table: kind for kind, shelf in SHELVES.items()} | {table: kind for kind, table in kept.KEPT.items()}
BATCH = 5000  # lines of the history that are held at once


class Part(NamedTuple):
    """Rows that go, of one table."""

    table: Table
    those: ColumnElement[bool]


def theirs(connection: Connection, person: str) -> dict[str, int]:
    """What would go, by table; nothing of which there is none."""
    counts = {part.table.name: queries.count(connection, part.table, part.those) for part in _parts(person)}
    return _shown(counts)


def withdraw(connection: Connection, person: str, at: datetime, who: str | None = None) -> dict[str, int]:
    """Take out all that is theirs. Shares of tasks that they had done or held are open for others again.
    Returns how many rows of each table went."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # what is deleted is overwritten, too
    gone: dict[str, int] = {}
    freed = {"state": "open", "labeler": None, "lease": None, "taken": None, "until": None}
    held = slots.c.state.in_(("done", "leased"))
    connection.execute(update(slots).where(slots.c.labeler == person, held).values(**freed))
    for table, those in _parts(person):
        for lines in _lines(connection, table, those, who):
            history.write(connection, at, lines)
        gone[table.name] = connection.execute(delete(table).where(those)).rowcount
    told = ", ".join(f"{count} {table}" for table, count in _shown(gone).items())
    history.write(connection, at, [Change("withdrawn", person, who, told)])
    return _shown(gone)


def _shown(counts: dict[str, int]) -> dict[str, int]:
    """Without the places of a ranking, which are counted with it."""
    return {table: count for table, count in counts.items() if count and table != ranked.name}


def _parts(person: str) -> Iterator[Part]:
    """In the order in which they can go: what names others before those whom it names."""
    own: Select = select(prompts.c.id).where(or_(prompts.c.user == person, prompts.c.organization == person))
    to_own: Select = select(completions.c.id).where(completions.c.prompt_id.in_(own))
    of_own: Select = select(tasks.c.id).where(tasks.c.prompt_id.in_(own))
    said: Select = select(answers.c.id).where(or_(answers.c.labeler == person, answers.c.task.in_(of_own)))
    yield Part(ratings, or_(ratings.c.labeler == person, ratings.c.answer.in_(said)))
    yield Part(topics, topics.c.labeler == person)
    for table in (answers, drafts, passes, adjudications, readings):
        yield Part(table, or_(table.c.labeler == person, table.c.task.in_(of_own)))
    yield Part(sightings, or_(sightings.c.labeler == person, sightings.c.task.in_(of_own)))
    yield Part(taken_out, taken_out.c.task.in_(of_own))
    yield Part(slots, slots.c.task.in_(of_own))
    yield Part(tasks, tasks.c.prompt_id.in_(own))
    yield Part(ranked, or_(ranked.c.labeler == person, ranked.c.prompt_id.in_(own)))
    for table in (rankings, demonstrations, verdicts, skips):
        yield Part(table, or_(table.c.labeler == person, table.c.prompt_id.in_(own)))
    for table in (judgements, continuations):
        yield Part(table, or_(table.c.labeler == person, table.c.completion_id.in_(to_own)))
    yield Part(scores, scores.c.completion_id.in_(to_own))
    yield Part(completions, completions.c.prompt_id.in_(own))
    yield Part(prompts, prompts.c.id.in_(own))


def _lines(connection: Connection, table: Table, those: ColumnElement[bool], who: str | None) -> Iterator[list[Change]]:
    kind = KINDS.get(table)
    if kind is None:
        return  # the history does not vouch for its rows
    columns = SHELVES[kind].key if kind in SHELVES else [column.name for column in table.primary_key]
    query = select(*(table.c[column] for column in columns)).where(those)
    keys = connection.execute(query.order_by(*table.primary_key)).all()
    for start in range(0, len(keys), BATCH):
        yield [Change(f"{kind} taken back", kept.name(key), who) for key in keys[start : start + BATCH]]

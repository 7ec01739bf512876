"""Adjudication: somebody looks at what others disagreed about, ranks it blind, then sees what they said, and decides.

What was said stays; the decision is a record of its own, under the adjudicator's name.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Connection, select

from biddable.records import Completion, Prompt, Ranking
from biddable.store import history, informed, jobs, kept, writing
from biddable.store.accounts import Account
from biddable.store.engine import StoreError
from biddable.store.history import Change
from biddable.store.jobs import Job
from biddable.store.queries import fetch
from biddable.store.rows import sound
from biddable.store.tables import completions, judgements, prompts, rankings
from biddable.store.team_tables import adjudications
from biddable.store.work import shown
from biddable.store.work_tables import tasks

Cause = Literal["ambiguous prompt", "guideline gap", "slip", "taste"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
Tiers = tuple[tuple[str, ...], ...]


class Case(NamedTuple):
    """A task under review, as its adjudicator sees it."""

    task: str
    job: Job
    prompt: Prompt
    completions: tuple[Completion, ...]  # in the adjudicator's own order
    others: tuple[Ranking, ...]  # what was said, by labelers; only after the blind ranking
    blind: Tiers | None
    final: Tiers | None
    cause: str | None
    note: str | None


def case(connection: Connection, account: Account, task: str) -> Case | None:
    row = connection.execute(select(tasks).where(tasks.c.id == task)).first()
    job = jobs.find(connection, row.job) if row else None
    if row is None or job is None or job.kind != "rank" or row.prompt_id is None:
        return None
    (prompt,) = fetch(connection, "prompt", prompts.c.id == row.prompt_id)
    assert isinstance(prompt, Prompt)
    ids = shown(job.settings.seed, f"review {task}", account.labeler, json.loads(row.completions))
    found = {c.id: c for c in fetch(connection, "completion", completions.c.id.in_(ids)) if isinstance(c, Completion)}
    mine = (adjudications.c.task == task, adjudications.c.labeler == account.labeler)
    done = connection.execute(select(adjudications).where(*mine)).first()
    others = [r for r in _rankings(connection, row.prompt_id) if r.labeler != account.labeler] if done else []
    return Case(
        task, job, prompt, tuple(found[name] for name in ids), tuple(others),
        _tiers(done.blind) if done else None, _tiers(done.final) if done and done.final else None,
        done.cause if done else None, done.note if done else None,
    )  # fmt: skip


def _tiers(text: str) -> Tiers:
    return tuple(tuple(tier) for tier in json.loads(text))


def _rankings(connection: Connection, prompt: str) -> list[Ranking]:
    return said_of(connection, [prompt])


def begin(connection: Connection, account: Account, task: str, blind: Tiers, at: datetime) -> None:
    """Keep the blind ranking. It is final: after the reveal it could not be blind."""
    found = case(connection, account, task)
    if found is None:
        raise StoreError(f"{task}: is no task of rankings")
    if found.blind is not None:
        return
    if (why := informed.why_not(connection, account.labeler, found.prompt.id, at)) is not None:
        raise StoreError(f"{task}: {why}")
    Ranking(prompt_id=found.prompt.id, labeler=account.labeler, order=blind)  # lawful, or it says why
    row = {"task": task, "labeler": account.labeler, "blind": json.dumps(blind), "begun": at}
    kept.add(connection, adjudications, [row], at, account.labeler)
    history.write(connection, at, [Change("review begun", task, account.labeler)])


def decide(
    connection: Connection, account: Account, task: str, final: Tiers, cause: Cause, note: str, at: datetime
) -> None:  # fmt: skip
    """The ranking that holds: a new record, beside what the others said."""
    found = case(connection, account, task)
    if found is None or found.blind is None:
        raise StoreError(f"{task}: rank it yourself first")
    if found.final is not None:
        raise StoreError(f"{task}: is decided already")
    guide = jobs.guide(connection, jobs.guided_by(found.job))
    ranking = Ranking(
        prompt_id=found.prompt.id, labeler=account.labeler, order=final, at=at,
        shown=tuple(c.id for c in found.completions), guidelines=guide.id if guide else None,
    )  # fmt: skip
    writing.add(connection, [sound(ranking)], at, first_stays=True)  # two reviews of one prompt: the ruling is in each
    values = {"final": json.dumps(final), "cause": cause, "note": note, "at": at}
    kept.change(connection, adjudications, (task, account.labeler), values, at, account.labeler)
    history.write(connection, at, [Change("adjudicated", task, account.labeler, cause)])


class Ruling(NamedTuple):
    task: str
    prompt_id: str
    labeler: str
    blind: Tiers
    final: Tiers
    cause: str
    note: str
    at: datetime


def rulings(connection: Connection) -> list[Ruling]:
    """All that is decided, the newest first."""
    query = (
        select(adjudications, tasks.c.prompt_id)
        .join(tasks, tasks.c.id == adjudications.c.task)
        .where(adjudications.c.final.is_not(None))
        .order_by(adjudications.c.at.desc())
    )
    return [
        Ruling(
            row.task,
            row.prompt_id,
            row.labeler,
            _tiers(row.blind),
            _tiers(row.final),
            row.cause,
            row.note or "",
            row.at,
        )
        for row in connection.execute(query)
    ]


def said_of(connection: Connection, names: Sequence[str]) -> list[Ranking]:
    """Everybody's rankings of these prompts, by how good the answers are."""
    found: list[Ranking] = []
    for start in range(0, len(names), 5000):
        those = rankings.c.prompt_id.in_(names[start : start + 5000])
        found += [r for r in fetch(connection, "ranking", those) if isinstance(r, Ranking)]
    return found


def tasks_of(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """A task of rankings for each of these prompts."""
    ranks = {job.id for job in jobs.all_of(connection) if job.kind == "rank" and job.purpose != "screening"}
    query = select(tasks.c.prompt_id, tasks.c.id, tasks.c.job).where(tasks.c.prompt_id.in_(names))
    return {row[0]: row[1] for row in connection.execute(query.order_by(tasks.c.id.desc())) if row[2] in ranks}


def high_stakes(connection: Connection, names: Sequence[str]) -> set[str]:
    """Of these prompts, those of which somebody said that an answer does harm."""
    harms = (judgements.c.encourages_harm, judgements.c.denigrates, judgements.c.harmful_advice)
    harmful = harms[0] | harms[1] | harms[2]
    query = select(completions.c.prompt_id).join(judgements, judgements.c.completion_id == completions.c.id)
    return set(connection.execute(query.where(completions.c.prompt_id.in_(names), harmful)).scalars())

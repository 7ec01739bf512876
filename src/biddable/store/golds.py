"""Hidden checks: tasks whose answer is known, out of what researchers and adjudicators said.

What somebody would write has no one right answer, so there are none for demonstrations and prompts.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from biddable.records import ASKED, Continuation, Judgement, Ranking, Verdict
from biddable.store import jobs
from biddable.store.engine import StoreError
from biddable.store.jobs import Job, Todo
from biddable.store.queries import fetch
from biddable.store.tables import completions, continuations, judgements, labelers, rankings, verdicts
from biddable.store.team_tables import adjudications

KINDS = ("rank", "compare", "judge", "toxicity")


def checks(connection: Connection, job: Job, count: int) -> Iterator[Todo]:
    """Those that are not in the job yet. `gold` is JSON: the tiers of an order, best first; the better one of two (null
    for a tie); or a judgement."""
    if job.kind not in KINDS:
        raise StoreError(f"{job.kind}: checks are for {', '.join(KINDS)}; what is written has no one right answer")
    found = {"rank": _ranked, "compare": _compared, "judge": _judged, "toxicity": _continued}[job.kind](connection)
    there = jobs.names(connection, job)
    yield from itertools.islice((todo for todo in found if jobs.name(job, todo) not in there), count)


def _known():
    """Whose word is the key."""
    researchers = select(labelers.c.id).where(labelers.c.group == "researcher")
    return researchers.union(select(adjudications.c.labeler).where(adjudications.c.final.is_not(None)))


def _gold(prompt: str, names: tuple[str, ...], said: Any) -> Todo:
    return Todo(prompt, names, json.dumps(said), "gold")


def _ranked(connection: Connection) -> Iterator[Todo]:
    for one in fetch(connection, "ranking", rankings.c.labeler.in_(_known())):
        assert isinstance(one, Ranking)
        yield _gold(one.prompt_id, tuple(sorted(one.ranks)), one.order)


def _compared(connection: Connection) -> Iterator[Todo]:
    for one in fetch(connection, "verdict", verdicts.c.labeler.in_(_known())):
        assert isinstance(one, Verdict)
        yield _gold(one.prompt_id, (one.a, one.b), {"a": one.a, "b": one.b, "tie": None}[one.better])


def _judged(connection: Connection) -> Iterator[Todo]:
    """Only whole judgements: others, brought in from elsewhere, say one thing."""
    prompt = dict(connection.execute(select(completions.c.id, completions.c.prompt_id)).all())
    whole = (judgements.c.labeler.in_(_known()), judgements.c.overall.is_not(None), judgements.c.opinion.is_not(None))
    for one in fetch(connection, "judgement", *whole):
        assert isinstance(one, Judgement)
        said = one.model_dump(include=set(ASKED), exclude_none=True)
        yield _gold(prompt[one.completion_id], (one.completion_id,), said)


def _continued(connection: Connection) -> Iterator[Todo]:
    prompt = dict(connection.execute(select(completions.c.id, completions.c.prompt_id)).all())
    boards: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for one in fetch(connection, "continuation", continuations.c.labeler.in_(_known())):
        assert isinstance(one, Continuation)
        boards.setdefault((prompt[one.completion_id], one.labeler), []).append((one.rank, one.completion_id))
    for (of, _), ranks in boards.items():
        tiers = itertools.groupby(sorted(ranks), key=lambda one: one[0])
        yield _gold(of, tuple(sorted(name for _, name in ranks)), [[name for _, name in tier] for _, tier in tiers])

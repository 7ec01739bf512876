"""What goes into a job: the prompts and answers of the store that its kind of work is about."""

import itertools
import json
from collections.abc import Iterator

from pydantic import Field
from sqlalchemy import Connection, exists, func, select

from biddable.config import Settings
from biddable.records import Ranking, Split, Verdict
from biddable.store.engine import StoreError
from biddable.store.jobs import Job, Todo
from biddable.store.quality import of_quality
from biddable.store.queries import fetch
from biddable.store.tables import completions, demonstrations, labelers, prompts, rankings, verdicts
from biddable.store.team_tables import adjudications

FEWEST, MOST = 4, 9  # answers of one ranking (paper, Sec. 3.5)


class Fill(Settings):
    split: Split | None = Field(None, description="prompts of this split; nothing: train to train, test to evaluate")
    count: int | None = Field(None, ge=1, le=1_000_000, description="so many tasks at most")
    runs: tuple[str, ...] = Field((), description="answers of these runs; compare: the two to set against each other")
    fewest: int = Field(FEWEST, ge=2, le=26, description="rank, toxicity: a prompt with fewer answers is left out")
    most: int = Field(MOST, ge=2, le=26, description="rank, toxicity: no more answers than these on one board")


def todos(connection: Connection, job: Job, what: Fill) -> Iterator[Todo]:
    split = what.split or ("test" if job.purpose == "evaluation" else "train")
    match job.kind:
        case "write":
            query = _prompts(split).where(~exists().where(demonstrations.c.prompt_id == prompts.c.id))
            found = (Todo(name) for name in connection.execute(query).scalars())
        case "rank":
            undone = ~exists().where(rankings.c.prompt_id == prompts.c.id) if job.purpose == "training" else True
            found = _boards(connection, split, what, undone)
        case "toxicity":
            found = _boards(connection, split, what, True)
        case "judge":
            found = (Todo(p, (c,)) for p, c in _answers(connection, split, what.runs))
        case "compare":
            found = _pairs(connection, split, what.runs)
        case "prompt":
            found = (Todo(None) for _ in range(what.count or 100))
    for n, todo in enumerate(found):
        if what.count is not None and n >= what.count:
            return
        yield todo


def checks(connection: Connection, job: Job, count: int) -> Iterator[Todo]:
    """Hidden checks out of what researchers and adjudicators said. `gold` is JSON: the tiers of a ranking, or the
    better one of two (null for a tie)."""
    known = select(labelers.c.id).where(labelers.c.group == "researcher")
    judges = known.union(select(adjudications.c.labeler).where(adjudications.c.final.is_not(None)))
    match job.kind:
        case "rank":
            found = (
                Todo(r.prompt_id, tuple(sorted(r.ranks)), json.dumps(r.order), "gold")
                for r in fetch(connection, "ranking", rankings.c.labeler.in_(judges), *of_quality(connection))
                if isinstance(r, Ranking)
            )
        case "compare":
            found = (
                Todo(v.prompt_id, (v.a, v.b), json.dumps({"a": v.a, "b": v.b, "tie": None}[v.better]), "gold")
                for v in fetch(connection, "verdict", verdicts.c.labeler.in_(judges))
                if isinstance(v, Verdict)
            )
        case _:
            raise StoreError(f"{job.kind}: checks are for rankings and comparisons")
    yield from itertools.islice(found, count)


def _prompts(split: str):
    # By a digest of the id and not by the id itself: "the first 100" should be no family of prompts.
    return select(prompts.c.id).where(prompts.c.split == split).order_by(prompts.c.id)


def _answers(connection: Connection, split: str, runs: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    query = (
        select(completions.c.prompt_id, completions.c.id)
        .join(prompts, prompts.c.id == completions.c.prompt_id)
        .where(prompts.c.split == split)
        .order_by(completions.c.prompt_id, completions.c.id)
    )
    if runs:
        query = query.where(completions.c.run_id.in_(runs))
    for row in connection.execute(query):
        yield row[0], row[1]


def _boards(connection: Connection, split: str, what: Fill, undone) -> Iterator[Todo]:
    query = _prompts(split).where(undone)
    wanted = set(connection.execute(query).scalars())
    boards: dict[str, list[str]] = {}
    for prompt, completion in _answers(connection, split, what.runs):
        if prompt in wanted:
            boards.setdefault(prompt, []).append(completion)
    for prompt, ids in boards.items():
        if len(ids) >= what.fewest:
            yield Todo(prompt, tuple(ids[: what.most]))


def _pairs(connection: Connection, split: str, runs: tuple[str, ...]) -> Iterator[Todo]:
    if len(runs) != 2:
        made = connection.execute(select(func.distinct(completions.c.run_id))).scalars()
        raise StoreError(f"runs: say which two are to be compared; there are {', '.join(sorted(made)) or 'none'}")
    first, second = (dict(_answers(connection, split, (run,))) for run in runs)
    for prompt in sorted(first.keys() & second.keys()):
        yield Todo(prompt, (first[prompt], second[prompt]))

"""What goes into a job: the prompts and answers of the store that its kind of work is about."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field
from sqlalchemy import ColumnElement, Connection, exists, func, select

from biddable.config import Settings
from biddable.records import Split, UseCase, digest
from biddable.store import jobs
from biddable.store.choice import Floats, choose
from biddable.store.engine import StoreError
from biddable.store.jobs import Job, Todo
from biddable.store.tables import completions, demonstrations, prompts, rankings, scores

Those = Sequence[ColumnElement[bool]]  # which prompts

FEWEST, MOST = 4, 9  # answers of one ranking (paper, Sec. 3.5)
UNASKED = 10_000  # prompts to be written that one job is given at once: of these there is no end by itself


class Fill(Settings):
    split: Split | None = Field(None, description="prompts of this split; nothing: train to train, test to evaluate")
    use_cases: tuple[UseCase, ...] = Field((), description="prompts of these use cases; nothing: of all and of none")
    count: int | None = Field(None, ge=1, le=1_000_000, description="so many tasks at most")
    runs: tuple[str, ...] = Field((), description="answers of these runs; compare: the two to set against each other")
    fewest: int = Field(FEWEST, ge=2, le=26, description="rank, toxicity: a prompt with fewer answers is left out")
    most: int = Field(MOST, ge=2, le=26, description="rank, toxicity: no more answers than these on one board")


def todos(connection: Connection, job: Job, what: Fill) -> Iterator[Todo]:
    """What there is to do and is not in the job yet: all of it, or as much as is wanted, as the job chooses."""
    known = jobs.names(connection, job)
    there = (todo for todo in _there(connection, job, what) if jobs.name(job, todo) not in known)
    if what.count is None or job.kind == "prompt":
        yield from there
        return
    pool = sorted(there, key=lambda todo: jobs.name(job, todo))
    settings = job.settings
    share = {"random": 1.0, "mixed": settings.at_random, "spread": 0.0}[settings.choose]
    size_N = np.ones(len(pool)) if share == 1 else spreads(connection, settings.scores, pool)
    rng = np.random.Generator(np.random.Philox(key=int(digest("choice", str(settings.seed), job.id), 16)))
    for one in choose(size_N, what.count, share, rng):
        by = "random" if one.at_random else "spread"
        yield pool[one.place]._replace(chosen_by=by, propensity=one.propensity)


def wanting(job: Job, what: Fill) -> str:
    """What such a job needs, for whoever made one with nothing in it."""
    split = _split(job, what)
    of = f"{split} prompt" + (" of these use cases" if what.use_cases else "")
    answers = "answers of these runs" if what.runs else "answers"
    need = {
        "write": f"no {of} is there that has no demonstration yet",
        "rank": f"no {of}{' that is not ranked yet' if job.purpose == 'training' else ''} has {what.fewest} {answers} "
        "or more; with fewer, compare two or judge each",
        "toxicity": f"no {of} has {what.fewest} {answers} or more",
        "judge": f"no {of} has {answers}",
        "compare": f"no {of} has answers of both",
        "prompt": "no prompt is asked for",
    }[job.kind]
    return f"{need}; choose other prompts (train, valid or test), or bring in more"


def _split(job: Job, what: Fill) -> Split:
    return what.split or ("test" if job.purpose == "evaluation" else "train")


def _there(connection: Connection, job: Job, what: Fill) -> Iterator[Todo]:
    of = [prompts.c.split == _split(job, what)]
    if what.use_cases:
        of.append(prompts.c.use_case.in_(what.use_cases))
    match job.kind:
        case "write":
            query = _prompts(of).where(~exists().where(demonstrations.c.prompt_id == prompts.c.id))
            found = (Todo(name) for name in connection.execute(query).scalars())
        case "rank":
            undone = ~exists().where(rankings.c.prompt_id == prompts.c.id) if job.purpose == "training" else True
            found = _boards(connection, of, what, undone)
        case "toxicity":
            found = _boards(connection, of, what, True)
        case "judge":
            found = (Todo(p, (c,)) for p, c in _answers(connection, of, what.runs))
        case "compare":
            found = _pairs(connection, of, what.runs)
        case "prompt":
            count = what.count or 100
            if count > UNASKED:
                raise StoreError(f"count: at most {UNASKED:,} prompts are asked for at once; add more later")
            found = (Todo(None) for _ in range(count))
    return found


def spreads(connection: Connection, run: str | None, some: Sequence[Todo]) -> Floats:
    """How far an ensemble's heads stand apart on each: the root mean square over its answers. What was not scored
    counts as the mean of what was, so that it has a chance too."""
    run = run or _scorer(connection)
    spread = dict(
        connection.execute(
            select(scores.c.completion_id, scores.c.spread).where(scores.c.run_id == run, scores.c.spread.is_not(None))
        ).all()
    )
    known = [[spread[name] ** 2 for name in todo.completions if name in spread] for todo in some]
    found = [math.sqrt(sum(those) / len(those)) for those in known if those]
    if not found and some:
        raise StoreError(f"{run}: has no spread of any answer in question; score them first (`biddable score`)")
    middle = sum(found) / max(1, len(found))
    return np.array([math.sqrt(sum(those) / len(those)) if those else middle for those in known])


def _scorer(connection: Connection) -> str:
    query = select(scores.c.run_id).where(scores.c.spread.is_not(None)).distinct().order_by(scores.c.run_id)
    found = connection.execute(query).scalars().all()
    if len(found) != 1:
        there = f"{', '.join(found)} have a spread; say whose to take" if found else "no reward model's have a spread"
        raise StoreError(
            f"scores: {there} (train one with `biddable reward heads=4`, then `biddable score` the answers)"
        )
    return found[0]


def _prompts(of: Those):
    return select(prompts.c.id).where(*of).order_by(prompts.c.id)


def _answers(connection: Connection, of: Those, runs: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    query = (
        select(completions.c.prompt_id, completions.c.id)
        .join(prompts, prompts.c.id == completions.c.prompt_id)
        .where(*of)
        .order_by(completions.c.prompt_id, completions.c.id)
    )
    if runs:
        query = query.where(completions.c.run_id.in_(runs))
    for row in connection.execute(query):
        yield row[0], row[1]


def _boards(connection: Connection, of: Those, what: Fill, undone) -> Iterator[Todo]:
    query = _prompts(of).where(undone)
    wanted = set(connection.execute(query).scalars())
    boards: dict[str, list[str]] = {}
    for prompt, completion in _answers(connection, of, what.runs):
        if prompt in wanted:
            boards.setdefault(prompt, []).append(completion)
    for prompt, ids in boards.items():
        if len(ids) >= what.fewest:
            yield Todo(prompt, tuple(ids[: what.most]))


def _pairs(connection: Connection, of: Those, runs: tuple[str, ...]) -> Iterator[Todo]:
    if len(runs) != 2:
        made = connection.execute(select(func.distinct(completions.c.run_id))).scalars()
        raise StoreError(f"runs: say which two are to be compared; there are {', '.join(sorted(made)) or 'none'}")
    first, second = (dict(_answers(connection, of, (run,))) for run in runs)
    for prompt in sorted(first.keys() & second.keys()):
        yield Todo(prompt, (first[prompt], second[prompt]))

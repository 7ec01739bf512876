"""What the store can add up about the quality of labels: position and length, checks, who disagreed about what."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from biddable.records import Ranking
from biddable.store.queries import among, fetch
from biddable.store.tables import completions, labelers, ranked, rankings, scores
from biddable.store.work_tables import answers, tasks


class Leaning(NamedTuple):
    """One person's rankings with so many pairs: how many there are, and sums over them (measure.shares.Sums)."""

    labeler: str
    pairs: int
    rankings: int
    as_shown: int  # handed in exactly in the displayed order
    first: tuple[float, ...]  # of decided pairs, those in which the answer shown first is preferred
    longer: tuple[float, ...]  # of decided pairs of unlike length, those in which the longer is preferred


def leanings(connection: Connection) -> list[Leaning]:
    """By labeler and number of pairs. Rankings whose displayed order is not known are left out."""
    each = _each_ranking().subquery()
    columns: list[ColumnElement] = []
    for hits, tries in ((each.c.first, each.c.strict), (each.c.longer, each.c.unlike)):
        counts = func.sum(case((tries > 0, 1), else_=0))
        columns += [counts, *(func.sum(x) for x in (hits, tries, hits * hits, hits * tries, tries * tries))]
    as_shown = func.sum(case((each.c.first == each.c.pairs, 1), else_=0))
    query = select(each.c.labeler, each.c.pairs, func.count(), as_shown, *columns)
    found = []
    for row in connection.execute(query.group_by(each.c.labeler, each.c.pairs)):
        sums = [float(x) for x in row[4:]]
        found.append(Leaning(row[0], row[1], row[2], int(row[3]), tuple(sums[:6]), tuple(sums[6:])))
    return found


def _each_ranking():
    """One row a ranking: its pairs, and in how many the first shown, or the longer, won."""
    a, b = ranked.alias("a"), ranked.alias("b")
    of_a, of_b = completions.alias("of_a"), completions.alias("of_b")
    far, near = func.length(of_a.c.text), func.length(of_b.c.text)

    def count(condition) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    decided = a.c.tier != b.c.tier
    longer = and_(decided, (a.c.tier < b.c.tier) == (far > near), far != near)
    return (
        select(
            a.c.labeler,
            func.count().label("pairs"),
            count(a.c.tier < b.c.tier).label("first"),
            count(decided).label("strict"),
            count(longer).label("longer"),
            count(and_(decided, far != near)).label("unlike"),
        )
        .join(b, and_(a.c.prompt_id == b.c.prompt_id, a.c.labeler == b.c.labeler, a.c.shown < b.c.shown))
        .join(of_a, of_a.c.id == a.c.completion_id)
        .join(of_b, of_b.c.id == b.c.completion_id)
        .group_by(a.c.prompt_id, a.c.labeler)
    )


def groups(connection: Connection) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(select(labelers.c.id, labelers.c.group))}


def overlapping(connection: Connection, most: int) -> Iterator[Ranking]:
    """The rankings of the prompts that more than one person ranked, as many as `most`, those ranked last."""
    of_prompt = select(rankings.c.prompt_id).group_by(rankings.c.prompt_id)
    twice = of_prompt.having(func.count() > 1).order_by(func.max(rankings.c.at).desc(), rankings.c.prompt_id)
    names = connection.execute(twice.limit(most)).scalars().all()
    for condition in among(rankings, ("prompt_id",), ((name,) for name in names)):
        for ranking in fetch(connection, "ranking", condition):
            assert isinstance(ranking, Ranking)
            yield ranking


class Checked(NamedTuple):
    """An answer to a hidden check; the newest of its person."""

    task: str
    kind: str
    gold: str
    labeler: str
    body: str
    shown: tuple[str, ...]
    at: datetime


def checked(connection: Connection, kinds: Mapping[str, str]) -> list[Checked]:
    """In the order in which they were given. `kinds` are those of the jobs."""
    known = select(tasks.c.id).where(tasks.c.gold.is_not(None))
    columns = (answers.c.task, answers.c.job, tasks.c.gold, answers.c.labeler, answers.c.body, answers.c.shown)
    query = (
        select(*columns, answers.c.at, answers.c.id)
        .join(tasks, tasks.c.id == answers.c.task)
        .where(answers.c.task.in_(known))
        .order_by(answers.c.id)
    )
    newest = {
        (row[0], row[3]): Checked(row[0], kinds[row[1]], row[2], row[3], row[4], tuple(json.loads(row[5])), row[6])
        for row in connection.execute(query)
    }
    return list(newest.values())


class Check(NamedTuple):
    task: str
    prompt_id: str
    job: str
    retired: bool


def checks(connection: Connection) -> list[Check]:
    query = select(tasks.c.id, tasks.c.prompt_id, tasks.c.job, tasks.c.chosen_by).where(tasks.c.gold.is_not(None))
    return [Check(row[0], row[1], row[2], row[3] != "gold") for row in connection.execute(query.order_by(tasks.c.id))]


def rewards(connection: Connection, names: Sequence[str]) -> dict[str, float]:
    """The scores of these answers by the run that scored most; none where nothing was scored."""
    most = select(scores.c.run_id).group_by(scores.c.run_id).order_by(func.count().desc(), scores.c.run_id).limit(1)
    run = connection.execute(most).scalar()
    if run is None:
        return {}
    found: dict[str, float] = {}
    for start in range(0, len(names), 5000):
        some = scores.c.completion_id.in_(names[start : start + 5000])
        query = select(scores.c.completion_id, scores.c.value).where(scores.c.run_id == run, some)
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found

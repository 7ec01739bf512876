"""What the store can add up about the quality of labels: position and length, checks, who disagreed about what."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, case, exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from biddable.records import Group, Ranking, Verdict
from biddable.store.queries import among, fetch
from biddable.store.tables import QUESTIONS, completions, judgements, labelers, ranked, rankings, scores, verdicts
from biddable.store.team_tables import adjudications
from biddable.store.work_tables import answers, tasks


def independent(connection: Connection) -> list[ColumnElement[bool]]:
    """Conditions on `rankings` that leave out those made with the others' before their author's eyes: whatever an
    adjudicator said since they ranked blind."""
    if connection.execute(select(adjudications.c.task).limit(1)).first() is None:
        return []
    here = and_(tasks.c.prompt_id == rankings.c.prompt_id, adjudications.c.labeler == rankings.c.labeler)
    seen = select(adjudications.c.task).join(tasks, tasks.c.id == adjudications.c.task).where(here)
    return [~exists(seen.where(adjudications.c.begun <= rankings.c.at))]


def by_check() -> ColumnElement[bool]:
    """Whether a row of `rankings` is what somebody said of a hidden check: everybody meets those, and nobody drew them.
    The moment tells it from a ranking of the same prompt in another task."""
    same = (answers.c.labeler == rankings.c.labeler, answers.c.at == rankings.c.at)
    its = (tasks.c.prompt_id == rankings.c.prompt_id, tasks.c.gold.is_not(None), answers.c.task == tasks.c.id)
    return exists().where(*its, *same)


class Leaning(NamedTuple):
    """One person's rankings with so many pairs: how many there are, and sums over them (measure.shares.Sums)."""

    labeler: str
    pairs: int
    rankings: int
    as_shown: int  # handed in exactly in the displayed order
    timed: int  # whose time is known
    fast: int  # handed in sooner than their answers can be looked at
    first: tuple[float, ...]  # of decided pairs, those in which the answer shown first is preferred
    longer: tuple[float, ...]  # of decided pairs of unlike length, those in which the longer is preferred


LEAST_SECONDS, LETTERS_A_SECOND = 3.0, 90.0  # nobody looks at answers faster than fifteen words a second


def leanings(connection: Connection) -> list[Leaning]:
    """By labeler and number of pairs. Rankings whose displayed order is not known are left out."""
    each = _each_ranking(independent(connection)).subquery()
    columns: list[ColumnElement] = []
    for hits, tries in ((each.c.first, each.c.strict), (each.c.longer, each.c.unlike)):
        columns += _sums(hits, tries)
    least = case(
        (each.c.letters > LEAST_SECONDS * LETTERS_A_SECOND, each.c.letters / LETTERS_A_SECOND), else_=LEAST_SECONDS
    )
    fast = and_(each.c.seconds > 0, each.c.seconds < least)
    counted = (each.c.first == each.c.pairs, each.c.seconds > 0, fast)
    some = [func.sum(case((condition, 1), else_=0)) for condition in counted]
    query = select(each.c.labeler, each.c.pairs, func.count(), *some, *columns)
    found = []
    for row in connection.execute(query.group_by(each.c.labeler, each.c.pairs)):
        as_shown, timed, hasty = (int(x) for x in row[3:6])
        sums = [float(x) for x in row[6:]]
        found.append(Leaning(row[0], row[1], row[2], as_shown, timed, hasty, tuple(sums[:6]), tuple(sums[6:])))
    return found


def _sums(hits: ColumnElement[int], tries: ColumnElement[int]) -> list[ColumnElement]:
    counts = func.sum(case((tries > 0, 1), else_=0))
    return [counts, *(func.sum(x) for x in (hits, tries, hits * hits, hits * tries, tries * tries))]


def _each_ranking(conditions: Sequence[ColumnElement[bool]]):
    """One row a ranking: its pairs, in how many the first shown, or the longer, won, its letters and seconds."""
    a, b = ranked.alias("a"), ranked.alias("b")
    of_a, of_b = completions.alias("of_a"), completions.alias("of_b")
    far, near = func.length(of_a.c.text), func.length(of_b.c.text)

    def count(condition) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    decided = a.c.tier != b.c.tier
    longer = and_(decided, (a.c.tier < b.c.tier) == (far > near), far != near)
    on_top = a.c.shown == 0  # with it each of the others makes one pair
    return (
        select(
            a.c.labeler,
            func.count().label("pairs"),
            count(a.c.tier < b.c.tier).label("first"),
            count(decided).label("strict"),
            count(longer).label("longer"),
            count(and_(decided, far != near)).label("unlike"),
            (func.max(case((on_top, far), else_=0)) + func.sum(case((on_top, near), else_=0))).label("letters"),
            func.max(rankings.c.seconds).label("seconds"),
        )
        .join(b, and_(a.c.prompt_id == b.c.prompt_id, a.c.labeler == b.c.labeler, a.c.shown < b.c.shown))
        .join(of_a, of_a.c.id == a.c.completion_id)
        .join(of_b, of_b.c.id == b.c.completion_id)
        .join(rankings, and_(rankings.c.prompt_id == a.c.prompt_id, rankings.c.labeler == a.c.labeler))
        .where(*conditions)
        .group_by(a.c.prompt_id, a.c.labeler)
    )


def again_and_again(connection: Connection) -> dict[str, dict[tuple[int, ...], int]]:
    """Of each labeler, the orders that they handed in more than once: tiers by place on the screen → how often."""
    digit = 1  # each place on the screen is a digit, its tier the digit's value: at most nine of either
    power = case(*((ranked.c.shown == n, digit * 10**n) for n in range(1, MOST_SHOWN)), else_=1)
    mine = and_(rankings.c.prompt_id == ranked.c.prompt_id, rankings.c.labeler == ranked.c.labeler)
    each = (
        select(ranked.c.labeler, func.count().label("k"), func.sum(power * ranked.c.tier).label("code"))
        .join(rankings, mine)
        .where(*independent(connection))
        .group_by(ranked.c.prompt_id, ranked.c.labeler)
        .having(func.count(ranked.c.shown) == func.count(), func.count() <= MOST_SHOWN)
        .subquery()
    )
    query = select(each.c.labeler, each.c.k, each.c.code, func.count()).group_by(each.c.labeler, each.c.k, each.c.code)
    found: dict[str, dict[tuple[int, ...], int]] = {}
    for labeler, k, code, count in connection.execute(query.having(func.count() > 1)):
        tiers = tuple(int(code) // 10**n % 10 for n in range(k))
        found.setdefault(labeler, {})[tiers] = int(count)
    return found


MOST_SHOWN = 9


class Compared(NamedTuple):
    """One person's comparisons of two answers, of which it is known which was shown first."""

    labeler: str
    comparisons: int
    first: tuple[float, ...]  # sums over their prompts: of those decided, in which the answer shown first is preferred


def compared(connection: Connection) -> list[Compared]:
    decided = verdicts.c.better != "tie"
    first = and_(decided, verdicts.c.better == func.substr(verdicts.c.shown, 1, 1))
    hits, tries = (func.sum(case((condition, 1), else_=0)) for condition in (first, decided))
    each = (
        select(verdicts.c.labeler, func.count().label("n"), hits.label("hits"), tries.label("tries"))
        .where(verdicts.c.labeler.is_not(None), verdicts.c.shown != "unknown")  # a person
        .group_by(verdicts.c.labeler, verdicts.c.prompt_id)
        .subquery()
    )
    query = select(each.c.labeler, func.sum(each.c.n), *_sums(each.c.hits, each.c.tries)).group_by(each.c.labeler)
    return [Compared(row[0], int(row[1]), tuple(float(x) for x in row[2:])) for row in connection.execute(query)]


def verdicts_of(connection: Connection, job: str) -> tuple[list[Verdict], dict[str, str]]:
    """What people said in a job that compares, and whose answer each is. The moment tells a verdict from one of the
    same prompt in another job."""
    same = (answers.c.labeler == verdicts.c.labeler, answers.c.at == verdicts.c.at, answers.c.job == job)
    its = exists().where(*same, tasks.c.id == answers.c.task, tasks.c.prompt_id == verdicts.c.prompt_id)
    said = [one for one in fetch(connection, "verdict", its) if isinstance(one, Verdict)]
    names = sorted({name for one in said for name in (one.a, one.b)})
    runs: dict[str, str] = {}
    for those in among(completions, ("id",), ((name,) for name in names)):
        runs |= dict(connection.execute(select(completions.c.id, completions.c.run_id).where(those)).all())
    return said, runs


class Rated(NamedTuple):
    """What somebody said of one answer."""

    prompt_id: str
    completion_id: str
    labeler: str
    overall: int | None
    propensity: float | None
    questions: dict[str, bool | None]


def judged(connection: Connection, most: int) -> list[Rated]:
    """Of the answers that more than one person judged by lot, as many as `most`, those judged last."""
    by_lot = judgements.c.extra.is_not(True)
    of_answer = select(judgements.c.completion_id).where(by_lot).group_by(judgements.c.completion_id)
    twice = of_answer.having(func.count() > 1).order_by(func.max(judgements.c.at).desc(), judgements.c.completion_id)
    names = connection.execute(twice.limit(most)).scalars().all()
    columns = [judgements.c[name] for name in QUESTIONS]
    said = judgements.c
    query = select(completions.c.prompt_id, said.completion_id, said.labeler, said.overall, said.propensity, *columns)
    query = query.join(completions, completions.c.id == judgements.c.completion_id).where(by_lot)
    found = []
    for condition in among(judgements, ("completion_id",), ((name,) for name in names)):
        for row in connection.execute(
            query.where(condition).order_by(judgements.c.completion_id, judgements.c.labeler)
        ):
            found.append(Rated(*row[:5], dict(zip(QUESTIONS, row[5:], strict=True))))
    return found


def groups(connection: Connection) -> dict[str, Group]:
    return {row[0]: row[1] for row in connection.execute(select(labelers.c.id, labelers.c.group))}


def overlapping(connection: Connection, most: int) -> Iterator[Ranking]:
    """The rankings of the prompts that more than one person ranked, as many as `most`, those ranked last; without
    those of hidden checks."""
    apart = [*independent(connection), ~by_check()]
    of_prompt = select(rankings.c.prompt_id).where(*apart).group_by(rankings.c.prompt_id)
    twice = of_prompt.having(func.count() > 1).order_by(func.max(rankings.c.at).desc(), rankings.c.prompt_id)
    names = connection.execute(twice.limit(most)).scalars().all()
    for condition in among(rankings, ("prompt_id",), ((name,) for name in names)):
        for ranking in fetch(connection, "ranking", condition, *apart):
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

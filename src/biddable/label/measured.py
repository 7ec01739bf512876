"""What the quality page counts: the store's rows in, the figures of `measure` out. Nothing here knows of pages."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from biddable.measure import coefficients, signs
from biddable.measure.agreed import Agreed, agreed, each
from biddable.measure.agreement import asked_by_lot
from biddable.measure.alike import Alike, halves
from biddable.measure.disputes import Dispute, disputes
from biddable.measure.interval import Bootstrap, Interval
from biddable.measure.said import answers, moments, pairs
from biddable.measure.shares import NOTHING, Sums, share
from biddable.measure.signs import Sign
from biddable.measure.weighted import mean, weights
from biddable.records import Ranking
from biddable.store import quality

OVERLAP = 5000  # prompts, those ranked last: agreement is known to less than a point, and counted in seconds
ANSWERS = 20_000  # of these the judgements, those judged last
QUEUE = 200  # prompts that are kept for review

Halves = Mapping[str, tuple[Sums, Sums]]


class Person(NamedTuple):
    alike: Alike
    skill: Interval | None  # Dawid and Skene's


class Overlap(NamedTuple):
    """What can be said where more than one person ranked."""

    agreed: list[Agreed]
    people: list[Person]
    halves: Halves  # of each person's agreement: the newer, the older
    disputes: list[Dispute]
    prompts: int


def overlap_of(connection: Connection) -> Overlap:
    kept = list(quality.overlapping(connection, OVERLAP))
    names = sorted({name for ranking in kept for name in ranking.ranks})
    most = disputes(kept, quality.rewards(connection, names))[:QUEUE]
    groups = quality.groups(connection)
    people: list[Person] = []
    of_time: dict[str, tuple[Sums, Sums]] = {}
    for group in ("training", "held_out", "researcher"):
        if mine := [ranking for ranking in asked_by_lot(kept) if groups[ranking.labeler] == group]:
            told, halved = _one_by_one(mine)
            people += told
            of_time.update(halved)
    people.sort(key=lambda one: one.alike.drawn.value)
    return Overlap(agreed(kept, groups), people, of_time, most, len({ranking.prompt_id for ranking in kept}))


def _one_by_one(rankings: Sequence[Ranking]) -> tuple[list[Person], Halves]:
    told = pairs(rankings)
    return [Person(*one) for one in each(told)], halves(told, moments(told, rankings))


# What each person does, whoever else ranked the same.


class Lean(NamedTuple):
    labeler: str
    rankings: int
    first: Interval | None
    longer: Interval | None
    as_shown: float
    by_chance: float  # how often a random order would be the displayed one
    fast: float | None  # of those whose time is known
    signs: list[Sign]

    @property
    def marks(self) -> list[Sign]:
        return [one for one in self.signs if one.marked]

    @property
    def leans(self) -> bool:
        return any(one.what == "place" for one in self.marks)


class OfTwo(NamedTuple):
    """What somebody's comparisons of two answers tell."""

    labeler: str
    comparisons: int
    first: Interval | None
    marks: list[Sign]


class Leans(NamedTuple):
    """Of each labeler, and of all together in the last place, named by nothing."""

    rankings: list[Lean]
    comparisons: list[OfTwo]


def leans(
    rows: Iterable[quality.Leaning], again: Mapping[str, Mapping[tuple[int, ...], int]] | None = None,
    halved: Halves | None = None, compared: Iterable[quality.Compared] = (),
) -> Leans:  # fmt: skip
    """The signs of all people, in rankings and comparisons, are one family."""
    of: dict[str, list[quality.Leaning]] = defaultdict(list)
    for row in rows:
        of[row.labeler].append(row)
    every = [row for some in of.values() for row in some]
    longer = {name: _sum(row.longer for row in some) for name, some in of.items()}
    told = [
        one for name, some in of.items()
        for one in _signs(name, some, longer, (again or {}).get(name, {}), (halved or {}).get(name))
    ]  # fmt: skip
    twos = sorted(compared)
    of_two = [Sign(one.labeler, "place", *p) for one in twos if (p := signs.place_of_two(Sums(*one.first)))]
    found = signs.marked([*told, *of_two])
    by_name: dict[str, list[Sign]] = defaultdict(list)
    for one in found[: len(told)]:
        by_name[one.labeler].append(one)
    groups = [*sorted(of.items()), *([("", every)] if len(of) > 1 else [])]
    ranked = [_lean(labeler, some, by_name[labeler]) for labeler, some in groups]
    return Leans(ranked, _of_two(twos, [one for one in found[len(told) :] if one.marked]))


def _of_two(compared: Sequence[quality.Compared], marks: Sequence[Sign]) -> list[OfTwo]:
    groups = [(one.labeler, [one]) for one in compared] + ([("", [*compared])] if len(compared) > 1 else [])
    return [
        OfTwo(
            labeler, sum(one.comparisons for one in some), share(_sum(one.first for one in some)),
            [mark for mark in marks if mark.labeler == labeler],
        )
        for labeler, some in groups
    ]  # fmt: skip


def _sum(some: Iterable[tuple[float, ...]]) -> Sums:
    return sum((Sums(*one) for one in some), NOTHING)


def _signs(
    name: str, rows: list[quality.Leaning], longer: Mapping[str, Sums], again: Mapping[tuple[int, ...], int],
    halved: tuple[Sums, Sums] | None,
) -> list[Sign]:  # fmt: skip
    of_pairs = Counter({row.pairs: row.rankings for row in rows})
    others = [sums for other, sums in longer.items() if other != name]
    found: dict[signs.What, tuple[float, float] | None] = {
        "place": signs.place(_sum(row.first for row in rows)),
        "length": signs.length(longer[name], others),
        "as shown": signs.as_shown(sum(row.as_shown for row in rows), of_pairs),
        "same order": signs.same_order(again, of_pairs),
        "too fast": signs.too_fast(sum(row.fast for row in rows), sum(row.timed for row in rows)),
        "drift": signs.drift(*halved) if halved else None,
    }
    return [Sign(name, what, *one) for what, one in found.items() if one is not None]


def _lean(labeler: str, rows: list[quality.Leaning], told: list[Sign]) -> Lean:
    count, timed = sum(row.rankings for row in rows), sum(row.timed for row in rows)
    return Lean(
        labeler, count, share(_sum(row.first for row in rows)), share(_sum(row.longer for row in rows)),
        sum(row.as_shown for row in rows) / count,
        sum(row.rankings * signs.one_order(row.pairs) for row in rows) / count,
        sum(row.fast for row in rows) / timed if timed else None, told,
    )  # fmt: skip


# Ratings and yes/no questions.


class Asked(NamedTuple):
    question: str
    said: int
    mean: Interval  # of yes as 1, or of the rating; weighed by 1/π
    alpha: Interval | None  # ordinal for the rating, else nominal
    other: Interval | None  # interval alpha for the rating, else Fleiss' kappa


QUICK = Bootstrap(draws=400)  # a dozen questions of 20,000 answers


def questions_of(connection: Connection) -> list[Asked]:
    """Each question of which two people spoke over some answer."""
    rows = quality.judged(connection, ANSWERS)
    found = [_asked("overall", 7, [(row, row.overall) for row in rows if row.overall is not None])]
    for question in rows[0].questions if rows else ():
        said = [(row, int(yes)) for row in rows if (yes := row.questions[question]) is not None]
        found.append(_asked(question, 2, said))
    return [one for one in found if one is not None]


def _asked(question: str, values: int, said: Sequence[tuple[quality.Rated, int]]) -> Asked | None:
    if not said:
        return None
    rating = question == "overall"
    rows = [(row.prompt_id, row.completion_id, row.labeler, value - rating) for row, value in said]
    told, some = answers(rows, values), [value for _, value in said]
    bounds = (1.0, 7.0) if rating else (0.0, 1.0)
    middle = mean(some, weights(row for row, _ in said), [row.prompt_id for row, _ in said], how=QUICK, bounds=bounds)
    alpha = coefficients.alpha(told, "ordinal" if rating else "nominal")
    other = coefficients.alpha(told, "interval") if rating else coefficients.fleiss(told)
    return Asked(question, len(said), middle, alpha, other)

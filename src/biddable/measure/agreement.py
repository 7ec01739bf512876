"""How often two labelers who ranked the same answers say the same of a pair (paper, section 3.4: about 73 %)."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from biddable.measure.interval import DEFAULT, Bootstrap, Finite, Floats, Interval
from biddable.measure.weighted import mean
from biddable.records import Group, Ranking, Verdict

Ties = Literal["half", "strict", "decided"]
Word = Literal["above chance", "at chance", "below chance"]


class Agreement(Interval):
    """Agreement, what blind guessing would reach with as many ties, and the plain word for it."""

    chance: Finite
    kappa: Finite
    word: Word
    ties: Ties
    prompts: Annotated[int, Field(ge=1)]


class Meeting(NamedTuple):
    """Two labelers met over a pair of one prompt's answers: −1 the first answer, 0 a tie, 1 the second."""

    prompt_id: str
    one: int
    other: int
    weight: float = 1.0  # 1/π of its prompt, where not every prompt was as likely to be labeled


def meetings(
    rankings: Iterable[Ranking],
    groups: Mapping[str, Group] | None = None,
    between: tuple[Group, Group] | None = None,
) -> list[Meeting]:
    """Every pair of labelers over every pair of answers that both ranked; `between` keeps those of the named groups."""
    if between is not None and groups is None:
        raise ValueError("agreement between groups needs to know the group of each labeler")
    by_prompt: dict[str, list[Ranking]] = defaultdict(list)
    for ranking in rankings:
        by_prompt[ranking.prompt_id].append(ranking)
    found = []
    for prompt_id in sorted(by_prompt):
        met = sorted(by_prompt[prompt_id], key=lambda ranking: ranking.labeler)
        for one, other in itertools.combinations(met, 2):
            if one.labeler != other.labeler and _wanted(one.labeler, other.labeler, groups, between):
                found += _pairs(one, other)
    return found


def _wanted(one: str, other: str, groups: Mapping[str, Group] | None, between: tuple[Group, Group] | None) -> bool:
    return between is None or groups is None or sorted((groups[one], groups[other])) == sorted(between)


def _pairs(one: Ranking, other: Ranking) -> list[Meeting]:
    first, second = one.ranks, other.ranks
    both = sorted(first.keys() & second.keys())
    weight = 1 / (one.propensity or other.propensity or 1.0)
    return [
        Meeting(one.prompt_id, _sign(first[b] - first[a]), _sign(second[b] - second[a]), weight)
        for a, b in itertools.combinations(both, 2)
    ]


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)


def credit(one_N: Floats, other_N: Floats, ties: Ties) -> Floats:
    """1 for the same answer, 0 for opposite ones. One tie and one choice: 0 when strict, ½ for half credit."""
    same_N = (one_N == other_N).astype(float)
    if ties == "half":
        same_N[(one_N == 0) != (other_N == 0)] = 0.5
    return same_N


def chance_level(tie_share: float, ties: Ties) -> float:
    """What two labelers reach who tie with probability t and otherwise toss a coin.

    strict: t² + (1−t)²/2.  half: t + (1−t)²/2, the same plus ½ · 2t(1−t).  decided: ½.
    """
    match ties:
        case "strict":
            return tie_share**2 + (1 - tie_share) ** 2 / 2
        case "half":
            return tie_share + (1 - tie_share) ** 2 / 2
        case "decided":
            return 0.5


def asked_by_lot(rankings: Iterable[Ranking]) -> list[Ranking]:
    """Without those who were asked because others disagreed: they say nothing of how often people do."""
    return [ranking for ranking in rankings if not ranking.extra]


def of_two(verdicts: Iterable[Verdict]) -> list[Ranking]:
    """People's verdicts as rankings of two answers, a person's last word on each: what agreement is counted of."""
    last: dict[tuple[str, ...], Ranking] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.at):
        if verdict.judge == "person" and verdict.labeler is not None:
            a, b = (verdict.a, verdict.b) if verdict.better != "b" else (verdict.b, verdict.a)
            last[verdict.labeler, verdict.prompt_id, *sorted((a, b))] = Ranking(
                prompt_id=verdict.prompt_id,
                labeler=verdict.labeler,
                order=((a, b),) if verdict.better == "tie" else ((a,), (b,)),
                propensity=verdict.propensity,
                extra=verdict.extra,
            )
    return list(last.values())


def agreement_if_any(rankings: Iterable[Ranking]) -> Agreement | None:
    """The agreement of all who ranked; None where no two of them ranked the same answers."""
    kept = asked_by_lot(rankings)
    return agreement(kept) if meetings(kept) else None


def agreement(
    rankings: Iterable[Ranking],
    groups: Mapping[str, Group] | None = None,
    between: tuple[Group, Group] | None = None,
    ties: Ties = "half",
    how: Bootstrap = DEFAULT,
) -> Agreement:
    """Mean credit over all meetings, clustered by prompt: the 36 pairs of one ranking are not 36 witnesses.

    The paper does not say how ties count. `half` (ours by default): the same answer 1, a tie against a choice ½.
    `strict`: three answers, equal or not. `decided`: only pairs in which neither labeler saw a tie.

    Who was asked because others disagreed is left out, and prompts that were chosen with unlike chances are weighed.
    """
    met = meetings(asked_by_lot(rankings), groups, between)
    if ties == "decided":
        met = [m for m in met if m.one and m.other]
    if not met:
        raise ValueError("no two labelers ranked the same answers of a prompt, so agreement cannot be measured")
    one_N, other_N = np.array([m.one for m in met]), np.array([m.other for m in met])
    weight_N = np.array([m.weight for m in met])
    tie_share = float(np.average(((one_N == 0) + (other_N == 0).astype(float)) / 2, weights=weight_N))
    interval = mean(credit(one_N, other_N, ties), weight_N, [m.prompt_id for m in met], how=how)
    chance = chance_level(tie_share, ties)
    return Agreement(
        **interval.model_dump(),
        chance=chance,
        kappa=(interval.value - chance) / (1 - chance) if chance < 1 else 0.0,
        word=word(interval, chance),
        ties=ties,
        prompts=len({m.prompt_id for m in met}),
    )


def word(interval: Interval, chance: float) -> Word:
    """Above or below only where the interval leaves chance out."""
    if interval.low > chance:
        return "above chance"
    return "below chance" if interval.high < chance else "at chance"

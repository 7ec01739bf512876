"""Signs that somebody does not look, or looks at the wrong thing, with a stated rate of false alarms over the team.

Each sign is a p-value: how often somebody without the fault would look as bad. All p-values of all people are one
family, and Benjamini and Hochberg's step-up (1995) marks some: where nobody has any fault, the chance that anyone at
all is marked is at most `RATE`; where some have, of all marks at most that share is false, on average.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import bdtrc, stdtr

from biddable.measure.shares import Estimate, Sums, estimate

What = Literal["place", "length", "as shown", "same order", "too fast", "drift"]

RATE = 0.05
PLACE = 0.02  # the first shown preferred by so much more or less than half is no matter
LENGTH = 0.05  # longer ones preferred by so much more or less than others prefer them
FAST = 0.05  # of the rankings; so many may be faster than reading
DRIFT = 0.02  # by so much somebody may agree less than before
FEWEST = 20  # rankings, before anything is said of a person
FEWEST_OTHERS = 3  # people, before one is held against the others: of two, either may be the odd one


class Sign(NamedTuple):
    labeler: str
    what: What
    p: float
    amount: float  # how far off, in the unit of the sign
    marked: bool = False


def discoveries(values: Sequence[float], rate: float = RATE) -> list[bool]:
    """Those with p ≤ the largest p_(k) ≤ k·rate/m (Benjamini and Hochberg 1995, eq. 1)."""
    passed = [p for k, p in enumerate(sorted(values), start=1) if p <= k * rate / len(values)]
    return [bool(passed) and p <= passed[-1] for p in values]


def marked(signs: Iterable[Sign], rate: float = RATE) -> list[Sign]:
    """The same signs, those marked that stand out of the whole family."""
    kept = list(signs)
    found = discoveries([one.p for one in kept], rate)
    return [one._replace(marked=mark) for one, mark in zip(kept, found, strict=True)]


def outside(off: float, variance: float, freedom: float, room: float) -> float:
    """The chance of an estimate this far off, either way, from a true value that is off by `room` at most.

    The largest such chance is at the edge: P(T > (|d| − room)/s) + P(T > (|d| + room)/s)."""
    if variance == 0:
        return 1.0 if abs(off) <= room else 0.0
    s = math.sqrt(variance)
    return min(1.0, float(stdtr(freedom, (room - abs(off)) / s) + stdtr(freedom, -(abs(off) + room) / s)))


def above(off: float, variance: float, freedom: float, room: float) -> float:
    """The same one way: the chance of an estimate this much too high."""
    if variance == 0:
        return 1.0 if off <= room else 0.0
    return float(stdtr(freedom, (room - off) / math.sqrt(variance)))


def place(sums: Sums) -> tuple[float, float] | None:
    """p-value and how far from half: the first shown should win half of what is decided, by the random order alone."""
    found = _enough(sums)
    if found is None:
        return None
    off = found.value - 0.5
    if found.variance == 0:  # each ranking all one way: a coin for each, of the edge
        return min(1.0, 2 * (0.5 + PLACE) ** sums.clusters), off
    return outside(off, found.variance, found.freedom, PLACE), off


def place_of_two(sums: Sums) -> tuple[float, float] | None:
    """The same of comparisons of two answers. By the random order alone each that is decided is a coin, whatever one's
    taste, so the tail is the binomial's, at the edge; unlike coins have no heavier one (Hoeffding 1956, theorem 4)."""
    tries, first = round(sums.tries), round(sums.hits)
    if tries < FEWEST:
        return None
    most = max(first, tries - first)
    p = at_least(most, tries, 0.5 + PLACE) + at_least(most, tries, 0.5 - PLACE)
    return min(1.0, p), first / tries - 0.5


def length(sums: Sums, others: Sequence[Sums]) -> tuple[float, float] | None:
    """How much more, or less, often somebody prefers the longer answer than the others do: those may be better ones.

    The others are their median, so that one of them who leans makes nobody else look odd. Its variance is π/2 · s²/n
    with s = 1.4826 · the median distance from it (normal spread; Rousseeuw and Croux 1993, eq. 1.2)."""
    mine = _enough(sums)
    theirs = [found.value for one in others if (found := _enough(one)) is not None]
    if mine is None or len(theirs) < FEWEST_OTHERS:
        return None
    middle = float(np.median(theirs))
    s = 1.4826 * float(np.median(np.abs(np.array(theirs) - middle)))
    of_middle = Estimate(middle, math.pi / 2 * s * s / len(theirs), len(theirs) - 1, len(theirs))
    off, variance = mine.value - middle, mine.variance + of_middle.variance
    return (outside(off, variance, _satterthwaite(mine, of_middle), LENGTH), off) if variance else None


def drift(newer: Sums, older: Sums) -> tuple[float, float] | None:
    """How much less somebody agrees with the others in the newer half of their work than in the older, beside what
    these others' own agreement leads to expect (`alike.halves`)."""
    now, before = _enough(newer, FEWEST // 2), _enough(older, FEWEST // 2)
    if now is None or before is None:
        return None
    off, variance = before.value - now.value, now.variance + before.variance
    return (above(off, variance, _satterthwaite(now, before), DRIFT), off) if variance else None


def _enough(sums: Sums, fewest: int = FEWEST) -> Estimate | None:
    return estimate(sums) if sums.clusters >= fewest else None


def _satterthwaite(one: Estimate, other: Estimate) -> float:
    """Degrees of freedom of a sum of two variances (Satterthwaite 1946)."""
    total = one.variance + other.variance
    if total == 0:
        return math.inf
    return total**2 / (one.variance**2 / one.freedom + other.variance**2 / other.freedom)


def at_least(count: int, n: int, chance: float) -> float:
    """P(X ≥ count) of n tries."""
    return float(bdtrc(count - 1, n, chance)) if count > 0 else 1.0


def too_fast(fast: int, timed: int) -> tuple[float, float] | None:
    """Rankings handed in sooner than their text can be looked at, where one in twenty is let pass."""
    if timed < FEWEST:
        return None
    return at_least(fast, timed, FAST), fast / timed


def as_shown(count: int, of_pairs: Mapping[int, int]) -> tuple[float, float] | None:
    """Handed in in the very order of the screen, which a random order is once in K! times whatever one's taste.

    `of_pairs` says how many rankings had so many pairs. Where K differs the binomial takes the mean chance, whose tail
    is no lighter than that of the unlike coins (Hoeffding 1956, theorem 4)."""
    total = sum(of_pairs.values())
    if total < FEWEST:
        return None
    mean = sum(n * one_order(pairs) for pairs, n in of_pairs.items())
    return at_least(count, total, mean / total), count / total


def same_order(repeated: Mapping[tuple[int, ...], int], of_pairs: Mapping[int, int]) -> tuple[float, float] | None:
    """The same places in the same tiers again and again. `repeated`: tiers by place on the screen → how often.

    As the order of the screen is random, all arrangements of one pattern of ties are equally likely whatever one's
    taste: q = Π t!/K!. How often the most frequent one came is held against a binomial with q over all rankings of K
    answers, times the 1/q arrangements and the 2^(K−1) patterns that there were to find one among (Bonferroni)."""
    total = sum(of_pairs.values())
    if total < FEWEST:
        return None
    best = 1.0
    for tiers, count in repeated.items():
        k = len(tiers)
        cells = math.factorial(k) // math.prod(math.factorial(n) for n in Counter(tiers).values())
        if cells > 1:
            tail = at_least(count, of_pairs[k * (k - 1) // 2], 1 / cells)
            best = min(best, cells * 2 ** (k - 1) * tail)
    return best, max(repeated.values(), default=1) / total


def one_order(pairs: int) -> float:
    """1/K! where K(K−1)/2 = pairs."""
    return 1 / math.factorial(round((1 + (1 + 8 * pairs) ** 0.5) / 2))

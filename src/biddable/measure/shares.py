"""Shares whose observations come in clusters, from sums alone: what a database can add up where the rows lie."""

import math
from typing import NamedTuple

from scipy.special import stdtrit

from biddable.measure.interval import Interval


class Sums(NamedTuple):
    """Over clusters i (one person's rankings): n of them, Σw, Σm, Σw², Σwm, Σm², with w hits of m tries in each."""

    clusters: float
    hits: float
    tries: float
    hits2: float
    both: float
    tries2: float

    def __add__(self, other: tuple) -> "Sums":  # pyrefly: ignore[bad-override]
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = Sums(0, 0, 0, 0, 0, 0)


class Estimate(NamedTuple):
    """A share, its variance, and the degrees of freedom of that variance."""

    value: float
    variance: float
    freedom: float
    tries: int


def estimate(sums: Sums) -> Estimate | None:
    """p = Σw/Σm and V = n/(n−1) Σ(w − p m)² / (Σm)²: the ratio estimator with clusters drawn (Cochran 1977, eq. 6.13).
    Nothing where there are fewer than two clusters or no tries."""
    n, w, m, w2, wm, m2 = sums
    if n < 2 or m == 0:
        return None
    p = w / m
    return Estimate(p, n / (n - 1) * max(0.0, w2 - 2 * p * wm + p * p * m2) / m**2, n - 1, int(m))


def share(sums: Sums, level: float = 0.95) -> Interval | None:
    """The share and its interval p ± t √V with n−1 degrees. Nothing where there is no estimate.

    Where nothing varies the interval is Clopper and Pearson's over clusters, as elsewhere in this room."""
    found = estimate(sums)
    if found is None:
        return None
    p = found.value
    if p in (0.0, 1.0):
        room = 1 - ((1 - level) / 2) ** (1 / sums.clusters)
        return Interval(value=p, low=max(0.0, p - room), high=min(1.0, p + room), n=found.tries)
    half = float(stdtrit(found.freedom, (1 + level) / 2)) * math.sqrt(found.variance)
    return Interval(value=p, low=max(0.0, p - half), high=min(1.0, p + half), n=found.tries)

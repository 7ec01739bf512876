"""Which tasks are taken where there are more than are wanted, and how likely each was to be.

N = tasks there are, n = tasks wanted, λ = the share that is left to chance. What is estimated of all N weighs each
chosen one by 1/π (Horvitz and Thompson 1952), so every π should be above 0: where nothing is left to chance, a task on
which the ensemble is quite of one mind has none.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Chosen(NamedTuple):
    place: int
    propensity: float
    at_random: bool  # of the share that was left to chance: each task had the same chance, λn/N, to be of it


def propensities(size_N: Floats, count: int, at_random: float) -> Floats:
    """π_i = λ n/N + (1 − λ) p_i with p_i in proportion to size, none above 1; Σ π = n."""
    return at_random * count / len(size_N) + (1 - at_random) * _in_proportion(size_N, count)


def _in_proportion(size_N: Floats, count: int) -> Floats:
    """min(1, c · size) with the c that makes them sum to `count`. What sizes of 0 leave over, they share evenly."""
    p_N = np.zeros(len(size_N))
    if (size_N > 0).sum() <= count:
        p_N[size_N > 0] = 1
        none_N = size_N <= 0
        p_N[none_N] = (count - p_N.sum()) / max(1, none_N.sum())
        return p_N
    order_N = np.argsort(-size_N, kind="stable")
    sorted_N = size_N[order_N]
    rest_N = np.cumsum(sorted_N[::-1])[::-1]  # Σ of this size and all smaller ones
    # The k largest have p = 1, for the least k at which the next one's share of what is left is no more than 1.
    k = int(np.argmax(sorted_N * (count - np.arange(len(sorted_N))) <= rest_N * (1 + 1e-12)))
    p_N[order_N[:k]] = 1
    p_N[order_N[k:]] = np.minimum(1, sorted_N[k:] * (count - k) / rest_N[k])
    return p_N


def draw(propensity_N: Floats, rng: np.random.Generator) -> list[int]:
    """Σ π of them, each with its own π: a random order, laid end to end, and one of every whole number along it
    (systematic sampling: Madow 1949)."""
    order_N = rng.permutation(len(propensity_N))
    end_N = np.cumsum(propensity_N[order_N])
    end_N[-1] = round(float(end_N[-1]))  # and not 99.99999999999999
    marks = rng.random() + np.arange(int(end_N[-1]))
    return sorted(int(i) for i in order_N[np.searchsorted(end_N, marks, side="right")])


def choose(size_N: Floats, count: int, at_random: float, rng: np.random.Generator) -> list[Chosen]:
    """`count` of them, or all where there are no more. λ = 1 is simple random sampling, whatever the sizes are."""
    if count >= len(size_N):
        return [Chosen(i, 1.0, at_random=True) for i in range(len(size_N))]
    propensity_N = propensities(size_N, count, at_random)
    by_lot = at_random * count / len(size_N)
    return [
        Chosen(i, float(propensity_N[i]), at_random=bool(rng.random() * propensity_N[i] < by_lot))
        for i in draw(propensity_N, rng)
    ]

"""Statistics of ranks, of many draws at once: values are sorted once, and a draw only says how often each counts.

Shape suffixes: N observations, D draws, K different values.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from biddable.measure.interval import Floats

Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]  # how often each observation counts (D, N) → its value in each draw


def ranks(x_N: Floats) -> Statistic:
    """The mid-rank of each observation, (D, N), among all that a draw holds: those below it and half of its equals."""
    order_N = np.argsort(x_N)
    _, first_K, kind_N = np.unique(x_N[order_N], return_index=True, return_inverse=True)
    kind_N = kind_N[np.argsort(order_N)]

    def of(times_DN: Floats) -> Floats:
        count_DK = np.take(times_DN, order_N, axis=1)  # a third of the time of times_DN[:, order_N]
        if len(first_K) < len(x_N):
            count_DK = np.add.reduceat(count_DK, first_K, axis=1)
        return np.take(np.cumsum(count_DK, axis=1) - count_DK / 2 + 0.5, kind_N, axis=1)

    return of


def spearman(x_N: Floats, y_N: Floats) -> Statistic:
    """Spearman's ρ, the correlation of ranks; 0 where one of both is the same everywhere."""
    of_x, of_y = ranks(x_N), ranks(y_N)

    def of(times_DN: Floats) -> Floats:
        middle_D1 = (times_DN.sum(axis=1, keepdims=True) + 1) / 2
        x_DN, y_DN = of_x(times_DN) - middle_D1, of_y(times_DN) - middle_D1
        both, xx, yy = (np.einsum("dn,dn,dn->d", times_DN, *two) for two in ((x_DN, y_DN), (x_DN, x_DN), (y_DN, y_DN)))
        return both / np.where((xx == 0) | (yy == 0), np.inf, np.sqrt(xx * yy))

    return of


def above(x_N: Floats, yes_N: Bools) -> Statistic:
    """How often a yes has the greater x than a no, half for equals: the area under the ROC curve (Mann and Whitney
    1947). NaN without a yes or a no."""
    of_x = ranks(x_N)

    def of(times_DN: Floats) -> Floats:
        yes_D = times_DN @ yes_N
        no_D = times_DN.sum(axis=1) - yes_D
        found_D = np.einsum("dn,dn,n->d", times_DN, of_x(times_DN), yes_N) - yes_D * (yes_D + 1) / 2
        return found_D / np.where(yes_D * no_D == 0, np.nan, yes_D * no_D)

    return of

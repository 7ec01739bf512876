"""Means over prompts of which some were likelier to be labeled than others.

Where those are labeled first about which the reward model is unsure, what is labeled is harder than what is not, and a
plain mean is that of the hard ones. Weighing by 1/π, with π how likely each prompt was to be chosen, mends it.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from scipy.special import stdtrit

from biddable.measure.interval import (
    DEFAULT,
    Bootstrap,
    Floats,
    Interval,
    bootstrap,
    codes,
    one_prompt,
    persons,
    spread,
)


class Chosen(Protocol):
    @property
    def propensity(self) -> float | None: ...


class Drawn(Protocol):
    @property
    def extra(self) -> bool | None: ...


R = TypeVar("R", bound=Drawn)


def by_lot(records: Iterable[R]) -> list[R]:
    """Without what was asked because others disagreed, and hidden checks: there were more of those the more people
    differed, or everybody met them, so no share of what people say may count them."""
    return [one for one in records if not one.extra]


def weight(record: Chosen) -> float:
    """1/π; a record that says nothing of it was sure to be asked for."""
    return 1 / (record.propensity or 1.0)


def weights(records: Iterable[Chosen]) -> Floats:
    return np.array([weight(one) for one in records])


def pulled(value_N: Floats, weight_N: Floats) -> Floats:
    """Numbers whose plain mean is the weighed one, and whose spread is its: ȳ + n w (y − ȳ) / Σ w."""
    value = float(weight_N @ value_N / weight_N.sum())
    return value + len(value_N) * weight_N * (value_N - value) / weight_N.sum()


def weighted_mean(
    values: Sequence[float] | Floats,
    weight_N: Floats,
    prompts: Sequence[Hashable],
    labelers: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
) -> Interval:
    """Σ wy / Σ w with w = 1/π (Hájek 1971), and its interval with prompts, and labelers if any, as clusters.

    By linearisation: z_p = Σ_{i∈p} w_i (y_i − ȳ), V = P/(P−1) Σ z_p² / (Σ w)², and Student's t with P − 1 degrees of
    freedom; with labelers `spread` adds theirs. It takes the prompts for drawn one by one, which errs to the wide side
    where many of a pool were.
    """
    value_N = np.asarray(values, dtype=float)
    prompt_N, count = codes(prompts)
    labeler_N, people = persons(labelers) if labelers is not None else (None, 0)
    value = float(weight_N @ value_N / weight_N.sum())
    if count < 2:
        low, high = one_prompt(value_N, bounds)
        return Interval(value=value, low=low, high=high, n=len(value_N))
    noise = spread(pulled(value_N, weight_N), prompt_N, count, labeler_N if people > 1 else None, people)
    half = float(stdtrit(noise.freedom, (1 + level) / 2) * np.sqrt(noise.variance))
    low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return Interval(value=value, low=low, high=high, n=len(value_N))


def mean(
    values: Sequence[float] | Floats,
    weight_N: Floats,
    prompts: Sequence[Hashable],
    labelers: Sequence[Hashable] | None = None,
    how: Bootstrap = DEFAULT,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """That; or the bootstrap's, where weighing changes nothing."""
    if np.ptp(weight_N) == 0 or np.ptp(values) == 0:
        return bootstrap(values, prompts, labelers, how, bounds)
    return weighted_mean(values, weight_N, prompts, labelers, bounds, how.level)

"""Means over prompts of which some were likelier to be labeled than others.

Where those are labeled first about which the reward model is unsure, what is labeled is harder than what is not, and a
plain mean is that of the hard ones. Weighing by 1/π, with π how likely each prompt was to be chosen, mends it.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import scipy.stats

from biddable.measure.interval import Bootstrap, Floats, Interval, bootstrap, codes


def weighted_mean(values: Sequence[float] | Floats, weight_N: Floats, prompts: Sequence[Hashable]) -> Interval:
    """Σ wy / Σ w with w = 1/π (Hájek 1971), and its 95 % interval with prompts as clusters.

    By linearisation: z_p = Σ_{i∈p} w_i (y_i − ȳ), V = P/(P−1) Σ z_p² / (Σ w)², and Student's t with P − 1 degrees of
    freedom. It takes the prompts for drawn one by one, which errs to the wide side where many of a pool were.
    """
    value_N = np.asarray(values, dtype=float)
    prompt_N, count = codes(prompts)
    value = float(weight_N @ value_N / weight_N.sum())
    if count < 2:
        return Interval(value=value, low=0.0, high=1.0, n=len(value_N))
    z_P = np.bincount(prompt_N, weights=weight_N * (value_N - value), minlength=count)
    error = np.sqrt(count / (count - 1) * (z_P**2).sum()) / weight_N.sum()
    half = float(scipy.stats.t.ppf(0.975, count - 1) * error)
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=len(value_N))


def mean(values: Floats, weight_N: Floats, prompts: Sequence[Hashable], how: Bootstrap) -> Interval:
    """That; or the bootstrap's, where weighing changes nothing."""
    if np.ptp(weight_N) == 0 or np.ptp(values) == 0:
        return bootstrap(values, prompts, how=how)
    return weighted_mean(values, weight_N, prompts)

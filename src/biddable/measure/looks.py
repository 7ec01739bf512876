"""Looking while verdicts come in, without cheating: an interval that holds at every look at once.

The ordinary interval is right for one look that was fixed beforehand. Who looks after every verdict and stops when it
leaves ½ finds a difference where there is none far more often than one time in twenty. This one may be looked at as
often as one likes, and may be stopped at any time for any reason.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaln

from biddable.measure.interval import Floats, Interval
from biddable.measure.winrate import TieRule, outcome
from biddable.records import Record, Verdict

TUNED_TO = 25.0  # the variance at which the interval is tightest: that of a hundred prompts of even odds
SMALLEST = 1e-300


class Looks(Record):
    """The interval now, and after how many prompts it first left ½; None while it has not."""

    now: Interval
    decided_at: int | None = None
    each: int = 1  # verdicts that a prompt has before it counts


def log_mixture(s: float, v: float, rho: float) -> float:
    """log ∫ exp(λs − ψ_E(λ)v) f(λ) dλ over λ in [0, 1), ψ_E(λ) = −log(1−λ) − λ: the gamma-exponential mixture (Howard,
    Ramdas, McAuliffe and Sekhon 2021, eq. 61). With y = 1 − λ the weight f is y^{ρ−1} e^{−ρy}, made to sum to 1."""
    below = gammaln(rho) - rho * math.log(rho) + math.log(gammainc(rho, rho))
    shape, slope = v + rho, s + v + rho
    above = gammaln(shape) - shape * math.log(slope) + math.log(max(gammainc(shape, slope), SMALLEST))
    return float(above + s + v - below)


def tuned(alpha: float) -> float:
    """The ρ whose boundary is lowest about v = TUNED_TO: v/(2 log 1/α + log(1 + 2 log 1/α)) (their eq. 26)."""
    twice = 2 * math.log(1 / alpha)
    return TUNED_TO / (twice + math.log(1 + twice))


def boundary(v: float, alpha: float) -> float:
    """The sum of errors that is passed at any time with chance α at most: log_mixture is log 1/α there (Ville)."""
    rho = tuned(alpha)
    target = math.log(1 / alpha)
    high = math.sqrt(2 * (v + rho) * target) + 2 * target
    while log_mixture(high, v, rho) < target:
        high *= 2
    root, _ = brentq(lambda s: log_mixture(s, v, rho) - target, 0.0, high, xtol=1e-9, full_output=True)
    return root


def sequence(values: Sequence[float] | Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Low and high ends after each of the values, which lie in [0, 1] and come one after another.

    Σ (X_i − μ_i) stays within u(V), V = Σ (X_i − X̂_i)² with X̂_i the mean of the values before and a first guess of ½
    (Howard et al. 2021, theorem 4, after Fan, Grama and Liu 2015). It holds the mean of what each was to be expected to
    be, also where that drifts; so where people differ and do not come in even turns, it is still theirs."""
    value_N = np.asarray(values, dtype=float)
    if value_N.size and not (value_N.min() >= 0 and value_N.max() <= 1):
        raise ValueError("values that are looked at lie between 0 and 1")
    count_N = np.arange(1, len(value_N) + 1)
    total_N = np.cumsum(value_N)
    guess_N = (0.5 + np.concatenate([[0.0], total_N[:-1]])) / count_N
    variance_N = np.cumsum((value_N - guess_N) ** 2)
    alpha = (1 - level) / 2
    half_N = np.array([boundary(float(v), alpha) for v in variance_N]) / count_N
    mean_N = total_N / count_N
    return np.maximum(0.0, mean_N - half_N), np.minimum(1.0, mean_N + half_N)


def by_prompt(
    verdicts: Iterable[Verdict], models: Mapping[str, str], model: str, against: str, each: int, ties: TieRule = "half"
) -> list[float]:
    """The mean of the first `each` verdicts of every prompt that has so many, in the order in which they were complete.

    One prompt is one witness, however many speak of it. How many are waited for must not hang on what was said: so
    verdicts that were asked for because others disagreed do not count."""
    of_prompt: dict[str, list[tuple[Verdict, float]]] = {}
    for verdict in sorted(verdicts, key=lambda v: (v.at, v.prompt_id, v.labeler or "")):
        value = outcome(verdict, models, model, against, ties)
        if value is not None and not verdict.extra:
            of_prompt.setdefault(verdict.prompt_id, []).append((verdict, value))
    whole = [(some[each - 1][0].at, name, some[:each]) for name, some in of_prompt.items() if len(some) >= each]
    return [sum(value for _, value in some) / each for _, _, some in sorted(whole, key=lambda one: one[:2])]


def looks(
    verdicts: Iterable[Verdict], models: Mapping[str, str], model: str, against: str, each: int = 1, level: float = 0.95
) -> Looks | None:
    """What may be said after any number of looks; None where no prompt has `each` verdicts, or where some prompts were
    likelier to be asked about (then a prompt's weight has no bound that the interval could use)."""
    seen = list(verdicts)
    if len({v.propensity for v in seen}) > 1:
        return None
    values = by_prompt(seen, models, model, against, each)
    if not values:
        return None
    low_N, high_N = sequence(values, level)
    outside = np.flatnonzero((low_N > 0.5) | (high_N < 0.5))
    mean = float(np.mean(values))
    now = Interval(value=mean, low=float(low_N[-1]), high=float(high_N[-1]), n=len(values))
    return Looks(now=now, decided_at=int(outside[0]) + 1 if outside.size else None, each=each)

"""Error bars. One function, `bootstrap`, gives every share and mean in this room its interval.

Shape suffixes: N observations, P prompts, L labelers, D draws.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import ndtr, ndtri, stdtrit

from biddable.records import SOMEONE, Record, is_someone

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Finite = Annotated[float, Field(allow_inf_nan=False)]

AT_ONCE = 4_000_000  # resampling counts held in memory at a time: 32 MB


class Interval(Record):
    """A number that we publish: its value, its interval, and how many observations it is a mean of."""

    value: Finite
    low: Finite
    high: Finite
    n: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Bootstrap(Record):
    """How intervals are made. The seed makes every interval a pure function of the data."""

    draws: Annotated[int, Field(ge=100)] = 2000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    method: Literal["percentile", "bca"] = "percentile"
    seed: Annotated[int, Field(ge=0)] = 0

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


DEFAULT = Bootstrap()
FREE = (-np.inf, np.inf)  # bounds of what has none: scores, losses, differences


def codes(names: Sequence[Hashable]) -> tuple[Ints, int]:
    """Names as numbers 0…G−1 in sorted order, so that the order of the records changes no draw."""
    place = {name: code for code, name in enumerate(sorted(set(names), key=str))}
    return np.array([place[name] for name in names], dtype=np.intp), len(place)


def persons(labelers: Sequence[Hashable]) -> tuple[Ints, int]:
    """Labelers as numbers. What nobody signed is all one's: someone-2, who holds the second words that were brought in,
    is no person, and drawn as one would make an interval that says nothing."""
    one = {name: SOMEONE if isinstance(name, str) and is_someone(name) else name for name in set(labelers)}
    return codes([one[name] for name in labelers])


def resamples(groups: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each of G groups is drawn when G are drawn with replacement, `draws` times over."""
    picked = rng.integers(groups, size=(draws, groups)) + groups * np.arange(draws)[:, None]
    return np.bincount(picked.ravel(), minlength=draws * groups).reshape(draws, groups).astype(float)


def chunks(draws: int, width: int) -> Iterator[int]:
    """`draws` cut into pieces that fit in memory."""
    most = max(1, AT_ONCE // max(1, width))
    for start in range(0, draws, most):
        yield min(most, draws - start)


class Spread(NamedTuple):
    """What the error of the mean is made of: its variance, its degrees of freedom, and the influence of each group."""

    variance: float
    freedom: float
    influence: Floats


def _cluster(error_N: Floats, group_N: Ints, groups: int) -> tuple[float, Floats]:
    """Variance of a mean whose observations come in groups: G/(G−1) Σ_g (Σ_{i∈g} eᵢ/n)² (Liang and Zeger 1986)."""
    influence_G = np.bincount(group_N, weights=error_N, minlength=groups) / len(error_N)
    return groups / (groups - 1) * float(np.sum(influence_G**2)), influence_G


def spread(value_N: Floats, prompt_N: Ints, prompts: int, labeler_N: Ints | None, labelers: int) -> Spread:
    """Variance of the mean with prompts, and labelers if any, as random.

    V = V_prompt + V_labeler − V_cell (Cameron, Gelbach and Miller 2011, eq. 2.10), at least the larger of the two;
    degrees of freedom after Satterthwaite 1946, V² / ((V − V_l)²/(P−1) + V_l²/(L−1)): where each label is on a prompt
    of its own, V is V_labeler, and that is known no better than from L people.
    """
    error_N = value_N - value_N.mean()
    by_prompt, influence_P = _cluster(error_N, prompt_N, prompts)
    if labeler_N is None:
        return Spread(by_prompt, prompts - 1, influence_P)
    by_labeler, influence_L = _cluster(error_N, labeler_N, labelers)
    cell_N, cells = codes((prompt_N * labelers + labeler_N).tolist())
    by_cell, _ = _cluster(error_N, cell_N, cells)
    variance = max(by_prompt + by_labeler - by_cell, by_prompt, by_labeler)
    shares = (variance - by_labeler) ** 2 / (prompts - 1) + by_labeler**2 / (labelers - 1)
    freedom = variance**2 / shares if shares > 0 else math.inf
    return Spread(variance, freedom, np.concatenate([influence_P, influence_L]))


def _one_way(value_N: Floats, prompt_N: Ints, prompts: int, how: Bootstrap) -> Floats:
    """Means when prompts are drawn again."""
    rng = how.generator()
    total_P = np.bincount(prompt_N, weights=value_N, minlength=prompts)
    count_P = np.bincount(prompt_N, minlength=prompts).astype(float)
    parts = []
    for draws in chunks(how.draws, prompts):
        times_DP = resamples(prompts, draws, rng)
        parts.append((times_DP @ total_P) / (times_DP @ count_P))
    return np.concatenate(parts)


def _two_way(value_N: Floats, prompt_N: Ints, prompts: int, labeler_N: Ints, labelers: int, how: Bootstrap) -> Floats:
    """Means when prompts and labelers are both drawn again; an observation counts (times its prompt) × (times its
    labeler) (the pigeonhole bootstrap: Owen 2007)."""
    rng = how.generator()
    shape = (prompts, labelers)
    total_PL = scipy.sparse.csr_array((value_N, (prompt_N, labeler_N)), shape=shape)
    count_PL = scipy.sparse.csr_array((np.ones_like(value_N), (prompt_N, labeler_N)), shape=shape)
    parts = []
    for draws in chunks(how.draws, prompts + 2 * labelers):
        times_DP, times_DL = resamples(prompts, draws, rng), resamples(labelers, draws, rng)
        count_D = np.sum((times_DP @ count_PL) * times_DL, axis=1)
        total_D = np.sum((times_DP @ total_PL) * times_DL, axis=1)
        seen_D = count_D > 0  # with few labels a draw can miss them all
        parts.append(total_D[seen_D] / count_D[seen_D])
    return np.concatenate(parts)


def one_said_most(labeler_N: Ints) -> bool:
    """Fewer than two people by Kish's count, (Σ n)² / Σ n² over what each said. Drawing people again then puts one who
    said little in the place of all (of 200 labels and another's one, a quarter of the draws are that one label), and
    the rest is drawn together for it: prompts drawn alone say more."""
    said_L = np.bincount(labeler_N)
    return float(said_L.sum() ** 2 / np.sum(said_L**2)) < 2


def ends(draw_D: Floats, value: float, influence_G: Floats, how: Bootstrap) -> tuple[float, float]:
    """The interval's ends out of the draws: their plain quantiles, or BCa's (Efron 1987)."""
    tails = np.array([(1 - how.level) / 2, (1 + how.level) / 2])
    if how.method == "bca":
        below = np.mean(draw_D < value) + np.mean(draw_D == value) / 2
        bias = ndtri(np.clip(below, 1 / len(draw_D), 1 - 1 / len(draw_D)))
        acceleration = np.sum(influence_G**3) / (6 * np.sum(influence_G**2) ** 1.5)
        shifted = bias + ndtri(tails)
        tails = ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(draw_D, tails)
    return float(low), float(high)


def unanimous(value: float, prompts: int, level: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Ends where all prompts say the same. Resampling n zeros gives only zeros; that many prompts without another still
    leave room for a share of 1 − (α/2)^(1/P) of others (Clopper and Pearson 1934), and these may lie at either bound of
    the scale. A scale without a bound leaves none."""
    room = 1 - ((1 - level) / 2) ** (1 / prompts)
    down, up = (abs(bound - value) if math.isfinite(bound) else 0.0 for bound in bounds)
    return value - room * down, value + room * up


def one_prompt(value_N: Floats, bounds: tuple[float, float]) -> tuple[float, float]:
    """One prompt says nothing of others: the whole scale, or what was seen where it has no end."""
    low, high = (
        bound if math.isfinite(bound) else float(end)
        for bound, end in zip(bounds, (value_N.min(), value_N.max()), strict=True)
    )
    return low, high


def bootstrap(
    values: Sequence[float] | Floats,
    prompts: Sequence[Hashable],
    labelers: Sequence[Hashable] | None = None,
    how: Bootstrap = DEFAULT,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The mean of `values` and its interval, resampling prompts and labelers together; prompts alone with one judge.

    Drawing both counts an observation's own noise up to three times (Owen 2007, theorem 4), which makes intervals up
    to 1.7 times too wide where people answer one question each. So the draws, kept for their shape, are stretched about
    the mean to the two-way variance of `spread` and to Student's t with its degrees of freedom: few labelers, wide
    interval. Without labelers the same stretch is the small-sample correction of the ordinary bootstrap.
    """
    if len(values) == 0:
        raise ValueError("an interval of no observations")
    value_N = np.asarray(values, dtype=float)
    value = float(value_N.mean())
    prompt_N, prompt_count = codes(prompts)
    labeler_N, labeler_count = persons(labelers) if labelers is not None else (None, 0)
    if np.ptp(value_N) == 0:
        low, high = unanimous(value, prompt_count, how.level, bounds)
        return Interval(value=value, low=low, high=high, n=len(value_N))
    if prompt_count < 2:
        low, high = one_prompt(value_N, bounds)
        return Interval(value=value, low=low, high=high, n=len(value_N))
    alone = labeler_N is None or labeler_count < 2
    noise = spread(value_N, prompt_N, prompt_count, None if alone else labeler_N, labeler_count)
    if noise.variance < 1e-20 * np.ptp(value_N) ** 2:  # people differ, but of each prompt the same comes
        low, high = unanimous(value, prompt_count, how.level, bounds)
        return Interval(value=value, low=low, high=high, n=len(value_N))
    ways = [] if alone else [_two_way(value_N, prompt_N, prompt_count, labeler_N, labeler_count, how)]
    if alone or one_said_most(labeler_N):
        ways.append(_one_way(value_N, prompt_N, prompt_count, how))
    found = [ends(stretched(draw_D, value, noise, how.level), value, noise.influence, how) for draw_D in ways]
    low, high = np.clip([min(low for low, _ in found), max(high for _, high in found)], *bounds)
    return Interval(value=value, low=float(low), high=float(high), n=len(value_N))


def resampled(
    sums_PC: Floats, statistic: Callable[[Floats], Floats], n: int, how: Bootstrap = DEFAULT,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> Interval | None:  # fmt: skip
    """A statistic of sums over prompts, with its interval from prompts drawn again; nothing where it is not defined.

    `statistic` takes rows of sums. The draws are stretched, as those of `bootstrap` are, to the jackknife's variance
    V = (P−1)/P Σ_p (θ₍₋ₚ₎ − mean)² and to t with P−1 degrees (Efron and Stein 1981)."""
    sums_PC = sums_PC[np.any(sums_PC != 0, axis=1)]  # prompts that say nothing are no witnesses
    prompts, total_C = len(sums_PC), sums_PC.sum(axis=0)
    if not prompts or not math.isfinite(value := float(statistic(total_C[None])[0])):
        return None
    without_P = statistic(total_C - sums_PC) if prompts > 1 else np.array([math.nan])
    without_P = without_P[np.isfinite(without_P)]
    rng = how.generator()
    draw_D = np.concatenate([statistic(resamples(prompts, d, rng) @ sums_PC) for d in chunks(how.draws, prompts)])
    draw_D = draw_D[np.isfinite(draw_D)]
    if prompts < 2 or len(without_P) < 2 or len(draw_D) < 2:
        return Interval(value=value, low=bounds[0], high=bounds[1], n=n)
    influence_P = np.asarray(np.mean(without_P) - without_P, dtype=np.float64)
    noise = Spread((prompts - 1) / prompts * float(np.sum(influence_P**2)), prompts - 1, influence_P)
    if np.ptp(draw_D) < 1e-12:
        low, high = unanimous(value, prompts, how.level, bounds)
    else:
        low, high = np.clip(ends(stretched(draw_D, value, noise, how.level), value, influence_P, how), *bounds)
    return Interval(value=value, low=float(low), high=float(high), n=n)


def stretched(draw_D: Floats, value: float, noise: Spread, level: float) -> Floats:
    """Draws moved away from or towards `value` until their spread is √V · t/z."""
    drawn = float(np.std(draw_D))
    if drawn == 0:
        return draw_D
    tail = (1 + level) / 2
    widen = float(stdtrit(noise.freedom, tail) / ndtri(tail))
    return value + (draw_D - value) * (math.sqrt(noise.variance) / drawn) * widen


def paired(statistic: Callable[[Floats], Floats], rows: Sequence[int], how: Bootstrap = DEFAULT) -> Iterator[Floats]:
    """Draws of `statistic` when the rows of each stratum (a task's items) are drawn again, together for every model.

    `rows` says how many each stratum has. `statistic` is given how often each row was drawn, (draws, rows)."""
    rng = how.generator()
    for draws in chunks(how.draws, sum(rows)):
        yield statistic(np.concatenate([resamples(count, draws, rng) for count in rows], axis=1))

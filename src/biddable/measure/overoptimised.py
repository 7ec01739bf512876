"""How far a reward model may be followed: what it says (the proxy) and what is true (gold) against the distance gone,
√KL, for best of n and for a policy along its training; the fits of Gao, Schulman and Hilton 2023 (arXiv 2210.10760).

Gold is whatever is believed more than the proxy: the truth in Hamlet, people or a second reward model elsewhere.
Prompts are drawn again for every interval, with all that was measured on them, so that the points of a draw hang
together as those of the data do.

Shape suffixes: P prompts, N answers of each, K points along the way, D draws.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import xlogy

from biddable.measure.interval import (
    DEFAULT,
    FREE,
    Bootstrap,
    Finite,
    Floats,
    Interval,
    Ints,
    bootstrap,
    codes,
    paired,
    resampled,
)
from biddable.records import Completion, Record

Kind = Literal["best_of", "policy"]
FEWEST = 3  # points beside the start, before two numbers are fitted to them


@dataclass(frozen=True)
class Way:
    """What was measured along a way: of each prompt and point the log ratio to the start, and what proxy and gold
    gained over the start. The start itself, where all three are 0, is no point."""

    kind: Kind
    at: tuple[int, ...]  # n, or the iteration
    prompts: tuple[str, ...]
    kl_PK: Floats
    proxy_PK: Floats
    gold_PK: Floats

    def __post_init__(self) -> None:
        shape = (len(self.prompts), len(self.at))
        for name in ("kl_PK", "proxy_PK", "gold_PK"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} is {getattr(self, name).shape}; prompts and points are {shape}")
        if not all(shape):
            raise ValueError("a way without points, or without prompts")


class Point(Record):
    """A point of the way: gains are over the start, each in the unit of its own scale."""

    at: int
    kl: Interval
    proxy: Interval
    gold: Interval


class Peak(Record):
    """Where a fit is highest, in nats; `low` and `high` are None where that end lies beyond all that was run."""

    kl: Finite
    low: Finite | None
    high: Finite | None


class Fit(Record):
    """α, β, and the peak if it lies within what was run. `off` is the root mean square distance of points and fit."""

    alpha: Interval
    beta: Interval
    off: float = Field(ge=0)
    peak: Peak | None
    turns: float = Field(ge=0, le=1)  # share of draws whose peak lies within what was run


class Overoptimised(Record):
    """A way and what it shows. `fall` and `rise`: how gold and proxy changed from gold's best point to the last one."""

    kind: Kind
    points: tuple[Point, ...]
    proxy: Fit | None
    gold: Fit | None
    fall: Interval
    rise: Interval

    @model_validator(mode="after")
    def _lawful(self) -> Self:
        if not self.points:
            raise ValueError("no points")
        return self

    @property
    def shown(self) -> bool:
        """Gold fell while the proxy rose, and neither interval holds 0."""
        return self.fall.high < 0 < self.rise.low


class Followed(Record):
    """A run whose policies were kept along its way, and who scored what they answered."""

    run: str
    proxy: str  # the reward model that it was trained against
    gold: str  # the one that it is held against
    ways: tuple[Overoptimised, ...]  # the policies', and best of n where it was looked at


def best_of_kl(n: int) -> float:
    """KL of best of n to the start: log n − (n−1)/n (Stiennon et al. 2020, App. G.3). Exact where no two answers score
    the same; where some do it is a bound from above (Beirami et al. 2024, theorem 1)."""
    return log(n) - (n - 1) / n


def best_of(proxy_PN: Floats, value_PN: Floats, n: int) -> Floats:
    """The expected value of the best of n by the proxy, a prompt, from N ≥ n answers to it:

    C(N, n)⁻¹ Σ_{i=n..N} C(i−1, n−1) v₍ᵢ₎, answers in the order of the proxy (Nakano et al. 2021, App. I). All choices
    of n among the N count, so it is unbiased and varies less than one such choice. Of equals each is as likely.
    """
    return _best_of_each(proxy_PN, value_PN, (n,))[0]


def _best_of_each(proxy_PN: Floats, value_PN: Floats, counts: Iterable[int]) -> list[Floats]:
    """The same for several n, the answers sorted once."""
    answers = proxy_PN.shape[1]
    order_PN = np.argsort(proxy_PN, axis=1, kind="stable")
    proxy_PN, value_PN = (np.take_along_axis(x_PN, order_PN, axis=1) for x_PN in (proxy_PN, value_PN))
    value_PN = _shared_by_equals(proxy_PN, value_PN)
    return [value_PN @ _chances(answers, n) for n in counts]


def _chances(answers: int, n: int) -> Floats:
    """C(i−1, n−1) / C(N, n) for i = 1..N: the chance that the i-th from below is the best of n. From the top, where it
    is n/N, each is (i−n+1)/i of the one above."""
    if not 1 <= n <= answers:
        raise ValueError(f"best of {n} cannot be told from {answers} answers to a prompt")
    place_N = np.arange(answers - 1, 0, -1)
    below_N = n / answers * np.cumprod(np.maximum(place_N - n + 1, 0) / place_N)
    return np.concatenate([below_N[::-1], [n / answers]])


def _shared_by_equals(proxy_PN: Floats, value_PN: Floats) -> Floats:
    """Sorted values, where the proxy is the same their mean."""
    new_PN = np.diff(proxy_PN, axis=1, prepend=np.nan) != 0
    group_N = np.cumsum(new_PN.ravel()) - 1
    mean = np.bincount(group_N, weights=value_PN.ravel()) / np.bincount(group_N)
    return mean[group_N].reshape(value_PN.shape)


def way_of_best(prompts: Sequence[str], proxy_PN: Floats, gold_PN: Floats, counts: Iterable[int]) -> Way:
    """Best of n for each n above 1: gains over a lone answer, and the KL by its formula, the same on each prompt."""
    at = tuple(sorted({n for n in counts if n > 1}))
    gains = (
        np.stack(_best_of_each(proxy_PN, value_PN, at), axis=1) - value_PN.mean(axis=1, keepdims=True)
        for value_PN in (proxy_PN, gold_PN)
    )
    kl_PK = np.tile([best_of_kl(n) for n in at], (len(prompts), 1))
    return Way("best_of", at, tuple(prompts), kl_PK, *gains)


Values = Mapping[str, float]  # completion → number


def way_of_policies(answers: Mapping[int, Sequence[Completion]], ratio: Values, proxy: Values, gold: Values) -> Way:
    """Policies kept along a run, by iteration, and what they answered to the same prompts; iteration 0 is the start.
    `ratio` is log π/π₀ of each answer, whose mean is the KL."""
    if 0 not in answers or len(answers) < 2:
        raise ValueError("a way needs its start, iteration 0, and one policy more")
    prompts = sorted({answer.prompt_id for answer in answers[0]})
    at = tuple(sorted(answers.keys() - {0}))

    def along(value: Values) -> Floats:
        return np.stack([means(answers[k], value, prompts) for k in (0, *at)], axis=1)

    proxy_PK, gold_PK = along(proxy), along(gold)
    kl_PK = along(ratio)[:, 1:]
    return Way("policy", at, tuple(prompts), kl_PK, proxy_PK[:, 1:] - proxy_PK[:, :1], gold_PK[:, 1:] - gold_PK[:, :1])


def means(answers: Iterable[Completion], value: Values, prompts: Sequence[str]) -> Floats:
    """The mean value of the answers to each prompt."""
    found: dict[str, list[float]] = {prompt: [] for prompt in prompts}
    for answer in answers:
        if answer.prompt_id in found:
            found[answer.prompt_id].append(value[answer.id])
    if missing := [prompt for prompt, values in found.items() if not values]:
        raise ValueError(f"prompt {missing[0]} has no answer at one point of the way; all points need the same prompts")
    return np.array([float(np.mean(values)) for values in found.values()])


def rows(answers: Iterable[Completion], value: Values) -> tuple[list[str], Floats]:
    """Prompts, and the values of the answers to each, as many to each."""
    found: dict[str, list[float]] = {}
    for answer in answers:
        found.setdefault(answer.prompt_id, []).append(value[answer.id])
    if len({len(values) for values in found.values()}) != 1:
        raise ValueError("best of n needs the same number of answers to each prompt")
    prompts = sorted(found)
    return prompts, np.array([found[prompt] for prompt in prompts])


def overoptimised(way: Way, how: Bootstrap = DEFAULT) -> Overoptimised:
    """The points, the fits and what became of gold, with intervals over prompts."""

    def over(value_P: Floats) -> Interval:
        return bootstrap(value_P, way.prompts, how=how, bounds=FREE)

    columns = zip(way.at, way.kl_PK.T, way.proxy_PK.T, way.gold_PK.T, strict=True)
    fall, rise = over_runs([changes(way, how.seed)], how)
    return Overoptimised(
        kind=way.kind,
        points=tuple(Point(at=at, kl=over(kl), proxy=over(proxy), gold=over(gold)) for at, kl, proxy, gold in columns),
        proxy=fit(way, way.proxy_PK, how),
        gold=fit(way, way.gold_PK, how),
        fall=fall,
        rise=rise,
    )


class Changes(NamedTuple):
    """Of some prompts the change of gold and of proxy from gold's best point to the last."""

    prompts: tuple[str, ...]
    fall: Floats
    rise: Floats


def over_seeds(ways: Sequence[Way], how: Bootstrap = DEFAULT) -> tuple[Interval, Interval]:
    """`fall` and `rise` of one setting, its runs by several seeds and the prompts both drawn again."""
    return over_runs([changes(way, how.seed) for way in ways], how)


def over_runs(found: Sequence[Changes], how: Bootstrap = DEFAULT) -> tuple[Interval, Interval]:
    """The same of changes that are known."""
    prompts = [prompt for one in found for prompt in one.prompts]
    runs = [nth for nth, one in enumerate(found) for _ in one.prompts]
    fall, rise = (np.concatenate(values) for values in zip(*((one.fall, one.rise) for one in found), strict=True))
    return bootstrap(fall, prompts, runs, how, FREE), bootstrap(rise, prompts, runs, how, FREE)


def changes(way: Way, seed: int = 0) -> Changes:
    """The changes of the prompts that had no voice in which point is best."""
    top, measured_P = best_by_some(way, seed)
    fall, rise = (x_PK[measured_P, -1] - x_PK[measured_P, top] for x_PK in (way.gold_PK, way.proxy_PK))
    return Changes(tuple(way.prompts[i] for i in measured_P), fall, rise)


def best_by_some(way: Way, seed: int = 0) -> tuple[int, Ints]:
    """The point at which gold is best on a quarter of the prompts, drawn by lot, and the places of the other prompts.

    The best of several points looks better than it is by the luck that made it the best; measured on the prompts that
    chose it, it would make a fall of nothing. To choose on all others in turn, as in cross-validation, would measure on
    all prompts, but its parts hang together: 95 % intervals held the truth in 90 to 92 %.
    """
    place_P, count = codes(way.prompts)
    lot_P = np.random.default_rng(seed).permutation(count)[place_P]
    chooses_P = lot_P < max(1, count // 4)
    top = int(np.argmax(way.gold_PK[chooses_P].mean(axis=0)))
    return top, np.flatnonzero(~chooses_P)


# The fits


def columns(kind: Kind, d_DK: Floats) -> Floats:
    """What stands beside α and β: R(d) = d(α − β d) for best of n, d(α − β log d) for RL (Gao et al. 2023, eq. 1)."""
    bent_DK = d_DK**2 if kind == "best_of" else xlogy(d_DK, d_DK)
    return np.stack([d_DK, -bent_DK], axis=-1)


def curve(kind: Kind, alpha: float, beta: float, d: Floats) -> Floats:
    """The fitted gain at each distance."""
    return columns(kind, d) @ np.array([alpha, beta])


def least_squares(kind: Kind, d_DK: Floats, gain_DK: Floats) -> Floats:
    """α and β of each draw, (D, 2), all points weighing alike; NaN where points are too few or too near together."""
    design_DKF = columns(kind, d_DK)
    gram_DFF = np.swapaxes(design_DKF, -1, -2) @ design_DKF
    told_DF = (np.swapaxes(design_DKF, -1, -2) @ gain_DK[..., None])[..., 0]
    det_D = gram_DFF[:, 0, 0] * gram_DFF[:, 1, 1] - gram_DFF[:, 0, 1] ** 2
    sound_D = det_D > 1e-12 * gram_DFF[:, 0, 0] * gram_DFF[:, 1, 1]
    alpha_D = gram_DFF[:, 1, 1] * told_DF[:, 0] - gram_DFF[:, 0, 1] * told_DF[:, 1]
    beta_D = gram_DFF[:, 0, 0] * told_DF[:, 1] - gram_DFF[:, 0, 1] * told_DF[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sound_D[:, None], np.stack([alpha_D, beta_D], axis=1) / det_D[:, None], np.nan)


def peak_of(kind: Kind, found_DF: Floats) -> Floats:
    """d* of each draw, where R′ = 0: α / 2β for best of n, exp(α/β − 1) for RL. ∞ where it only rises (β ≤ 0)."""
    alpha_D, beta_D = found_DF.T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at_D = alpha_D / (2 * beta_D) if kind == "best_of" else np.exp(alpha_D / beta_D - 1)
    return np.where(beta_D > 0, np.maximum(at_D, 0.0), np.inf)


def fit(way: Way, gain_PK: Floats, how: Bootstrap = DEFAULT) -> Fit | None:
    """The fit of a way's gains; None of fewer than three points that lie apart."""
    if len(way.at) < FEWEST:
        return None
    sums_PC = np.concatenate([way.kl_PK, gain_PK, np.ones((len(gain_PK), 1))], axis=1)
    fitted = partial(_fitted, way.kind)
    alpha, beta = (resampled(sums_PC, _column(fitted, i), len(gain_PK), how, FREE) for i in (0, 1))
    if alpha is None or beta is None:
        return None
    d_K, mean_K = _distance(way.kl_PK.mean(axis=0)), gain_PK.mean(axis=0)
    off = float(np.sqrt(np.mean((curve(way.kind, alpha.value, beta.value, d_K) - mean_K) ** 2)))
    drawn = np.concatenate([fitted(times_DP @ sums_PC) for times_DP in paired(lambda x: x, [len(sums_PC)], how)])
    peak_D = peak_of(way.kind, drawn[np.isfinite(drawn).all(axis=1)])
    [here] = peak_of(way.kind, np.array([[alpha.value, beta.value]]))
    within = float(d_K.max())
    peak = _peak(float(here), peak_D, within, how.level)
    return Fit(alpha=alpha, beta=beta, off=off, peak=peak, turns=float(np.mean(peak_D <= within)))


def _fitted(kind: Kind, sums_DC: Floats) -> Floats:
    points = (sums_DC.shape[1] - 1) // 2
    mean_DC = sums_DC / sums_DC[:, -1:]
    return least_squares(kind, _distance(mean_DC[:, :points]), mean_DC[:, points:-1])


def _column(of: Callable[[Floats], Floats], i: int) -> Callable[[Floats], Floats]:
    return lambda sums_DC: of(sums_DC)[:, i]


def _distance(kl: Floats) -> Floats:
    """√KL; an estimate of a small KL may fall below 0."""
    return np.sqrt(np.maximum(kl, 0.0))


def _peak(here: float, drawn_D: Floats, within: float, level: float) -> Peak | None:
    """The peak and the quantiles of the draws' peaks, which are the same in nats as in d, since squares keep order."""
    if here > within:
        return None
    low, high = np.quantile(drawn_D, [(1 - level) / 2, (1 + level) / 2], method="closest_observation")
    low, high = min(float(low), here), max(float(high), here)
    return Peak(kl=here**2, low=low**2 if low <= within else None, high=high**2 if high <= within else None)


class Turn(NamedTuple):
    """Where a fit of looks is highest, how far below that it ends, and the looks' root mean square distance from it."""

    kl: float
    fall: float
    off: float


def turn(kl: Sequence[float], value: Sequence[float]) -> Turn | None:
    """The RL fit of a run's looks at one reward model, R(d) = R₀ + d(α − β log d), whose start nobody looked at; None
    where it does not turn within what was run, or looks are too few."""
    d_K, value_K = _distance(np.array(kl)), np.array(value, dtype=float)
    design_KF = np.concatenate([np.ones((len(d_K), 1)), columns("policy", d_K)], axis=1)
    if len(d_K) <= FEWEST or np.linalg.matrix_rank(design_KF) < 3:
        return None
    found = np.asarray(np.linalg.lstsq(design_KF, value_K, rcond=None)[0], dtype=np.float64)
    [top] = peak_of("policy", found[None, 1:])
    if not top < d_K.max():
        return None
    best, last = (found[0] + curve("policy", found[1], found[2], np.array([at]))[0] for at in (top, d_K[-1]))
    off = float(np.sqrt(np.mean((design_KF @ found - value_K) ** 2)))
    return Turn(float(top) ** 2, float(best - last), off)

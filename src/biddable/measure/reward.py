"""How well a reward model's scores foresee what labelers prefer (paper, sections 3.5 and 4.1)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
import scipy.optimize
from pydantic import Field

from biddable.measure.agreement import asked_by_lot
from biddable.measure.interval import (
    DEFAULT,
    Bootstrap,
    Floats,
    Interval,
    Ints,
    Spread,
    bootstrap,
    chunks,
    codes,
    ends,
    resamples,
    stretched,
)
from biddable.measure.ranks import Statistic, above, spearman
from biddable.measure.weighted import mean, weight
from biddable.records import Group, Ranking, Record, Score


@dataclass(frozen=True)
class Margins:
    """r(x, y_w) − r(x, y_l) of every strict pair, with its prompt and labeler, and of an ensemble the pair's spread."""

    margin_N: Floats
    prompts: tuple[str, ...]
    labelers: tuple[str, ...]
    spread_N: Floats | None = None
    weight_N: Floats | None = None  # 1/π of the prompt, where not every prompt was as likely to be labeled


class Bin(Record):
    """Pairs whose predicted probability lies in one band: what was foreseen and what came true."""

    predicted: float
    observed: Interval


class Calibration(Record):
    """Whether a difference of scores means what it says. `error` is the expected calibration error; `temperature` is
    what scores would have to be divided by to foresee best: above 1 the model is too sure of itself."""

    bins: tuple[Bin, ...] = Field(min_length=1)
    log_loss: Interval
    error: float
    error_interval: Interval | None = None
    temperature: float | None = None


class Doubt(Record):
    """Whether an ensemble's spread says where it errs, over strict pairs. A pair's spread is √(s_w² + s_l²).

    `correlation` is Spearman's, of spread with the error 1 − σ(Δ). `wrong` is how often a pair that is foreseen wrongly
    has more spread than one that is foreseen rightly: ½ says nothing. `closeness` is the same of −|Δ|, for which
    one head is enough.
    """

    correlation: Interval
    wrong: Interval
    closeness: Interval


class Folds(Record):
    """Accuracy of k reward models on labelers that they learnt from and on those that they did not (paper, 4.1)."""

    own: tuple[Interval, ...]
    held_out: tuple[Interval, ...]
    own_mean: Interval
    held_out_mean: Interval
    own_error: float  # standard error over the models, as the paper's ± (72.4 ± 0.4 and 69.6 ± 0.9)
    held_out_error: float


def one_value(scores: Iterable[Score]) -> dict[str, float]:
    """Completion → score; of one reward model, since two have no common zero."""
    kept = tuple(scores)
    runs = sorted({score.run_id for score in kept})
    if len(runs) > 1:
        raise ValueError(f"scores of {len(runs)} reward models ({', '.join(runs)}): measure one at a time")
    return {score.completion_id: score.value for score in kept}


def margins(
    scores: Iterable[Score],
    rankings: Iterable[Ranking],
    groups: Mapping[str, Group] | None = None,
    group: Group | None = None,
) -> Margins:
    """The margins of all strict pairs of the rankings, of one labeler group if named. Ties give no pair, and who was
    asked because others disagreed is left out."""
    if group is not None and groups is None:
        raise ValueError("accuracy by group needs to know the group of each labeler")
    scores = tuple(scores)
    value = one_value(scores)
    spread = {score.completion_id: score.spread for score in scores if score.spread is not None}
    spreads: list[float] = []
    found: list[float] = []
    weights: list[float] = []
    prompts: list[str] = []
    labelers: list[str] = []
    for ranking in asked_by_lot(rankings):
        if group is not None and groups is not None and groups.get(ranking.labeler) != group:
            continue
        for pair in ranking.comparisons():
            for completion in (pair.winner, pair.loser):
                if completion not in value:
                    raise ValueError(f"completion {completion}, ranked for prompt {pair.prompt_id}, has no score")
            found.append(value[pair.winner] - value[pair.loser])
            spreads += [hypot(spread[pair.winner], spread[pair.loser])] if spread.keys() >= {*pair[1:]} else []
            weights.append(weight(ranking))
            prompts.append(pair.prompt_id)
            labelers.append(ranking.labeler)
    if not found:
        raise ValueError(f"no strict pair by {group or 'any'} labelers, so accuracy cannot be measured")
    spread_N = np.array(spreads) if len(spreads) == len(found) else None
    return Margins(np.array(found), tuple(prompts), tuple(labelers), spread_N, np.array(weights))


def accuracy(pairs: Margins, how: Bootstrap = DEFAULT) -> Interval:
    """Share of strict pairs with r(x, y_w) > r(x, y_l), clustered by prompt. Equal scores are a miss: a reward model
    that says the same of everything must not look like a coin (paper's checklist: strict >). Prompts that were chosen
    with unlike chances are weighed."""
    right_N = (pairs.margin_N > 0).astype(float)
    weight_N = np.ones_like(right_N) if pairs.weight_N is None else pairs.weight_N
    return mean(right_N, weight_N, pairs.prompts, how=how)


def folded(own: Sequence[Margins], held_out: Sequence[Margins], how: Bootstrap = DEFAULT) -> Folds:
    """The models' accuracies, and their means with prompts and labelers as random."""
    mine, others = ([accuracy(pairs, how) for pairs in some] for some in (own, held_out))
    return Folds(
        own=tuple(mine),
        held_out=tuple(others),
        own_mean=_of_all(own, how),
        held_out_mean=_of_all(held_out, how),
        own_error=_standard_error([found.value for found in mine]),
        held_out_error=_standard_error([found.value for found in others]),
    )


def _of_all(several: Sequence[Margins], how: Bootstrap) -> Interval:
    right_N = np.concatenate([pairs.margin_N > 0 for pairs in several]).astype(float)
    prompts = [prompt for pairs in several for prompt in pairs.prompts]
    return bootstrap(right_N, prompts, [labeler for pairs in several for labeler in pairs.labelers], how)


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def log_loss(pairs: Margins, how: Bootstrap = DEFAULT) -> Interval:
    """Mean of −log σ(r(x, y_w) − r(x, y_l)): the paper's eq. 1 at test time. A coin has log 2 = 0.693. Prompts
    that were chosen with unlike chances are weighed, as in `accuracy`."""
    weight_N = np.ones_like(pairs.margin_N) if pairs.weight_N is None else pairs.weight_N
    return mean(np.logaddexp(0, -pairs.margin_N), weight_N, pairs.prompts, how=how, bounds=(0.0, np.inf))


def calibration(pairs: Margins, bins: int = 5, how: Bootstrap = DEFAULT) -> Calibration:
    """Predicted σ(|Δ|) against the share of such pairs in which the higher score won, in equal bands of [½, 1].

    ECE = Σ_b n_b/n · |observed_b − predicted_b| (Guo et al. 2017, eq. 3). Equal scores win half. Ties are left out, so
    σ is read as P(w ≻ l | no tie): rightly so of a model that learnt with ties dropped, and of Davidson's, where ν
    cancels. By Rao and Kupper's rule with θ > 1 the odds are (π_w π_l + θ π_w²) : (π_w π_l + θ π_l²), which is surer
    than σ, so a model that learnt by it looks more timid here than it is.
    """
    predicted_N = 1 / (1 + np.exp(-np.abs(pairs.margin_N)))
    right_N = np.where(pairs.margin_N == 0, 0.5, pairs.margin_N > 0)
    band_N = np.minimum(((predicted_N - 0.5) * 2 * bins).astype(int), bins - 1)
    made, error = [], 0.0
    for band in range(bins):
        inside = np.flatnonzero(band_N == band)
        if len(inside):
            observed = bootstrap(right_N[inside], [pairs.prompts[i] for i in inside], how=how)
            made.append(Bin(predicted=float(predicted_N[inside].mean()), observed=observed))
            error += len(inside) / len(right_N) * abs(observed.value - made[-1].predicted)
    interval = _error_interval(right_N - predicted_N, band_N, bins, pairs.prompts, error, how)
    return Calibration(
        bins=tuple(made),
        log_loss=log_loss(pairs, how),
        error=error,
        error_interval=interval,
        temperature=temperature(pairs),
    )


def _error_interval(
    off_N: Floats, band_N: Ints, bins: int, prompts: Sequence[str], error: float, how: Bootstrap
) -> Interval:
    """ECE's interval, prompts drawn again. ECE is Σ_b |o_b|, o_b = Σ_{i∈b} off_i / n, so a draw needs one sum a prompt
    and band.

    An absolute value grows by noise, in the data and once more in a draw of it. So for the upper end the draws are
    moved down until their mean is the value. The lower end is the value less what noise may have added to it: the
    draws' noise is laid on each o_b drawn towards 0 by its variance, o_b max(0, 1 − V_b/o_b²) (James and Stein 1961),
    since of a model that errs nowhere noise adds the most.
    """
    prompt_N, count = codes(prompts)
    total_PB = np.bincount(prompt_N * bins + band_N, weights=off_N, minlength=count * bins).reshape(count, bins)
    size_P = np.bincount(prompt_N, minlength=count).astype(float)
    rng = how.generator()
    drawn = [resamples(count, draws, rng) for draws in chunks(how.draws, count)]
    off_DB = np.concatenate([times_DP @ total_PB / (times_DP @ size_P)[:, None] for times_DP in drawn])
    off_B = total_PB.sum(axis=0) / len(off_N)
    noise_DB, draw_D = off_DB - off_B, np.abs(off_DB).sum(axis=1)
    shrunk_B = off_B * np.maximum(0.0, 1 - noise_DB.var(axis=0) / np.where(off_B == 0, 1.0, off_B**2))
    added_D = np.abs(shrunk_B + noise_DB).sum(axis=1) - np.abs(shrunk_B).sum()
    low = error - np.quantile(added_D, (1 + how.level) / 2)
    high = np.quantile(draw_D, (1 + how.level) / 2) - draw_D.mean() + error
    if count < 2:  # one prompt says nothing of others
        low, high = 0.0, 1.0
    return Interval(value=error, low=max(0.0, min(error, float(low))), high=max(error, float(high)), n=len(off_N))


def temperature(pairs: Margins) -> float:
    """T with the least mean of −log σ(Δ/T) (Guo et al. 2017, section 4.2), between 1/100 and 100: where every pair is
    right no T is too small, and where they are wrong more often than right none too great."""

    def loss(log_rate: float) -> float:
        return float(np.logaddexp(0, -pairs.margin_N * np.exp(log_rate)).mean())

    most = np.log(100)  # convex in 1/T, so it has one valley in log 1/T
    return float(np.exp(-scipy.optimize.minimize_scalar(loss, bounds=(-most, most), method="bounded").x))


def doubt(pairs: Margins, how: Bootstrap = DEFAULT) -> Doubt:
    """What an ensemble's spread knows of its errors; prompts are drawn again for the intervals."""
    if pairs.spread_N is None:
        raise ValueError("these scores have no spread: only a reward model of several heads has (heads=4)")
    wrong_N = pairs.margin_N <= 0
    if wrong_N.all() or not wrong_N.any():
        raise ValueError("every pair is foreseen rightly, or every one wrongly; there are no errors to tell apart")
    error_N = 1 / (1 + np.exp(pairs.margin_N))
    spread_N, close_N = pairs.spread_N, -np.abs(pairs.margin_N)
    return Doubt(
        correlation=_of_ranks(spearman(spread_N, error_N), pairs, how, (-1.0, 1.0)),
        wrong=_of_ranks(above(spread_N, wrong_N), pairs, how, (0.0, 1.0)),
        closeness=_of_ranks(above(close_N, wrong_N), pairs, how, (0.0, 1.0)),
    )


def _of_ranks(statistic: Statistic, pairs: Margins, how: Bootstrap, bounds: tuple[float, float]) -> Interval:
    """A statistic of ranks and its interval, prompts with all their pairs drawn again; the draws are stretched to the
    jackknife's variance and to t, as those of `resampled` are."""
    prompt_N, count = codes(pairs.prompts)
    value = float(statistic(np.ones((1, len(prompt_N))))[0])
    if count < 2:  # one prompt says nothing of others
        return Interval(value=value, low=bounds[0], high=bounds[1], n=len(prompt_N))
    rng = how.generator()
    some = (resamples(count, draws, rng) for draws in chunks(how.draws, len(prompt_N)))
    draw_D = np.concatenate([statistic(times_DP[:, prompt_N]) for times_DP in some])
    left_out = np.split(np.arange(count), np.cumsum([*chunks(count, len(prompt_N))])[:-1])
    without_P = np.concatenate([statistic((prompt_N != some_D[:, None]).astype(float)) for some_D in left_out])
    draw_D, without_P = draw_D[np.isfinite(draw_D)], without_P[np.isfinite(without_P)]
    low, high = bounds
    if len(draw_D) > 1 and len(without_P) > 1:
        influence_P = without_P.mean() - without_P
        noise = Spread((count - 1) / count * float(influence_P @ influence_P), count - 1, influence_P)
        low, high = np.clip(ends(stretched(draw_D, value, noise, how.level), value, influence_P, how), *bounds)
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)), n=len(prompt_N))

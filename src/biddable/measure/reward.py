"""How well a reward model's scores foresee what labelers prefer (paper, sections 3.5 and 4.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, bootstrap
from biddable.records import Group, Ranking, Record, Score


@dataclass(frozen=True)
class Margins:
    """r(x, y_w) − r(x, y_l) of every strict pair, with its prompt and labeler."""

    margin_N: Floats
    prompts: tuple[str, ...]
    labelers: tuple[str, ...]


class Bin(Record):
    """Pairs whose predicted probability lies in one band: what was foreseen and what came true."""

    predicted: float
    observed: Interval


class Calibration(Record):
    """Whether a difference of scores means what it says. `error` is the expected calibration error."""

    bins: tuple[Bin, ...] = Field(min_length=1)
    log_loss: Interval
    error: float


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
    """The margins of all strict pairs of the rankings, of one labeler group if named. Ties give no pair."""
    if group is not None and groups is None:
        raise ValueError("accuracy by group needs to know the group of each labeler")
    value = one_value(scores)
    found: list[float] = []
    prompts: list[str] = []
    labelers: list[str] = []
    for ranking in rankings:
        if group is not None and groups is not None and groups.get(ranking.labeler) != group:
            continue
        for pair in ranking.comparisons():
            for completion in (pair.winner, pair.loser):
                if completion not in value:
                    raise ValueError(f"completion {completion}, ranked for prompt {pair.prompt_id}, has no score")
            found.append(value[pair.winner] - value[pair.loser])
            prompts.append(pair.prompt_id)
            labelers.append(ranking.labeler)
    if not found:
        raise ValueError(f"no strict pair by {group or 'any'} labelers, so accuracy cannot be measured")
    return Margins(np.array(found), tuple(prompts), tuple(labelers))


def accuracy(pairs: Margins, how: Bootstrap = DEFAULT) -> Interval:
    """Share of strict pairs with r(x, y_w) > r(x, y_l), clustered by prompt. Equal scores are a miss: a reward model
    that says the same of everything must not look like a coin (paper's checklist: strict >)."""
    return bootstrap((pairs.margin_N > 0).astype(float), pairs.prompts, how=how)


def log_loss(pairs: Margins, how: Bootstrap = DEFAULT) -> Interval:
    """Mean of −log σ(r(x, y_w) − r(x, y_l)): the paper's eq. 1 at test time. A coin has log 2 = 0.693."""
    return bootstrap(np.logaddexp(0, -pairs.margin_N), pairs.prompts, how=how, bounds=(0.0, np.inf))


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
    return Calibration(bins=tuple(made), log_loss=log_loss(pairs, how), error=error)

"""How much each person says what the others say: leave-one-out agreement, drawn towards the team's.

Shape suffixes as in `said`; T values of τ, a grid.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, resampled
from biddable.measure.said import Said
from biddable.measure.shares import Sums


def credit_IVV(said: Said, half: bool) -> Floats:
    """1 on the diagonal, and for pairs half a point where one says tie and the other does not."""
    credit_VV = np.eye(said.values)
    if half:
        credit_VV[1, [0, 2]] = credit_VV[[0, 2], 1] = 0.5
    return credit_VV


def meetings(said: Said, half: bool = True) -> tuple[Floats, Floats]:
    """Of each (person, item): the sum of credit with the others who spoke of it, and how many these are."""
    credit_VV, count_IV = credit_IVV(said, half), said.count_IV
    with_all_N = np.sum(count_IV[said.item_N] * credit_VV[said.value_N], axis=1)
    return np.asarray(with_all_N - 1, np.float64), (said.people_I[said.item_N] - 1).astype(np.float64)


def agreed(said: Said, half: bool = True, how: Bootstrap = DEFAULT) -> Interval | None:
    """The mean of credit over all meetings of two people over an item, from prompts drawn again."""
    hits_N, tries_N = meetings(said, half)
    sums_PC = np.stack(
        [np.bincount(said.prompt_I[said.item_N], weights=x, minlength=said.prompts) for x in (hits_N, tries_N)], axis=1
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return resampled(sums_PC / 2, lambda sums: sums[:, 0] / sums[:, 1], int(tries_N.sum() / 2), how, (0.0, 1.0))


def beyond_these(said: Said, half: bool = True, level: float = 0.95) -> Interval | None:
    """The same share with an interval that also holds for other people of the same kind, and other prompts.

    A meeting has two people, so errors are alike that share a prompt or either person: V = V_prompt + V_person − V_both
    with V_person = Σ_l S_l² − Σ_{l<l'} S_ll'² over the sums S of errors (Aronow, Samii and Assenova 2015, eq. 5, put
    into the two-way form of Cameron, Gelbach and Miller 2011), and t with as many degrees as the fewer of both, less
    one. In a team of L the middle part comes out too small, since the mean is taken out of it: where people alone
    differ, and each meets each, it is (L−2)(L−3)/L(L−1) of what it should be (by hand), so it is divided by that. The
    interval is made on the scale of log odds: few careless people pull a team down further than good ones lift it."""
    one_M, other_M, prompt_M, credit_M = dyads(said, half)
    people, prompts = len(np.unique([one_M, other_M])), len(np.unique(prompt_M))
    if people < 4 or prompts < 2:
        return None
    error_M = (credit_M - credit_M.mean()) / len(credit_M)
    grown = people * (people - 1) / ((people - 2) * (people - 3))
    of_prompt = _squares(prompt_M, error_M) * prompts / (prompts - 1)
    of_people = _shared(one_M, other_M, 0 * prompt_M, error_M) * grown
    of_both = _shared(one_M, other_M, prompt_M, error_M)
    variance = max(of_prompt + of_people - of_both, of_prompt, of_people)
    value = float(credit_M.mean())
    if not 0 < value < 1:
        return None
    half_width = float(stdtrit(min(people, prompts) - 1, (1 + level) / 2)) * variance**0.5
    wide = half_width / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-wide, wide]))
    return Interval(value=value, low=float(low), high=float(high), n=len(credit_M))


def dyads(said: Said, half: bool) -> tuple:
    """Every meeting of two people over an item: who and who, of which prompt, with what credit."""
    order = np.lexsort((said.labeler_N, said.item_N))
    item_N, labeler_N, value_N = said.item_N[order], said.labeler_N[order], said.value_N[order]
    credit_VV, rows = credit_IVV(said, half), []
    for step in range(1, int(said.people_I.max(initial=1))):
        (here,) = np.nonzero(item_N[step:] == item_N[:-step])
        rows.append((here, here + step))
    first = np.concatenate([a for a, _ in rows]) if rows else np.zeros(0, np.intp)
    second = np.concatenate([b for _, b in rows]) if rows else np.zeros(0, np.intp)
    return labeler_N[first], labeler_N[second], said.prompt_I[item_N[first]], credit_VV[value_N[first], value_N[second]]


def _squares(group_M, error_M: Floats) -> float:
    """Σ over groups of (Σ of its errors)²."""
    _, code_M = np.unique(group_M, return_inverse=True)
    return float(np.sum(np.bincount(code_M, weights=error_M) ** 2))


def _shared(one_M, other_M, within_M, error_M: Floats) -> float:
    """Σ of products of errors that share a person, within each group."""
    most = int(max(one_M.max(), other_M.max())) + 1
    either = np.concatenate([within_M * most + one_M, within_M * most + other_M])
    of_each = _squares(either, np.concatenate([error_M, error_M]))
    return of_each - _squares((within_M * most + one_M) * most + other_M, error_M)


# One by one.


class Alike(NamedTuple):
    labeler: str
    prompts: int
    own: float  # as it is
    drawn: Interval  # towards the team


def sums_of_each(said: Said, hits_N: Floats, tries_N: Floats) -> dict[str, Sums]:
    """Of each person, sums over their prompts: what `shares` takes."""
    cell_N = said.labeler_N * said.prompts + said.prompt_I[said.item_N]
    cells, code_N = np.unique(cell_N, return_inverse=True)
    w, m = np.bincount(code_N, weights=hits_N), np.bincount(code_N, weights=tries_N)
    who, met = cells // said.prompts, m > 0
    rows = np.stack([met.astype(float), w, m, w * w, w * m, m * m]) * met
    sums = [np.bincount(who, weights=row, minlength=len(said.labelers)) for row in rows]
    return {name: Sums(*(float(one[n]) for one in sums)) for n, name in enumerate(said.labelers)}


def leave_one_out(said: Said, half: bool = True, level: float = 0.95) -> list[Alike]:
    """Each person's agreement with the others who spoke of the same, for those who met anybody over two prompts."""
    found = {name: sums for name, sums in sums_of_each(said, *meetings(said, half)).items() if sums.clusters >= 2}
    own_L = np.array([sums.hits / sums.tries for sums in found.values()])
    clusters_L = np.array([sums.clusters for sums in found.values()])
    if not len(own_L):
        return []
    drawn = towards(own_L, _variances(list(found.values()), own_L, clusters_L), level)
    return [
        Alike(name, int(sums.clusters), float(own), one)
        for (name, sums), own, one in zip(found.items(), own_L, drawn, strict=True)
    ]


def _variances(sums: list[Sums], own_L: Floats, clusters_L: Floats) -> Floats:
    """Of each person's share. A few prompts do not tell how much a person varies, so each one's own estimate is a mean
    with the team's, which counts as much as ten prompts."""
    each_L = np.array([
        clusters_of * n * max(0.0, one.hits2 - 2 * p * one.both + p * p * one.tries2) / one.tries**2
        for one, p, n in zip(sums, own_L, clusters_L, strict=True)
        for clusters_of in (n / (n - 1),)
    ])  # fmt: skip
    team = float(np.sum(each_L * (clusters_L - 1)) / np.sum(clusters_L - 1))
    mixed_L = ((clusters_L - 1) * each_L + 10 * team) / (clusters_L + 9)
    return np.maximum(mixed_L, 1e-9) / clusters_L


GRID = 80


def towards(own_L: Floats, variance_L: Floats, level: float = 0.95) -> list[Interval]:
    """yₗ ~ N(θₗ, sₗ²), θₗ ~ N(μ, τ²), μ and τ flat: the posterior of each θ, over a grid of τ (Gelman et al. 2013,
    eqs. 5.17 to 5.21). A person of few prompts is drawn far towards the team, one of many hardly; and as the spread of
    the team is itself not known, the interval is a mixture and not one curve at the likeliest τ."""
    if len(own_L) < 3:  # of two people, no spread can be told
        half_L = float(ndtri((1 + level) / 2)) * np.sqrt(variance_L)
        return [_clipped(y, y - h, y + h) for y, h in zip(own_L, half_L, strict=True)]
    widest = 3 * max(float(np.std(own_L)), float(np.sqrt(variance_L.max())))
    tau_T = np.linspace(widest / GRID, widest, GRID)
    total_TL = variance_L[None, :] + tau_T[:, None] ** 2
    mean_T = np.sum(own_L / total_TL, axis=1) / np.sum(1 / total_TL, axis=1)
    of_mean_T = 1 / np.sum(1 / total_TL, axis=1)
    fit_T = -0.5 * np.sum(np.log(total_TL) + (own_L - mean_T[:, None]) ** 2 / total_TL, axis=1)
    weight_T = np.sqrt(of_mean_T) * np.exp(fit_T - fit_T.max())
    weight_T /= weight_T.sum()
    pull_TL = variance_L / total_TL  # how far towards the mean
    centre_TL = (1 - pull_TL) * own_L + pull_TL * mean_T[:, None]
    spread_TL = np.sqrt((1 - pull_TL) * variance_L + pull_TL**2 * of_mean_T[:, None])
    tails = (1 - level) / 2, (1 + level) / 2
    return [
        _clipped(float(centre_T @ weight_T), *_quantiles(tails, centre_T, spread_T, weight_T))
        for centre_T, spread_T in zip(centre_TL.T, spread_TL.T, strict=True)
    ]


def _clipped(value: float, low: float, high: float) -> Interval:
    value = min(1.0, max(0.0, float(value)))
    return Interval(value=value, low=max(0.0, min(value, float(low))), high=min(1.0, max(value, float(high))), n=1)


def _quantiles(tails: Sequence[float], centre_T: Floats, spread_T: Floats, weight_T: Floats) -> Floats:
    """Of a mixture of normal curves, on a fine grid of its range."""
    x = np.linspace(np.min(centre_T - 4 * spread_T), np.max(centre_T + 4 * spread_T), 300)
    return np.interp(tails, ndtr((x[:, None] - centre_T) / spread_T) @ weight_T, x)


def halves(said: Said, when_N: Floats, half: bool = True) -> dict[str, tuple[Sums, Sums]]:
    """Each person's agreement in the newer and in the older half of their prompts, as sums for `signs.drift`.

    Who meets careless people later seems to agree less. So of each meeting the other one's agreement with everybody is
    taken off: what is left is about this person."""
    hits_N, tries_N = meetings(said, half)
    of_all_L = np.bincount(said.labeler_N, weights=hits_N, minlength=len(said.labelers))
    met_L = np.bincount(said.labeler_N, weights=tries_N, minlength=len(said.labelers))
    mean_N = (of_all_L / np.maximum(met_L, 1))[said.labeler_N]
    hits_N = hits_N - (np.bincount(said.item_N, weights=mean_N, minlength=len(said.prompt_I))[said.item_N] - mean_N)
    order = np.lexsort((when_N, said.labeler_N))
    start_L = np.searchsorted(said.labeler_N[order], np.arange(len(said.labelers) + 1))
    newer_N = np.zeros(len(when_N), dtype=bool)
    for first, last in itertools.pairwise(start_L):
        mine = order[first:last]
        if len(mine):
            newer_N[mine] = when_N[mine] > np.median(when_N[mine])
    newer = sums_of_each(said, hits_N * newer_N, tries_N * newer_N)
    older = sums_of_each(said, hits_N * ~newer_N, tries_N * ~newer_N)
    return {name: (newer[name], older[name]) for name in said.labelers}

"""The coefficients of agreement that the literature asks for, each with an interval from prompts drawn again.

Shape suffixes as in `said`; C parts of a statistic, D draws, K answers of a ranking. All are ratios of sums over
prompts, so one table of sums a prompt is made and every draw is a product of matrices.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, bootstrap, resampled
from biddable.measure.said import PAIR, Said, by_prompt
from biddable.records import Ranking

Scale = Literal["nominal", "ordinal", "interval"]


def coincidences(said: Said) -> Floats:
    """o_vw of each prompt: for each item with m ≥ 2 voices n_v (n_w − [v = w])/(m − 1) (Krippendorff 2011, step 2)."""
    count_IV, people_I = said.count_IV, said.people_I
    both_IVV = count_IV[:, :, None] * count_IV[:, None, :]
    diagonal = np.arange(said.values)
    both_IVV[:, diagonal, diagonal] -= count_IV
    both_IVV *= np.where(people_I > 1, 1 / np.maximum(people_I - 1, 1), 0.0)[:, None, None]
    return by_prompt(said, both_IVV.reshape(len(both_IVV), -1))


def either_way(sums_PC: Floats) -> Floats:
    """Coincidences of pairs, half of each pair named the other way round: which answer is called first means nothing,
    and so must not move what chance would reach."""
    turned_PVV = sums_PC.reshape(-1, PAIR, PAIR)[:, ::-1, ::-1]
    return (sums_PC + turned_PVV.reshape(len(sums_PC), -1)) / 2


def alpha_of(sums_DC: Floats, scale: Scale) -> Floats:
    """α = 1 − D_o/D_e, D_o = Σ o_vw δ²_vw / n, D_e = Σ n_v n_w δ²_vw / n(n−1) (Krippendorff 2011, step 4).

    δ² is [v ≠ w], (v − w)², or, ordinal, (Σ_{g=v..w} n_g − (n_v + n_w)/2)², which is the distance of mid-ranks.
    Not a number where all say one and the same: then there is nothing by which to tell agreement from habit."""
    values = round(sums_DC.shape[-1] ** 0.5)
    o_DVV = sums_DC.reshape(-1, values, values)
    n_DV = o_DVV.sum(axis=2)
    match scale:
        case "nominal":
            place_DV = None
        case "ordinal":
            place_DV = np.cumsum(n_DV, axis=1) - n_DV / 2
        case "interval":
            place_DV = np.broadcast_to(np.arange(values, dtype=float), n_DV.shape)
    apart_DVV = 1.0 - np.eye(values)[None] if place_DV is None else (place_DV[:, :, None] - place_DV[:, None, :]) ** 2
    n_D = n_DV.sum(axis=1)
    seen_D = np.sum(o_DVV * apart_DVV, axis=(1, 2)) * (n_D - 1)
    chance_D = np.einsum("dv,dw,dvw->d", n_DV, n_DV, np.broadcast_to(apart_DVV, o_DVV.shape))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - seen_D / chance_D


def alpha(said: Said, scale: Scale, how: Bootstrap = DEFAULT) -> Interval | None:
    """Krippendorff's alpha; nothing where it is not defined."""
    sums_PC = coincidences(said)
    return resampled(sums_PC, lambda sums_DC: alpha_of(sums_DC, scale), _twice(said), how)


def alpha_of_pairs(said: Said, how: Bootstrap = DEFAULT) -> Interval | None:
    """Nominal alpha over what is said of a pair: the one, the other, a tie."""
    return resampled(either_way(coincidences(said)), lambda sums: alpha_of(sums, "nominal"), _twice(said), how)


def _twice(said: Said) -> int:
    """What was said of items of which more than one spoke."""
    return int(np.sum(said.people_I[said.item_N] > 1))


def fleiss_of(sums_DC: Floats) -> Floats:
    """κ = (P̄ − P_e)/(1 − P_e) from the columns Σ P_i, items, and of each value what was said."""
    share_DV = sums_DC[:, 2:] / sums_DC[:, 2:].sum(axis=1, keepdims=True)
    chance_D = np.sum(share_DV**2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums_DC[:, 0] / sums_DC[:, 1] - chance_D) / (1 - chance_D)


def fleiss(said: Said, how: Bootstrap = DEFAULT) -> Interval | None:
    """Fleiss' kappa (1971, eqs. 2 to 7): P_i = Σ_v n_v (n_v − 1)/m(m − 1), P_e = Σ_v p_v².

    His m is the same everywhere; ours may differ, and items of which one person spoke are left out."""
    count_IV, people_I = said.count_IV, said.people_I.astype(float)
    met_I = people_I > 1
    same_I = np.sum(count_IV * (count_IV - 1), axis=1) / np.maximum(people_I * (people_I - 1), 1)
    parts_IC = np.column_stack([same_I, np.ones_like(same_I), count_IV]) * met_I[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):  # of draws that hold no item
        return resampled(by_prompt(said, parts_IC), fleiss_of, _twice(said), how)


# Whole rankings.


def sides(ranking: Ranking, names: list[str]) -> Floats:
    """s_ij of a ranking: 1 where i stands above j, −1 below, 0 tied."""
    ranks = ranking.ranks
    rank_K = np.array([ranks[name] for name in names])
    return np.sign(rank_K[None, :] - rank_K[:, None]).astype(float)


def tau(one_KK: Floats, other_KK: Floats) -> float | None:
    """Kendall's τ_b = Σ s t / √(Σ s² Σ t²) (Kendall 1945); nothing where one of them ties all."""
    scale = float(np.sum(one_KK**2) * np.sum(other_KK**2)) ** 0.5
    return float(np.sum(one_KK * other_KK)) / scale if scale else None


def concordance(sides_MKK: Floats) -> float | None:
    """Kendall's W of m rankings = Σ_k (Σ_m a_mk)² / m Σ_mk a_mk², a the distance of a mid-rank from the middle.

    That is 12 S / (m² (K³ − K) − m Σ T), corrected for ties (Kendall and Gibbons 1990, eq. 6.7)."""
    off_MK = sides_MKK.sum(axis=2) / 2
    scale = len(off_MK) * float(np.sum(off_MK**2))
    return float(np.sum(off_MK.sum(axis=0) ** 2)) / scale if scale else None


def rank_correlations(rankings: Iterable[Ranking], how: Bootstrap = DEFAULT) -> dict[str, Interval]:
    """`tau`: the mean of τ_b over pairs of people of one prompt. `w`: the mean of W over prompts. Where people ranked
    other answers of a prompt than others did, those that all of them ranked count."""
    found: dict[str, list[tuple[float, str]]] = {"tau": [], "w": []}
    by: dict[str, dict[str, Ranking]] = {}
    for ranking in rankings:
        by.setdefault(ranking.prompt_id, {})[ranking.labeler] = ranking
    for prompt, some in sorted(by.items()):
        shared = sorted(set.intersection(*(set(one.ranks) for one in some.values())))
        if len(some) < 2 or len(shared) < 2:
            continue
        sides_MKK = np.stack([sides(one, shared) for _, one in sorted(some.items())])
        for n, one_KK in enumerate(sides_MKK):
            found["tau"] += [(t, prompt) for other_KK in sides_MKK[:n] if (t := tau(one_KK, other_KK)) is not None]
        if (w := concordance(sides_MKK)) is not None:
            found["w"].append((w, prompt))
    return {
        name: bootstrap([value for value, _ in some], [prompt for _, prompt in some], None, how, bounds)
        for (name, some), bounds in zip(found.items(), ((-1.0, 1.0), (0.0, 1.0)), strict=True)
        if some
    }

"""A reward from rankings. The batch element is a ranking with all its pairs, never a loose pair.

N = ranked answers of all rankings together, P = pairs within one ranking, G = rankings, J = aspects.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from biddable.losses.masked import mean_of_means

TIES = ("drop", "davidson", "rao_kupper")


class Pairs(NamedTuple):
    """Every pair of two answers of one ranking, once: places in the flat vectors."""

    better_P: Int[Tensor, " P"]
    worse_P: Int[Tensor, " P"]
    tie_P: Bool[Tensor, " P"]  # then better and worse are only names
    ranking_P: Int[Tensor, " P"]  # 0 … G−1


def pairs(rank: Num[Tensor, " N"], group: Int[Tensor, " N"]) -> Pairs:
    """All pairs of all rankings: as much memory as there are pairs, and not N².

    Sorted by ranking, an answer is paired with each one that comes after it in the same ranking.
    """
    order_N = torch.argsort(group, stable=True)
    _, size_G = torch.unique_consecutive(group[order_N], return_counts=True)
    place_N = torch.arange(len(group), device=group.device)
    later_N = size_G.cumsum(0).repeat_interleave(size_G) - place_N - 1
    first_P = place_N.repeat_interleave(later_N)
    begin_P = (later_N.cumsum(0) - later_N).repeat_interleave(later_N)
    second_P = first_P + 1 + torch.arange(len(first_P), device=group.device) - begin_P
    ranking_N = torch.arange(len(size_G), device=group.device).repeat_interleave(size_G)

    a_P, b_P = order_N[first_P], order_N[second_P]
    a_better_P = rank[a_P] <= rank[b_P]
    return Pairs(
        torch.where(a_better_P, a_P, b_P),
        torch.where(a_better_P, b_P, a_P),
        rank[a_P] == rank[b_P],
        ranking_N[first_P],
    )


def ranking_loss(
    score: Float[Tensor, " N"],
    rank: Num[Tensor, " N"],
    group: Int[Tensor, " N"],
    ties: str = "drop",
    tie_rate: float | Float[Tensor, ""] = 1 / 3,
    *,
    weight: Float[Tensor, " N"] | None = None,
    grade: Float[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """mean over rankings of the mean over its pairs of −log P(what the labeler said),  Δ = r(x, y_w) − r(x, y_l).

    drop        P(w ≻ l) = σ(Δ); ties are dropped.             Ouyang et al. 2022, eq. 1 and App. C.2
    davidson    P(w ≻ l) = π_w/(π_w + π_l + ν√(π_w π_l)),      Davidson 1970
                P(tie) = ν√(π_w π_l)/(the same)
    rao_kupper  P(w ≻ l) = π_w/(π_w + θ π_l),                  Rao and Kupper 1967
                P(tie) = (θ² − 1) π_w π_l/((π_w + θ π_l)(π_l + θ π_w));   π = eʳ in both

    rank: 1 is best and equal is a tie; group: which ranking. Where the paper is silent: with ties dropped we divide by
    the pairs that are left and not by C(K,2), so rankings weigh the same; a ranking without a pair that counts counts
    for nothing, and if no ranking has one the loss is 0 and so is its gradient.

    `tie_rate` is how often two equally good answers are called a tie, so ν = 2p/(1−p) and θ = (1+p)/(1−p): one third is
    ν = 1 and θ = 2. A tensor may be given, and learned.

    `weight` says how often each answer's ranking counts, as in a bootstrap; the mean is still over the rankings that
    are there. `grade` says how good each answer is by another measure: the better one must be ahead by that difference,
    P(w ≻ l) = σ(Δ − max(0, g_w − g_l)), the margin of Touvron et al. 2023 (Llama 2), eq. 2.
    """
    _ranked(score, rank, group)
    pair = pairs(rank, group)
    delta_P = score[pair.better_P] - score[pair.worse_P]
    if grade is not None:
        if ties != "drop":
            raise ValueError(f"ranking_loss: a margin goes with ties dropped, not with {ties}")
        delta_P = delta_P - (grade[pair.better_P] - grade[pair.worse_P]).clamp(min=0)
    match ties:
        case "drop":
            counts_P = ~pair.tie_P
            loss_P = -F.logsigmoid(delta_P)
        case "davidson":
            counts_P = torch.ones_like(pair.tie_P)
            loss_P = _davidson(delta_P, pair.tie_P, tie_rate)
        case "rao_kupper":
            counts_P = torch.ones_like(pair.tie_P)
            loss_P = _rao_kupper(delta_P, pair.tie_P, tie_rate)
        case _:
            raise ValueError(f"ranking_loss: no ties={ties!r}; there are {', '.join(TIES)}")
    weight_P = torch.ones_like(loss_P) if weight is None else weight[pair.better_P]
    return _mean_of_means((loss_P * weight_P)[counts_P], pair.ranking_P[counts_P])


def _davidson(
    delta_P: Float[Tensor, " P"], tie_P: Bool[Tensor, " P"], tie_rate: float | Float[Tensor, ""]
) -> Float[Tensor, " P"]:
    # All divided by √(π_w π_l): e^(Δ/2), e^(−Δ/2) and ν, so that nothing can overflow.
    rate = _rate(tie_rate, delta_P)
    log_nu_P = torch.log(2 * rate / (1 - rate)).expand_as(delta_P)
    total_P = torch.logsumexp(torch.stack((delta_P / 2, -delta_P / 2, log_nu_P)), dim=0)
    return total_P - torch.where(tie_P, log_nu_P, delta_P / 2)


def _rao_kupper(
    delta_P: Float[Tensor, " P"], tie_P: Bool[Tensor, " P"], tie_rate: float | Float[Tensor, ""]
) -> Float[Tensor, " P"]:
    rate = _rate(tie_rate, delta_P)
    log_theta = torch.log((1 + rate) / (1 - rate))
    win_P, lose_P = F.logsigmoid(delta_P - log_theta), F.logsigmoid(-delta_P - log_theta)
    # θ² − 1 = 4p/(1−p)², which a small p does not round to 0.
    return -torch.where(tie_P, torch.log(4 * rate / (1 - rate).square()) + win_P + lose_P, win_P)


def _rate(tie_rate: float | Float[Tensor, ""], like: Tensor) -> Float[Tensor, ""]:
    rate = torch.as_tensor(tie_rate, dtype=like.dtype, device=like.device)
    if not 0 < rate.item() < 1:
        raise ValueError(f"ranking_loss: tie_rate is {rate.item()}, but must lie between 0 and 1")
    return rate


def plackett_luce_loss(
    score: Float[Tensor, " N"],
    rank: Num[Tensor, " N"],
    group: Int[Tensor, " N"],
    *,
    weight: Float[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """mean over rankings of −log P(ranking),  P = Π_k e^{r_k} / (e^{r_k} + Σ_{worse than k} e^{r_j}).

    Plackett 1975; Luce 1959; as a loss ListMLE, Xia et al. 2008. Ties: as in `ranking_loss` with "drop",
    nothing is said between tie-mates: each is chosen before everything below its tier. With two answers it is
    `ranking_loss`; a ranking of one tier counts for nothing. `weight` as there.
    """
    _ranked(score, rank, group)
    pair = pairs(rank, group)
    better_P, worse_P = pair.better_P[~pair.tie_P], pair.worse_P[~pair.tie_P]
    # −log of a factor is log(1 + Σ e^{−Δ}), with the greatest exponent m taken out.
    minus_delta_P = score[worse_P] - score[better_P]
    most_N = torch.zeros_like(score).scatter_reduce(0, better_P, minus_delta_P.detach(), "amax")
    rest_N = torch.exp(-most_N).index_add(0, better_P, torch.exp(minus_delta_P - most_N[better_P]))
    rankings = pair.ranking_P[~pair.tie_P].unique().numel()
    weight_N = torch.ones_like(score) if weight is None else weight
    return ((most_N + rest_N.log()) * weight_N).sum() / max(rankings, 1)


def aspect_loss(
    logit: Float[Tensor, "N J"], share: Float[Tensor, "N J"], judged: Bool[Tensor, "N J"]
) -> Float[Tensor, ""]:
    """mean over what was judged of −s log σ(z) − (1 − s) log(1 − σ(z)).

    s is 1 for a yes, 0 for a no, or the place of a rating on its scale, between: the logistic regression of a fraction
    (Papke and Wooldridge 1996), whose σ(z) is the expected share. Where nothing is judged, 0 and a gradient of 0.
    """
    total = F.binary_cross_entropy_with_logits(logit[judged], share[judged], reduction="sum")
    return total / judged.sum().clamp(min=1)


def _mean_of_means(loss_P: Float[Tensor, " P"], ranking_P: Int[Tensor, " P"]) -> Float[Tensor, ""]:
    """Σ_P loss/(pairs of its ranking)/(rankings that have pairs). Over nothing: 0, and a gradient of 0."""
    return mean_of_means(loss_P, ranking_P) if len(loss_P) else loss_P.sum()


def _ranked(score_N: Tensor, rank_N: Tensor, group_N: Tensor) -> None:
    assert score_N.ndim == 1, f"scores are one flat vector, not {tuple(score_N.shape)}"
    assert rank_N.shape == group_N.shape == score_N.shape, "score, rank and group go side by side"

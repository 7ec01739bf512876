"""Preferences without a reward model or a rollout: direct preference optimisation and its kin.

B = pairs, N = answers, S = answers that were put beside prompts of others. chosen, rejected: log π(y|x) of a whole
answer, summed over its tokens (the mean where a docstring says so).

`ranking` says which ranking each pair is of. Then the mean is over rankings of the mean over their pairs, so that a
ranking of nine answers with its 36 pairs weighs as much as one of two; without it, it is over pairs.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from biddable.losses.masked import mean_of_means

KINDS = ("sigmoid", "ipo", "hinge", "kto")


def dpo_loss(
    chosen: Float[Tensor, " B"],
    rejected: Float[Tensor, " B"],
    ref_chosen: Float[Tensor, " B"],
    ref_rejected: Float[Tensor, " B"],
    beta: float | int,
    kind: str = "sigmoid",
    label_smoothing: float | int = 0.0,
    ranking: Int[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """mean of ℓ over pairs, by `kind`, with h = (log π/ref)(y_w) − (log π/ref)(y_l).

    sigmoid   −log σ(β h)            Rafailov et al. 2023, eq. 7
    ipo       (h − 1/(2β))²          Azar et al. 2023, eq. 17
    hinge     max(0, 1 − β h)        Zhao et al. 2023 (SLiC-HF), in the form of RSO's hinge-norm, Liu et al. 2023
    kto       ½[1 − σ(β(r_w − z_l))] + ½[1 − σ(β(z_w − r_l))],  r = log π/ref
              L_KTO of Ethayarajh et al. 2024 with λ = 1, on pairs as its authors' `kto_pair`: each side's reference
              point is the other side's KL, z = max(0, mean of r), through which no gradient goes.

    `label_smoothing` ε: the labels are wrong with probability ε, so (1−ε) ℓ(w, l) + ε ℓ(l, w). Mitchell 2023, "A note
    on DPO with noisy preferences", for sigmoid; the same sentence read for the other kinds.
    """
    _pairs(chosen, rejected, ref_chosen, ref_rejected)
    if not beta > 0:
        raise ValueError(f"dpo_loss: beta is {beta}, but must be above 0")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"dpo_loss: label_smoothing is {label_smoothing}, but must be at least 0 and below 0.5")
    win_B, lose_B = chosen - ref_chosen, rejected - ref_rejected
    said_B, unsaid_B = _dpo(win_B, lose_B, beta, kind), _dpo(lose_B, win_B, beta, kind)
    return _mean((1 - label_smoothing) * said_B + label_smoothing * unsaid_B, ranking)


def _dpo(win_B: Float[Tensor, " B"], lose_B: Float[Tensor, " B"], beta: float | int, kind: str) -> Float[Tensor, " B"]:
    match kind:
        case "sigmoid":
            return -F.logsigmoid(beta * (win_B - lose_B))
        case "ipo":
            return (win_B - lose_B - 1 / (2 * beta)).square()
        case "hinge":
            return torch.relu(1 - beta * (win_B - lose_B))
        case "kto":
            win_kl, lose_kl = win_B.detach().mean().clamp(min=0), lose_B.detach().mean().clamp(min=0)
            # 1 − σ(x) is σ(−x), which keeps its digits where σ(x) is near 1.
            return (torch.sigmoid(beta * (lose_kl - win_B)) + torch.sigmoid(beta * (lose_B - win_kl))) / 2
        case _:
            raise ValueError(f"dpo_loss: no kind {kind!r}; there are {', '.join(KINDS)}")


def kto_loss(
    logp: Float[Tensor, " N"],
    ref_logp: Float[Tensor, " N"],
    desirable: Bool[Tensor, " N"],
    kl: Float[Tensor, ""],
    beta: float | int,
    desirable_weight: float | int = 1.0,
    undesirable_weight: float | int = 1.0,
) -> Float[Tensor, ""]:
    """mean over answers of λ_y − v(x, y),  r = log π/ref,  z₀ = `kl`, and no answer needs a partner:

    v = λ_D σ(β(r − z₀)) where y is desirable, λ_U σ(β(z₀ − r)) where it is not.

    KTO: Ethayarajh et al. 2024, eq. 8. Half of `dpo_loss(kind="kto")` is this with the other side's KL as z₀.
    """
    assert logp.ndim == 1, f"log-probabilities of whole answers are a vector, not {tuple(logp.shape)}"
    assert logp.shape == ref_logp.shape == desirable.shape, "log-probabilities and labels go side by side"
    if logp.numel() == 0:
        raise ValueError("kto_loss: no answers are given, so there is nothing to take a mean over")
    if not beta > 0:
        raise ValueError(f"kto_loss: beta is {beta}, but must be above 0")
    above_N = beta * (logp - ref_logp - kl.detach())
    good_N, bad_N = desirable_weight * torch.sigmoid(-above_N), undesirable_weight * torch.sigmoid(above_N)
    return torch.where(desirable, good_N, bad_N).mean()


def kto_reference(stray: Float[Tensor, " S"], ref_stray: Float[Tensor, " S"]) -> Float[Tensor, ""]:
    """z₀ = max(0, mean of log(π/ref)(y'|x)), y' an answer to another prompt than x; no gradient goes through it.

    Ethayarajh et al. 2024, section 4: an estimate of KL(π‖ref) that needs no sampling. It is biased, as they say.
    """
    return (stray - ref_stray).detach().mean().clamp(min=0)


def simpo_loss(
    chosen: Float[Tensor, " B"],
    rejected: Float[Tensor, " B"],
    chosen_length: Int[Tensor, " B"],
    rejected_length: Int[Tensor, " B"],
    beta: float | int,
    gamma: float | int,
    ranking: Int[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """mean of −log σ(β/|y_w| log π(y_w|x) − β/|y_l| log π(y_l|x) − γ). SimPO: Meng et al. 2024, eq. 6. No reference."""
    _pairs(chosen, rejected, chosen_length, rejected_length)
    mean_win_B, mean_lose_B = chosen / chosen_length, rejected / rejected_length
    return _mean(-F.logsigmoid(beta * (mean_win_B - mean_lose_B) - gamma), ranking)


def orpo_loss(
    chosen: Float[Tensor, " B"],
    rejected: Float[Tensor, " B"],
    chosen_length: Int[Tensor, " B"],
    rejected_length: Int[Tensor, " B"],
    ranking: Int[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """L_OR: mean of −log σ(log odds(y_w|x) − log odds(y_l|x)),  odds = P/(1 − P),  log P = log π(y|x)/|y|.

    ORPO: Hong et al. 2024, eq. 4 and 7. No reference. The whole objective is L_SFT + λ L_OR (eq. 6); L_SFT is
    `losses.sft.nll` on the chosen answers.
    """
    _pairs(chosen, rejected, chosen_length, rejected_length)
    log_odds_B = _log_odds(chosen / chosen_length) - _log_odds(rejected / rejected_length)
    return _mean(-F.logsigmoid(log_odds_B), ranking)


def _log_odds(logp_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    # log(1 − e^x): by expm1, since 1 − e^x has no digits left near x = 0. At x = 0 exactly the odds are infinite, so a
    # certain answer is held just below certain.
    logp_B = logp_B.clamp(max=-torch.finfo(logp_B.dtype).eps)
    return logp_B - torch.log(-torch.expm1(logp_B))


def _mean(loss_B: Float[Tensor, " B"], ranking_B: Int[Tensor, " B"] | None) -> Float[Tensor, ""]:
    return loss_B.mean() if ranking_B is None else mean_of_means(loss_B, ranking_B)


def _pairs(chosen_B: Tensor, *other_B: Tensor) -> None:
    assert chosen_B.ndim == 1, f"log-probabilities of whole answers are a vector, not {tuple(chosen_B.shape)}"
    for other in other_B:
        assert other.shape == chosen_B.shape, f"{tuple(other.shape)} beside {tuple(chosen_B.shape)}"
    if chosen_B.numel() == 0:
        raise ValueError("no pairs are given, so there is nothing to take a mean over")

"""Policy gradients without a value network: the baseline is the answer's siblings, or the whole batch.

P = prompts, S = samples of one prompt; B = answers, T = places of an answer, n = tokens that count.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .kl import k3
from .masked import EPSILON, counting, whiten
from .ppo import gae, policy_terms


def leave_one_out(score: Float[Tensor, "P S"]) -> Float[Tensor, "P S"]:
    """Aᵢ = R(yᵢ) − 1/(k−1) Σ_{j≠i} R(yⱼ). RLOO: Kool et al. 2019; Ahmadian et al. 2024."""
    samples = _samples(score)
    return _centred(score) * (samples / (samples - 1))


def group_advantage(score: Float[Tensor, "P S"], scale: bool = True) -> Float[Tensor, "P S"]:
    """Âᵢ = (rᵢ − mean(r))/√(var(r) + 1e-8). GRPO: Shao et al. 2024 (DeepSeekMath), section 4.1.2.

    Without `scale` only the mean goes: Dr. GRPO, Liu et al. 2025, since the division favours prompts that are nearly
    always or nearly never solved. The variance is the biased one, as in `whiten`; with the unbiased one advantages
    would be √((k−1)/k) of these.
    """
    _samples(score)
    centred_PS = _centred(score)
    if not scale:
        return centred_PS
    return centred_PS * torch.rsqrt(centred_PS.square().mean(dim=1, keepdim=True) + EPSILON)


def less_mean(score: Float[Tensor, "P S"]) -> Float[Tensor, "P S"]:
    """Aᵢ = rᵢ − mean(r), over all samples of the prompt. Hu et al. 2025, REINFORCE++ with baseline."""
    _samples(score)
    return _centred(score)


def batch_advantage(
    reward: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], gamma: float | int = 1.0
) -> Float[Tensor, "B T"]:
    """Âₜ = (Aₜ − mean(A))/std(A) over the tokens of the batch,  Aₜ = Σ_{s≥t} γˢ⁻ᵗ rₛ.

    REINFORCE++: Hu et al. 2025 (arXiv 2501.03262): the rewards still to come, the KL's among them, against those of all
    the batch. That sum is PPO's advantage where nobody foresees anything: values 0, λ = 1.
    """
    to_come_BT, _ = gae(reward, torch.zeros_like(reward), mask, gamma, lam=1.0)
    return whiten(to_come_BT, mask)


def grpo_loss(
    logp: Float[Tensor, "B T"],
    old_logp: Float[Tensor, "B T"],
    ref_logp: Float[Tensor, "B T"],
    advantage: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    clip: float | int,
    beta: float | int,
    length: int = 0,
) -> Float[Tensor, ""]:
    """mean over answers of 1/|oᵢ| Σₜ [max(−Âᵢρₜ, −Âᵢ clip(ρₜ, 1−ε, 1+ε)) + β k₃(ref(yₜ)/π(yₜ))].

    Shao et al. 2024, eq. 3 and 4, with the sign of a loss. So each answer weighs the same and a token of a long one
    less, which favours long bad answers: Liu et al. 2025 (Dr. GRPO) divide by one and the same number, the `length` of
    the longest answer that may be.
    """
    term_n = policy_terms(logp, old_logp, advantage, mask, clip)
    term_n = term_n + beta * k3(counting(logp, mask), ref_logp[mask])
    length_B = torch.full_like(mask[:, 0], length, dtype=torch.long) if length else mask.sum(1)
    weight_BT = (1 / length_B.to(term_n.dtype))[:, None].expand_as(logp)
    return (term_n * weight_BT[mask]).sum() / len(mask)


def _centred(score_PS: Float[Tensor, "P S"]) -> Float[Tensor, "P S"]:
    # Less the first sample before less the mean: equal scores then give 0 and not a rounding error, which the division
    # by their tiny spread would blow up into an advantage.
    shifted_PS = score_PS - score_PS[:, :1]
    return shifted_PS - shifted_PS.mean(dim=1, keepdim=True)


def _samples(score_PS: Float[Tensor, "P S"]) -> int:
    assert score_PS.ndim == 2, f"scores are (prompts, samples), not {tuple(score_PS.shape)}"
    if score_PS.shape[1] < 2:
        raise ValueError(
            f"{score_PS.shape[1]} sample(s) of a prompt have no siblings to be compared with: take at least 2"
        )
    return score_PS.shape[1]

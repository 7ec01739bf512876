"""Advantages from siblings: several answers to one prompt are each other's baseline, so no value network is needed.

P = prompts, S = samples of one prompt.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .masked import EPSILON


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

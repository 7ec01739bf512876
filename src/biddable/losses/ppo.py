"""Proximal policy optimisation as InstructGPT has it: one answer, one score, a KL penalty on each token.

B = answers, T = places of an answer; N = tokens that count, V = vocabulary. The mask is True on the tokens that the
policy chose, the end token among them; it may have holes, and padding on either side. All that is said of "the next"
and "the last" token is said of those that count.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .masked import counting, masked_mean

LEAST_VARIANCE = 1e-12  # of returns, in explained_variance


def token_rewards(
    score: Float[Tensor, " B"],
    logp: Float[Tensor, "B T"],
    ref_logp: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    beta: float | int,
) -> Float[Tensor, "B T"]:
    """rₜ = −β (log π(yₜ) − log ref(yₜ)), and + r(x, y) at the last token.

    Ouyang et al. 2022, eq. 2 (its γ term is not a reward: see learn.ppo); spread over tokens as in Ziegler et al. 2019,
    eq. 2 and code `compute_rewards`. Hidden places get 0; a row that is hidden as a whole has no last token, and its
    score goes nowhere.
    """
    assert score.shape == mask.shape[:1]
    _same_shape(mask, logp, ref_logp)
    _nonempty(mask)
    penalty_BT = torch.where(mask, -beta * (logp - ref_logp), 0)
    return penalty_BT + torch.where(_last(mask), score[:, None], 0)


def gae(
    reward: Float[Tensor, "B T"],
    value: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    gamma: float | int,
    lam: float | int,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Advantage and return:  Âₜ = Σₖ (γλ)ᵏ δₜ₊ₖ,  δₜ = rₜ + γ V(sₜ₊₁) − V(sₜ),  Rₜ = Âₜ + V(sₜ).

    Schulman et al. 2016, eq. 16. The episode ends after the last token that counts: V is 0 there. γ is the discount (1
    in InstructGPT), not the paper's coefficient of the pretraining mix. Returns are made before any whitening, from the
    very advantages. Hidden places get 0.
    """
    _same_shape(mask, reward, value)
    _nonempty(mask)
    advantage_B = next_value_B = torch.zeros_like(value[:, 0])
    steps = []
    for t in reversed(range(mask.shape[1])):
        delta_B = reward[:, t] + gamma * next_value_B - value[:, t]
        # A hidden place hands on what it was given, so a hole shortens the episode and does not end it.
        advantage_B = torch.where(mask[:, t], delta_B + gamma * lam * advantage_B, advantage_B)
        next_value_B = torch.where(mask[:, t], value[:, t], next_value_B)
        steps.append(advantage_B)
    advantage_BT = torch.where(mask, torch.stack(steps[::-1], dim=1), 0)
    return advantage_BT, torch.where(mask, advantage_BT + value, 0)


def policy_loss(
    logp: Float[Tensor, "B T"],
    old_logp: Float[Tensor, "B T"],
    advantage: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    clip: float | int,
) -> Float[Tensor, ""]:
    """mean over tokens of max(−Âₜ ρₜ, −Âₜ clip(ρₜ, 1−ε, 1+ε)),  ρₜ = π(yₜ)/π_old(yₜ).

    Schulman et al. 2017, eq. 7, with the sign of a loss.
    """
    return policy_terms(logp, old_logp, advantage, mask, clip).mean()


def policy_terms(
    logp: Float[Tensor, "B T"],
    old_logp: Float[Tensor, "B T"],
    advantage: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    clip: float | int,
) -> Float[Tensor, " n"]:
    """What `policy_loss` is the mean of: one term for each token that counts, answer by answer."""
    _same_shape(mask, logp, old_logp, advantage)
    # Selected before exp: behind the mask the ratio may be inf, and the gradient of 0·inf is NaN.
    ratio_n = torch.exp(counting(logp, mask) - old_logp[mask])
    advantage_n = advantage[mask]
    return torch.maximum(-advantage_n * ratio_n, -advantage_n * ratio_n.clamp(1 - clip, 1 + clip))


def clip_fraction(
    logp: Float[Tensor, "B T"],
    old_logp: Float[Tensor, "B T"],
    advantage: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    clip: float | int,
) -> Float[Tensor, ""]:
    """The share of tokens whose clipped term is the greater, so that they give the policy no gradient.

    Ziegler et al. 2019, code `train_policy.py`, `clipfrac`. 0 on the first minibatch of an iteration, or something is
    wrong with the old log-probabilities.
    """
    _same_shape(mask, logp, old_logp, advantage)
    ratio_BT = torch.exp(logp - old_logp)
    clipped_BT = -advantage * ratio_BT.clamp(1 - clip, 1 + clip) > -advantage * ratio_BT
    return masked_mean(clipped_BT.to(logp.dtype), mask)


def value_loss(
    value: Float[Tensor, "B T"],
    old_value: Float[Tensor, "B T"],
    return_: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    clip: float | int,
) -> Float[Tensor, ""]:
    """½ mean over tokens of max((V − R)², (V_clip − R)²),  V_clip = clip(V, V_old − ε, V_old + ε).

    Not in a paper: Ziegler et al. 2019, code `train_policy.py`, `vf_losses`. ε is in units of the reward, so its width
    depends on the reward model's scale.
    """
    _same_shape(mask, value, old_value, return_)
    value_n, old_value_n, return_n = counting(value, mask), old_value[mask], return_[mask]
    clipped_n = torch.clamp(value_n, old_value_n - clip, old_value_n + clip)
    return torch.maximum((value_n - return_n).square(), (clipped_n - return_n).square()).mean() / 2


def entropy(logit: Float[Tensor, "N V"]) -> Float[Tensor, ""]:
    """mean over tokens of H(π) = −Σ_v π(v) log π(v), in nats: log V for a coin of V sides, 0 for certainty.

    Shannon 1948. Watched and not part of the loss, as InstructGPT has no bonus for it.
    """
    logp_NV = logit.log_softmax(1)
    return -(logp_NV.exp() * logp_NV).sum(1).mean()


def explained_variance(
    value: Float[Tensor, "B T"], return_: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """1 − Var(R − V)/Var(R) over the tokens that count: 1 is a perfect value network, 0 is one that says a constant.

    Not in a paper: usual in PPO codes. Watched only. Where all returns are equal there is nothing to explain, and the
    least variance stands in for 0.
    """
    _same_shape(mask, value, return_)
    spread = counting(return_, mask).var(correction=0).clamp(min=LEAST_VARIANCE)
    return 1 - counting(return_ - value, mask).var(correction=0) / spread


def _last(mask_BT: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """True at the last counting token of a row: the one that counts and has none after it."""
    at_or_after_BT = mask_BT.flip(1).cumsum(1).flip(1)
    return mask_BT & (at_or_after_BT == 1)


def _nonempty(mask_BT: Bool[Tensor, "B T"]) -> None:
    if not mask_BT.any():
        raise ValueError("the mask hides every token of every answer: check the response masks")


def _same_shape(mask_BT: Tensor, *x_BT: Tensor) -> None:
    # Without this a (B,) or (B, 1) would broadcast, and a wrong number come out where an error should.
    assert mask_BT.dtype == torch.bool, f"a mask is bool, not {mask_BT.dtype}"
    assert mask_BT.ndim == 2, f"a mask is (answers, tokens), not {tuple(mask_BT.shape)}"
    for x in x_BT:
        assert x.shape == mask_BT.shape, f"{tuple(x.shape)} beside a mask of {tuple(mask_BT.shape)}"

"""How far the policy has gone from its reference, and a controller that holds it at a distance.

Any shape goes in, and the same comes out: one estimate an element, whose mean over samples of π estimates KL(π‖ref).
An element may be a token or a whole answer (log-probabilities summed).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

ERROR_LIMIT = 0.2  # Ziegler et al. 2019, section 2.2


def k1(logp: Float[Tensor, "*shape"], ref_logp: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """k₁ = −log r,  r = ref(x)/π(x). Schulman 2020, "Approximating KL divergence".

    Unbiased; single terms may be negative, a mean that stays negative is a bug.
    """
    assert logp.shape == ref_logp.shape
    return logp - ref_logp


def k2(logp: Float[Tensor, "*shape"], ref_logp: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """k₂ = ½ (log r)². Schulman 2020. Biased, of low variance; as a loss, on policy, its gradient is that of the KL."""
    return k1(logp, ref_logp).square() / 2


def k3(logp: Float[Tensor, "*shape"], ref_logp: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """k₃ = (r − 1) − log r. Schulman 2020. Unbiased and never negative.

    expm1, because r − 1 has no digits left where the two policies nearly agree, which is where PPO lives.
    """
    log_r = -k1(logp, ref_logp)
    return torch.expm1(log_r) - log_r


class AdaptiveKL:
    """β that seeks a target KL. Ziegler et al. 2019, section 2.2.

    eₜ = clip(KL/KL_target − 1, ±0.2),  βₜ₊₁ = βₜ (1 + eₜ · n/horizon): the paper prints K_β = 0.1 for n/horizon, the
    code counts episodes, and we follow the code. InstructGPT keeps β fixed. `state_dict` carries the whole
    controller through a checkpoint.
    """

    def __init__(self, beta: float | int, target: float | int, horizon: float | int) -> None:
        """`beta` now, `target` in nats an answer, `horizon` in episodes."""
        for name, value in (("beta", beta), ("target", target), ("horizon", horizon)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"AdaptiveKL: {name} is {value}, but must be a positive number")
        self.beta, self.target, self.horizon = float(beta), float(target), float(horizon)

    def update(self, kl: float | int, episodes: int) -> float:
        """Takes the mean KL of an answer over `episodes` answers; gives β for the next ones."""
        if not math.isfinite(kl):
            raise ValueError(f"AdaptiveKL: the KL is {kl}; β would never be a number again")
        if not 0 < episodes * ERROR_LIMIT < self.horizon:
            raise ValueError(
                f"AdaptiveKL: {episodes} episodes at once with a horizon of {self.horizon:g} can bring β to 0"
            )
        error = min(max(kl / self.target - 1, -ERROR_LIMIT), ERROR_LIMIT)
        self.beta *= 1 + error * episodes / self.horizon
        return self.beta

    def state_dict(self) -> dict[str, float]:
        """All there is, for a checkpoint."""
        return {"beta": self.beta, "target": self.target, "horizon": self.horizon}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """The controller as it was."""
        self.beta, self.target, self.horizon = state["beta"], state["target"], state["horizon"]

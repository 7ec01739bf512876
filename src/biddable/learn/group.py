"""RLOO, GRPO and REINFORCE++: policy gradients without a value network, one step on one screen.

B = answers of an iteration, P = its prompts, S = samples of a prompt, T = tokens of the longest answer; b and t are B
and T of a micro-batch, M its answer tokens.

Each answer is compared with others, and not with what a value network foresaw:

    rloo       Ahmadian et al. 2024 (arXiv 2402.14740): with the mean of its siblings. The KL is in the reward; the
               whole answer is one action, of one ratio.
    grpo       Shao et al. 2024 (arXiv 2402.03300): with its prompt's mean, in units of its prompt's deviation. The KL
               is in the loss, as k₃; a ratio a token. Dr. GRPO (Liu et al. 2025, arXiv 2503.20783) is `scale=false
               divide_by=answer_tokens`.
    reinforce  REINFORCE++, Hu et al. 2025 (arXiv 2501.03262): each token's rewards to come, the KL's among them, with
               those of the whole batch. With `baseline`, scores are less their prompt's mean first, and the KL is in
               the loss, as k₂.

None of them has the pretraining mix; here all have it, as PPO-ptx does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Unpack

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from biddable.learn import episodes, loop
from biddable.learn.episodes import ALONE, Actors, Files, GradientSettings, Judged
from biddable.losses.group import batch_advantage, group_advantage, grpo_loss, leave_one_out, less_mean
from biddable.losses.kl import k2
from biddable.losses.masked import masked_mean
from biddable.losses.ppo import clip_fraction, policy_loss, token_rewards
from biddable.model import causal
from biddable.model.forest import Forest, Turns, forests
from biddable.runs import Run
from biddable.sample.local import Rollout
from biddable.text.tokenizer import Ids


class RlooConfig(GradientSettings):
    stage: ClassVar[str] = "rloo"
    fewest: ClassVar[int] = 2

    samples: int = Field(4, gt=0, description="answers to each prompt, at least 2")
    learning_rate: float = Field(1e-6, gt=0, description="after the warmup it stays")
    beta: float = Field(0.03, ge=0, description="β, the KL penalty a token, in the reward")
    clip: float = Field(0.2, gt=0, description="of the ratio of a whole answer")


class GrpoConfig(GradientSettings):
    stage: ClassVar[str] = "grpo"
    fewest: ClassVar[int] = 2

    samples: int = Field(64, gt=0, description="answers to each prompt, at least 2")
    batch: int = Field(1024, gt=0, description="answers an iteration")
    minibatch: int = Field(1024, gt=0, description="answers an update; a random split of the batch by prompts")
    learning_rate: float = Field(1e-6, gt=0, description="after the warmup it stays")
    beta: float = Field(0.04, ge=0, description="β, of the KL in the loss")
    scale: bool = Field(True, description="advantages in units of the prompt's deviation; false is Dr. GRPO")
    divide_by: Literal["length", "answer_tokens"] = Field(
        "length", description="what an answer's sum over its tokens is divided by; answer_tokens is Dr. GRPO"
    )


class ReinforceConfig(GradientSettings):
    stage: ClassVar[str] = "reinforce"

    learning_rate: float = Field(5e-7, gt=0, description="after the warmup it stays")
    beta: float = Field(0.01, ge=0, description="β, the KL penalty a token, in the reward; with baseline in the loss")
    gamma: float = Field(1.0, ge=0, le=1, description="discount of the rewards to come")
    baseline: bool = Field(False, description="scores less their prompt's mean; needs at least 2 samples")

    @model_validator(mode="after")
    def _siblings(self) -> "ReinforceConfig":
        if self.baseline and self.samples < 2:
            raise ValueError(f"samples: {ALONE}, or say baseline=false")
        return self


GroupConfig = RlooConfig | GrpoConfig | ReinforceConfig


@dataclass(frozen=True)
class Credit:
    """A judged batch: answers and, for each of their tokens, what the update needs. Nothing here has a gradient."""

    turns: Turns
    logp_BT: Float[Tensor, "B T"]
    ref_logp_BT: Float[Tensor, "B T"]
    advantage_BT: Float[Tensor, "B T"]

    def take(self, index: Sequence[int]) -> "Credit":
        """Some of them, no wider than they need be."""
        turns = self.turns.take(index)
        t = max(map(len, turns.answers))
        parts = (self.logp_BT, self.ref_logp_BT, self.advantage_BT)
        return Credit(turns, *(x_BT[list(index), :t] for x_BT in parts))


def step(actors: Actors, config: GroupConfig, prompts: Sequence[Ids], pages: Sequence[Ids], seed: int, k: int) -> dict:
    """Iteration k: ask the policy, have its answers judged, compare them, learn. A prompt's samples stand together."""
    where = f"iteration {k + 1}"
    rollout = episodes.sample(actors, config, prompts, seed, k)
    credit, seen = judge(actors, config, rollout, where)

    share = loop.warmup(k, config.warmup_iterations)
    loop.set_rate(actors.policy_optimizer, config.learning_rate * share)
    looks = [
        update(actors, config, credit.take(index), text, where)
        for index, text in episodes.minibatches(config, len(prompts), config.samples, pages, seed, k)
    ]
    episodes.steer(actors, seen["kl"], len(prompts))
    return seen | episodes.together(looks) | {"rate": share}


@torch.no_grad()
def judge(actors: Actors, config: GroupConfig, rollout: Rollout, where: str = "judging") -> tuple[Credit, dict]:
    """Score the answers and compare them."""
    judged, seen = episodes.judge(actors, config, rollout, where)
    if config.samples > 1:  # where it is 0 siblings have nothing to teach
        score_PS = judged.score_B.view(-1, config.samples)
        seen["group_deviation"] = float(score_PS.std(dim=1, correction=0).mean())
    advantage_BT = advantages(config, judged, actors.beta(config))
    return Credit(judged.turns, judged.logp_BT, judged.ref_logp_BT, advantage_BT), seen


def advantages(config: GroupConfig, judged: Judged, beta: float) -> Float[Tensor, "B T"]:
    """How much better each token, or the answer that it is of, did than what it is compared with."""
    score_B, mask_BT = judged.score_B, judged.mask_BT
    match config:
        case RlooConfig():
            advantage_PS = leave_one_out(judged.paid(beta).view(-1, config.samples))
        case GrpoConfig():
            advantage_PS = group_advantage(score_B.view(-1, config.samples), config.scale)
        case ReinforceConfig():
            if config.baseline:
                score_B, beta = less_mean(score_B.view(-1, config.samples)).flatten(), 0.0
            reward_BT = token_rewards(score_B, judged.logp_BT, judged.ref_logp_BT, mask_BT, beta)
            return batch_advantage(reward_BT, mask_BT, config.gamma)
    return advantage_PS.reshape(-1, 1) * mask_BT


def update(actors: Actors, config: GroupConfig, credit: Credit, pages: Sequence[Ids], where: str) -> dict:
    """One minibatch: the policy's gradient, the pretraining text's added to it, and one optimiser step."""
    sums = dict.fromkeys(("ratio", "approx_kl", "clip_fraction", "entropy", "policy_loss"), 0.0)
    for index, forest in forests(credit.turns, config.micro_tokens):
        looks = learn(actors, config, credit.take(index), forest, share_of(config, forest, credit.turns))
        sums = {key: sums[key] + looks[key] for key in sums}

    loop.finite(where, **sums)
    return sums | episodes.move(actors, config, pages, where)


def share_of(config: GroupConfig, forest: Forest, turns: Turns) -> float:
    """A piece's part of what the minibatch's mean is over: tokens in REINFORCE++, answers else."""
    if isinstance(config, ReinforceConfig):
        return len(forest.target_M) / turns.predicted
    return len(forest) / len(turns)


def learn(actors: Actors, config: GroupConfig, credit: Credit, forest: Forest, share: float) -> dict[str, float]:
    """The gradient of a piece that holds `share` of the minibatch: means are over the whole."""
    logp_M, entropy_M = causal.logp_and_entropy(actors.policy, forest, config.temperature)
    mask_bt, logp_bt, old_bt, advantage_bt = (
        forest.answer_AT,
        forest.spread(logp_M),
        credit.logp_BT,
        credit.advantage_BT,
    )
    beta = actors.beta(config)
    match config:
        case RlooConfig():  # the whole answer is one action: log π(y) = Σₜ log π(yₜ)
            logp_bt, old_bt = logp_bt.sum(1, keepdim=True), (old_bt * mask_bt).sum(1, keepdim=True)
            mask_bt, advantage_bt = mask_bt[:, :1], advantage_bt[:, :1]
            loss = policy_loss(logp_bt, old_bt, advantage_bt, mask_bt, config.clip)
        case GrpoConfig():
            length = config.answer_tokens if config.divide_by == "answer_tokens" else 0
            loss = grpo_loss(logp_bt, old_bt, credit.ref_logp_BT, advantage_bt, mask_bt, config.clip, beta, length)
        case ReinforceConfig():
            loss = policy_loss(logp_bt, old_bt, advantage_bt, mask_bt, config.clip)
            if config.baseline:
                loss = loss + beta * masked_mean(k2(logp_bt, credit.ref_logp_BT), mask_bt)
    (loss * share).backward()

    with torch.no_grad():
        looks = {
            "ratio": masked_mean((logp_bt - old_bt).exp(), mask_bt),
            "approx_kl": masked_mean(k2(logp_bt, old_bt), mask_bt),
            "clip_fraction": clip_fraction(logp_bt, old_bt, advantage_bt, mask_bt, config.clip),
            "entropy": entropy_M.mean(),
            "policy_loss": loss.detach(),
        }
    return {key: share * float(look) for key, look in looks.items()}


def train(run: Run, config: GroupConfig, **files: Unpack[Files]) -> Path:
    """The whole stage; returns the folder of the trained policy."""
    return episodes.train(run, config, episodes.assemble, step, files)

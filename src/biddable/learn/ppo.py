"""PPO-ptx (Ouyang et al. 2022, section 3.5 and App. C.4), one step on one screen.

B = answers of an iteration, T = tokens of the longest answer, b and t the same of a micro-batch, M = its answer tokens.

Four networks: the policy, the reference (the start model, frozen), the reward model (frozen), and the value network
with weights of its own, which starts as the reward model, head included. With adapters these are two trunks: the
reference is the policy without its adapters, and the reward model the value network without its own. Where the paper is
silent we follow its predecessors (docs/paper_index.md): λ 0.95, value clip 0.2, whitened advantages, dropout off.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from biddable.learn import episodes, loop, tuning
from biddable.learn.episodes import Files, GradientSettings
from biddable.losses.kl import k2
from biddable.losses.masked import masked_mean, whiten
from biddable.losses.ppo import (
    clip_fraction,
    explained_variance,
    gae,
    policy_loss,
    token_rewards,
    value_loss,
)
from biddable.model import causal
from biddable.model.forest import Forest, Turns, forests
from biddable.model.reward import RewardModel
from biddable.records import Prompt
from biddable.runs import Run
from biddable.sample.local import Rollout
from biddable.text.tokenizer import Ids


class PpoConfig(GradientSettings):
    stage: ClassVar[str] = "ppo"

    value_learning_rate: float = Field(9e-6, gt=0, description="the value network's")
    value_warmup: int = Field(0, ge=0, description="first iterations, in which the value network alone learns")
    value_clip: float = Field(0.2, gt=0, description="the value's clip, in units of the reward")
    gamma: float = Field(1.0, ge=0, le=1, description="discount (not the paper's γ, which is gamma_ptx)")
    lam: float = Field(0.95, ge=0, le=1, description="GAE's λ")
    whiten_rewards: bool = Field(False, description="to variance 1 over the batch's tokens; the mean stays")
    whiten_advantages: bool = Field(True, description="to mean 0 and variance 1 over the batch")


@dataclass(frozen=True)
class Actors(episodes.Actors):
    """The four networks, what updates two of them, and the policy's running average."""

    value: RewardModel
    value_optimizer: Optimizer

    @property
    def learners(self) -> dict[str, tuple[nn.Module, Optimizer]]:
        return super().learners | {"value": (self.value, self.value_optimizer)}


@dataclass(frozen=True)
class Credit:
    """A judged batch: answers and, for each of their tokens, what the update needs. Nothing here has a gradient."""

    turns: Turns
    logp_BT: Float[Tensor, "B T"]
    value_BT: Float[Tensor, "B T"]
    advantage_BT: Float[Tensor, "B T"]
    return_BT: Float[Tensor, "B T"]

    def take(self, index: Sequence[int]) -> "Credit":
        """Some of them, no wider than they need be."""
        turns = self.turns.take(index)
        t = max(map(len, turns.answers))
        parts = (self.logp_BT, self.value_BT, self.advantage_BT, self.return_BT)
        return Credit(turns, *(x_BT[list(index), :t] for x_BT in parts))


def step(actors: Actors, config: PpoConfig, prompts: Sequence[Ids], pages: Sequence[Ids], seed: int, k: int) -> dict:
    """Iteration k: ask the policy, have its answers judged, credit each token, learn."""
    where = f"iteration {k + 1}"
    rollout = episodes.sample(actors, config, prompts, seed, k)
    credit, seen = judge(actors, config, rollout, where)

    waiting = k < config.value_warmup
    share = loop.warmup(max(0, k - config.value_warmup), config.warmup_iterations)
    loop.set_rate(actors.policy_optimizer, config.learning_rate * share)
    loop.set_rate(actors.value_optimizer, config.value_learning_rate * loop.warmup(k, config.warmup_iterations))
    looks = []
    for index, text in episodes.minibatches(config, len(prompts), config.samples, pages, seed, k):
        if waiting:
            looks.append(update_value(actors, config, credit.take(index), where))
        else:
            looks.append(update(actors, config, credit.take(index), text, where))
    if not waiting:  # while the policy waits its KL is 0, which says nothing of β
        episodes.steer(actors, seen["kl"], len(prompts))
    return seen | episodes.together(looks) | {"rate": 0.0 if waiting else share}


@torch.no_grad()
def judge(actors: Actors, config: PpoConfig, rollout: Rollout, where: str = "judging") -> tuple[Credit, dict]:
    """Score the answers, credit their tokens. The sampler's log-probabilities are the old ones, being this policy's."""
    judged, seen = episodes.judge(actors, config, rollout, where)
    mask_BT, logp_BT = judged.mask_BT, judged.logp_BT
    value_BT = causal.in_pieces(actors.value.values, judged.turns, config.micro_tokens)
    loop.finite(where, value=value_BT)
    reward_BT = token_rewards(judged.score_B, logp_BT, judged.ref_logp_BT, mask_BT, actors.beta(config))
    if config.whiten_rewards:
        reward_BT = whiten(reward_BT, mask_BT, shift_mean=False)
    advantage_BT, return_BT = gae(reward_BT, value_BT, mask_BT, config.gamma, config.lam)
    if config.whiten_advantages:
        advantage_BT = whiten(advantage_BT, mask_BT)
    seen["value"] = float(masked_mean(value_BT, mask_BT))
    seen["explained_variance"] = float(explained_variance(value_BT, return_BT, mask_BT))
    return Credit(judged.turns, logp_BT, value_BT, advantage_BT, return_BT), seen


def update(actors: Actors, config: PpoConfig, credit: Credit, pages: Sequence[Ids], where: str) -> dict:
    """One minibatch: PPO's gradient, the pretraining text's added to it, and one optimiser step (paper, App. C.4)."""
    sums = dict.fromkeys(("ratio", "approx_kl", "clip_fraction", "entropy", "policy_loss", "value_loss"), 0.0)
    for index, forest in forests(credit.turns, config.micro_tokens):
        looks = learn(actors, config, credit.take(index), forest, len(forest.target_M) / credit.turns.predicted)
        sums = {key: sums[key] + looks[key] for key in sums}

    loop.finite(where, **sums)
    sums |= episodes.move(actors, config, pages, where)
    sums["value_gradient"] = loop.step(actors.value_optimizer, config, f"{where}: value")
    return sums


def update_value(actors: Actors, config: PpoConfig, credit: Credit, where: str) -> dict:
    """One minibatch of the value network alone."""
    loss = 0.0
    for index, forest in forests(credit.turns, config.micro_tokens):
        loss += learn_value(actors, config, credit.take(index), forest, len(forest.target_M) / credit.turns.predicted)
    loop.finite(where, value_loss=loss)
    return {"value_loss": loss, "value_gradient": loop.step(actors.value_optimizer, config, f"{where}: value")}


def learn(actors: Actors, config: PpoConfig, credit: Credit, forest: Forest, share: float) -> dict[str, float]:
    """The gradients of a piece that holds `share` of the minibatch's tokens: means are over those of the whole."""
    mask_bt = forest.answer_AT
    logp_M, entropy_M = causal.logp_and_entropy(actors.policy, forest, config.temperature)
    logp_bt = forest.spread(logp_M)
    loss = policy_loss(logp_bt, credit.logp_BT, credit.advantage_BT, mask_bt, config.clip)
    (loss * share).backward()
    value_cost = learn_value(actors, config, credit, forest, share)

    with torch.no_grad():
        looks = {
            "ratio": masked_mean((logp_bt - credit.logp_BT).exp(), mask_bt),
            "approx_kl": masked_mean(k2(logp_bt, credit.logp_BT), mask_bt),
            "clip_fraction": clip_fraction(logp_bt, credit.logp_BT, credit.advantage_BT, mask_bt, config.clip),
            "entropy": entropy_M.mean(),
            "policy_loss": loss.detach(),
        }
    return {key: share * float(look) for key, look in looks.items()} | {"value_loss": value_cost}


def learn_value(actors: Actors, config: PpoConfig, credit: Credit, forest: Forest, share: float) -> float:
    """The value network's gradient of such a piece; returns its part of the loss."""
    value_bt = actors.value.values(forest)
    cost = value_loss(value_bt, credit.value_BT, credit.return_BT, forest.answer_AT, config.value_clip)
    (cost * share).backward()
    return share * float(cost.detach())


def train(run: Run, config: PpoConfig, **files: Unpack[Files]) -> Path:
    """The whole stage; returns the folder of the trained policy."""
    return episodes.train(run, config, assemble, step, files)


def assemble(config: PpoConfig, start: Path, reward_model: Path, asked: Sequence[Prompt], seed: int = 0) -> Actors:
    """Load the four networks."""
    actors = episodes.assemble(config, start, reward_model, asked, seed)
    value = value_network(config, actors, seed)
    # Of the value network's trunk only what its head reads is trained: the unembedding gets no gradient, ever.
    value_optimizer = loop.adamw(value, config.value_learning_rate, config)
    return Actors(**vars(actors), value=value, value_optimizer=value_optimizer)


def value_network(config: PpoConfig, actors: episodes.Actors, seed: int) -> RewardModel:
    """The reward model again, with weights of its own; or with a head and adapters of its own on the same trunk.

    Off, they leave the reward model as it was, so that with adapters two trunks are held and not four.
    """
    if actors.read:  # the judge cannot read the policy's tokens: it is the start model, with a head yet to learn
        return RewardModel(copy.deepcopy(actors.policy), torch.Generator().manual_seed(0)).eval()
    shared = {id(actors.judge.lm): actors.judge.lm} if config.lora_rank else {}
    value = copy.deepcopy(actors.judge, shared).requires_grad_(True)
    tuning.adapt(value.lm, config, seed, "value")
    return value

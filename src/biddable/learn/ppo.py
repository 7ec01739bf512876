"""PPO-ptx (Ouyang et al. 2022, section 3.5 and App. C.4), one step on one screen.

B = answers of an iteration, T = tokens of the longest answer, b and t the same of a micro-batch, M = its answer tokens.

Four networks: the policy, the reference (the start model, frozen), the reward model (frozen), and the value network
with weights of its own, which starts as the reward model, head included. Where the paper is silent we follow its
predecessors (docs/paper_index.md): λ 0.95, value clip 0.2, whitened advantages, dropout off.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from biddable.config import ConfigError
from biddable.learn import loop, sft
from biddable.learn.held_out import Best, onlooker
from biddable.learn.loop import OptimizerSettings, stream
from biddable.losses.kl import k1, k2
from biddable.losses.masked import masked_mean, whiten
from biddable.losses.ppo import (
    clip_fraction,
    explained_variance,
    gae,
    policy_loss,
    token_rewards,
    value_loss,
)
from biddable.model import causal, checkpoint, reward
from biddable.model.forest import Forest, Turns, forests, unprompted
from biddable.model.reward import RewardModel
from biddable.runs import Run
from biddable.sample.local import Rollout, respond
from biddable.text import snapshots
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids


class PpoConfig(OptimizerSettings):
    episodes: int = Field(256_000, gt=0, description="answers sampled in all; rounded up to whole iterations")
    batch: int = Field(512, gt=0, description="answers an iteration")
    minibatch: int = Field(64, gt=0, description="answers an update; a random split of the batch")
    inner_epochs: int = Field(1, gt=0, description="passes over each batch")
    learning_rate: float = Field(9e-6, gt=0, description="the policy's; the paper swept 2.55e-6 … 2.55e-5, per size")
    value_learning_rate: float = Field(9e-6, gt=0, description="the value network's")
    warmup_iterations: int = Field(10, ge=0, description="from 1/10 of the rate, then constant")
    beta: float = Field(0.02, ge=0, description="β, the KL penalty a token, in the reward")
    clip: float = Field(0.2, gt=0, description="the policy ratio's clip")
    value_clip: float = Field(0.2, gt=0, description="the value's clip, in units of the reward")
    gamma: float = Field(1.0, ge=0, le=1, description="discount (not the paper's γ, which is gamma_ptx)")
    lam: float = Field(0.95, ge=0, le=1, description="GAE's λ")
    whiten_advantages: bool = Field(True, description="to mean 0 and variance 1 over the batch")
    gamma_ptx: float = Field(27.8, ge=0, description="γ, on pretraining text's mean log-likelihood a token; 0 is PPO")
    ptx_ratio: float = Field(8.0, ge=0, description="pretraining examples an episode")
    ptx_tokens: int = Field(2048, gt=1, description="longest pretraining example; longer ones are cut in several")
    temperature: float = Field(1.0, gt=0, description="of sampling, and of every log-probability")
    prompt_tokens: int = Field(1024, gt=0, description="longer prompts are left out")
    answer_tokens: int = Field(1024, gt=0, description="an answer without its end by then is cut")
    missing_end_penalty: float = Field(
        1.0, ge=0, description="taken off the score of an answer that did not end; 0 is off"
    )
    ema: float = Field(0.992, ge=0, lt=1, description="decay of the averaged weights, an update; 0 keeps none")
    save_ema: bool = Field(True, description="the result is the averaged weights, else the last ones")
    checkpoint_every: int = Field(10, gt=0, description="iterations")
    valid_every: int = Field(0, ge=0, description="iterations between looks at held-out prompts; 0 is never")
    patience: int = Field(0, ge=0, description="looks without a better held-out reward before stopping; 0 is never")


@dataclass(frozen=True)
class Actors:
    """The four networks, what updates two of them, and the policy's running average."""

    policy: PreTrainedModel
    reference: PreTrainedModel
    judge: RewardModel
    value: RewardModel
    tokenizer: Tokenizer
    policy_optimizer: Optimizer
    value_optimizer: Optimizer
    average: list[Tensor]  # float32, in the order of policy.parameters(); empty without an EMA


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
    rollout = respond(
        actors.policy, actors.tokenizer, prompts, config.answer_tokens,
        generator=stream(seed, "ppo", "rollout", k), temperature=config.temperature,
    )  # fmt: skip
    credit, seen = judge(actors, config, rollout, f"iteration {k + 1}")

    share = loop.warmup(k, config.warmup_iterations)
    loop.set_rate(actors.policy_optimizer, config.learning_rate * share)
    loop.set_rate(actors.value_optimizer, config.value_learning_rate * share)
    looks = []
    for inner in range(config.inner_epochs):
        order_B = torch.randperm(len(prompts), generator=stream(seed, "ppo", "minibatch", k, inner))
        parts = order_B.split(config.minibatch)
        for nth, index_b in enumerate(parts):
            text = pages[nth * len(pages) // len(parts) : (nth + 1) * len(pages) // len(parts)]
            looks.append(update(actors, config, credit.take(index_b.tolist()), text, f"iteration {k + 1}"))
    first, mean = looks[0], {key: sum(look[key] for look in looks) / len(looks) for key in looks[0]}
    return seen | mean | {"first_ratio": first["ratio"], "first_kl": first["approx_kl"], "rate": share}


@torch.no_grad()
def judge(actors: Actors, config: PpoConfig, rollout: Rollout, where: str = "judging") -> tuple[Credit, dict]:
    """Score the answers, credit their tokens. The sampler's log-probabilities are the old ones, being this policy's."""
    turns, mask_BT, logp_BT = rollout.turns, rollout.mask_BT, rollout.logp_BT
    score_B = reward.scores(actors.judge, turns, config.micro_tokens)
    judged_B = score_B - config.missing_end_penalty * ~rollout.finished_B
    ref_logp_BT = causal.in_pieces(
        lambda forest: forest.spread(causal.answer_logp(actors.reference, forest, config.temperature)),
        turns,
        config.micro_tokens,
    )
    value_BT = causal.in_pieces(actors.value.values, turns, config.micro_tokens)
    loop.finite(where, score=score_B, logp=logp_BT, reference_logp=ref_logp_BT, value=value_BT)
    reward_BT = token_rewards(judged_B, logp_BT, ref_logp_BT, mask_BT, config.beta)
    advantage_BT, return_BT = gae(reward_BT, value_BT, mask_BT, config.gamma, config.lam)
    if config.whiten_advantages:
        advantage_BT = whiten(advantage_BT, mask_BT)
    seen = {
        "reward": reward_BT.sum(1).mean(),
        "score": score_B.mean(),
        "kl": (k1(logp_BT, ref_logp_BT) * mask_BT).sum(1).mean(),
        "length": mask_BT.sum(1).float().mean(),
        "end_rate": rollout.finished_B.float().mean(),
        "value": masked_mean(value_BT, mask_BT),
        "explained_variance": explained_variance(value_BT, return_BT, mask_BT),
    }
    return Credit(turns, logp_BT, value_BT, advantage_BT, return_BT), {key: float(x) for key, x in seen.items()}


def update(actors: Actors, config: PpoConfig, credit: Credit, pages: Sequence[Ids], where: str) -> dict:
    """One minibatch: PPO's gradient, the pretraining text's added to it, and one optimiser step (paper, App. C.4)."""
    sums = dict.fromkeys(("ratio", "approx_kl", "clip_fraction", "entropy", "policy_loss", "value_loss"), 0.0)
    for index, forest in forests(credit.turns, config.micro_tokens):
        looks = learn(actors, config, credit.take(index), forest, len(forest.target_M) / credit.turns.predicted)
        sums = {key: sums[key] + looks[key] for key in sums}

    loop.finite(where, **sums)
    gradient = loop.gradients(actors.policy)
    sums["policy_gradient"] = loop.norm(gradient)
    if pages:
        before = [g.clone() for g in gradient]
        # No optimiser step of its own: that would be another Adam.
        sums["ptx_loss"] = sft.gradient(actors.policy, unprompted(pages), config.micro_tokens, config.gamma_ptx)
        loop.finite(where, ptx_loss=sums["ptx_loss"])
        sums["ptx_gradient"] = loop.norm(torch._foreach_sub(loop.gradients(actors.policy), before))
    loop.step(actors.policy_optimizer, config, f"{where}: policy")
    sums["value_gradient"] = loop.step(actors.value_optimizer, config, f"{where}: value")
    if actors.average:
        with torch.no_grad():
            torch._foreach_lerp_(actors.average, [p.float() for p in actors.policy.parameters()], 1 - config.ema)
    return sums


def learn(actors: Actors, config: PpoConfig, credit: Credit, forest: Forest, share: float) -> dict[str, float]:
    """The gradients of a piece that holds `share` of the minibatch's tokens: means are over those of the whole."""
    mask_bt = forest.answer_AT
    logp_M, entropy_M = causal.logp_and_entropy(actors.policy, forest, config.temperature)
    logp_bt = forest.spread(logp_M)
    loss = policy_loss(logp_bt, credit.logp_BT, credit.advantage_BT, mask_bt, config.clip)
    (loss * share).backward()

    value_bt = actors.value.values(forest)
    value_cost = value_loss(value_bt, credit.value_BT, credit.return_BT, mask_bt, config.value_clip)
    (value_cost * share).backward()

    with torch.no_grad():
        looks = {
            "ratio": masked_mean((logp_bt - credit.logp_BT).exp(), mask_bt),
            "approx_kl": masked_mean(k2(logp_bt, credit.logp_BT), mask_bt),
            "clip_fraction": clip_fraction(logp_bt, credit.logp_BT, credit.advantage_BT, mask_bt, config.clip),
            "entropy": entropy_M.mean(),
            "policy_loss": loss.detach(),
            "value_loss": value_cost.detach(),
        }
    return {key: share * float(look) for key, look in looks.items()}


def train(
    run: Run,
    config: PpoConfig,
    *,
    start: Path,
    reward_model: Path,
    prompts: Path,
    pages: Path | None = None,
    valid: Path | None = None,
    held_out: Path | None = None,
) -> Path:
    """The whole stage; returns the folder of the trained policy.

    `held_out` is a reward model that the policy is not trained on: with `valid` prompts and `patience` it says when to
    stop, since the training reward only ever rises.
    """
    actors = assemble(config, start, reward_model)
    pool = fitting(config, actors, prompts)
    text = ptx_pages(config, actors, pages)
    looks = onlooker(valid, held_out, actors.tokenizer, config.answer_tokens, config.prompt_tokens, config.micro_tokens)
    if config.patience and not (looks and config.valid_every):
        raise ConfigError("patience: needs valid_every, valid prompts and a held-out reward model to look on")
    iterations = -(-config.episodes // config.batch)
    first, best = resume(run, actors)

    with run.steps("ppo", iterations, first, "iterations") as bar:
        for k in range(first, iterations):
            if best.tired(config.patience):
                break
            places = loop.endless(len(pool), k * config.batch, config.batch, run.seed, "ppo", "prompts")
            count = round(config.batch * config.ptx_ratio) if text else 0
            pieces = loop.endless(len(text), k * count, count, run.seed, "ppo", "pages") if text else []
            seen = step(actors, config, [pool[i] for i in places], [text[i] for i in pieces], run.seed, k)
            if looks and config.valid_every and (k + 1) % config.valid_every == 0:
                seen |= looks.look(actors.policy)
                best = best.after(seen["held_out_score"], k + 1, result(config, actors))
            run.log(k + 1, **seen)
            bar.advance()
            due = (k + 1) % config.checkpoint_every == 0 or k + 1 == iterations or best.tired(config.patience)
            if due or run.leaving:
                keep(run, actors, best, k + 1)
    loop.put(actors.policy, best.weights if config.patience and best.weights else result(config, actors))
    return run.output("model", causal.save(actors.policy, actors.tokenizer, run.folder / "model"))


def assemble(config: PpoConfig, start: Path, reward_model: Path) -> Actors:
    """Load the four networks. All in eval mode for good: dropout would make every log-probability another one."""
    policy, tokenizer = causal.load(start)
    judge, judge_tokenizer = reward.load(reward_model)
    if judge_tokenizer.get_vocab() != tokenizer.get_vocab():
        raise ConfigError(
            f"{reward_model}: its tokenizer is not that of {start}; the reward model must read the same tokens"
        )
    reference, value = copy.deepcopy(policy), copy.deepcopy(judge)
    reference.requires_grad_(False)
    judge.requires_grad_(False)
    policy_optimizer = loop.adamw(policy, config.learning_rate, config)
    # Of the value network's trunk only what its head reads is trained: the unembedding gets no gradient, ever.
    value_optimizer = loop.adamw(value, config.value_learning_rate, config)
    average = loop.copied(policy) if config.ema else []
    return Actors(policy, reference, judge, value, tokenizer, policy_optimizer, value_optimizer, average)


def fitting(config: PpoConfig, actors: Actors, path: Path) -> list[Ids]:
    """The prompts that leave room for an answer."""
    room = min(causal.context(actors.policy), causal.context(actors.judge.lm)) - config.answer_tokens
    if room < 1:
        raise ConfigError(f"answer_tokens: {config.answer_tokens} leaves no room for a prompt in the model's context")
    every = prompt_ids(actors.tokenizer, [prompt.text for prompt in snapshots.prompts(path)])
    pool = [ids for ids in every if len(ids) <= min(room, config.prompt_tokens)]
    if not pool:
        raise ValueError(f"{path}: all {len(every)} prompts are longer than {min(room, config.prompt_tokens)} tokens")
    return pool


def ptx_pages(config: PpoConfig, actors: Actors, path: Path | None) -> list[Ids]:
    """The pretraining text; none for plain PPO."""
    if config.gamma_ptx == 0 or config.ptx_ratio == 0:
        return []
    if path is None:
        raise ConfigError(
            f"gamma_ptx: is {config.gamma_ptx}, but no pretraining text is given; gamma_ptx=0 is plain PPO"
        )
    return snapshots.pages(path, actors.tokenizer, min(config.ptx_tokens, causal.context(actors.policy)))


def result(config: PpoConfig, actors: Actors) -> list[Tensor]:
    """The weights that the stage would leave now."""
    return actors.average if actors.average and config.save_ema else loop.copied(actors.policy)


def keep(run: Run, actors: Actors, best: Best, k: int) -> None:
    """All that iteration k+1 hangs on, besides the seed: nothing of a rollout, since iterations are whole."""
    tensors = checkpoint.parameters("policy", actors.policy) | checkpoint.parameters("value", actors.value)
    tensors |= checkpoint.moments("policy_adam", actors.policy_optimizer)
    tensors |= checkpoint.moments("value_adam", actors.value_optimizer)
    tensors |= checkpoint.listed("average", actors.average) | checkpoint.listed("best", best.weights)
    state = {"score": best.score if best.weights else None, "iteration": best.iteration, "waited": best.waited}
    loop.keep(run, k, tensors, {"best": state})


def resume(run: Run, actors: Actors) -> tuple[int, Best]:
    """Put the newest checkpoint into the actors; returns the iteration to do next."""
    saved = loop.resume(run)
    if saved is None:
        return 0, Best()
    checkpoint.restore("policy", actors.policy, saved.tensors)
    checkpoint.restore("value", actors.value, saved.tensors)
    checkpoint.restore_moments("policy_adam", actors.policy_optimizer, saved.tensors)
    checkpoint.restore_moments("value_adam", actors.value_optimizer, saved.tensors)
    for mine, kept in zip(actors.average, checkpoint.unlisted("average", saved.tensors), strict=True):
        mine.copy_(kept)
    state = saved.state["best"]
    if state["score"] is None:
        return saved.step, Best(waited=state["waited"])
    weights = checkpoint.unlisted("best", saved.tensors)
    return saved.step, Best(state["score"], state["iteration"], state["waited"], weights)

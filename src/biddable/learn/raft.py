"""RAFT (Dong et al. 2023): sample, keep the best by the reward model, learn them as if they were demonstrations.

An iteration asks the policy for k answers to each of some prompts, ranks them by the reward, and takes supervised steps
on those that are kept: the best one of each prompt (best of n), or the best 1/k of all answers, where hard prompts may
have none. There is no value network, no reference and no ratio; what keeps the policy near its start is that it learns
only what it said itself, and the pretraining text, if there is any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
from biddable.model import causal, checkpoint, reward
from biddable.model.forest import Turns, unprompted
from biddable.model.reward import RewardModel
from biddable.runs import Run
from biddable.sample.local import Rollout, respond
from biddable.text import snapshots
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids


class RaftConfig(OptimizerSettings):
    iterations: int = Field(20, gt=0, description="times that the policy is asked anew")
    batch: int = Field(512, gt=0, description="prompts an iteration")
    k: int = Field(8, gt=1, description="answers to each prompt")
    keep: Literal["prompt", "all"] = Field(
        "prompt", description="the best answer of each prompt, or the best 1/k of all"
    )
    minibatch: int = Field(64, gt=0, description="answers an update; a random split of those that are kept")
    inner_epochs: int = Field(1, gt=0, description="passes over those that are kept")
    learning_rate: float = Field(2e-5, gt=0, description="peak; along a cosine to 10 % over the iterations, no warmup")
    gamma_ptx: float = Field(0.0, ge=0, description="on pretraining text's mean log-likelihood a token; 0 is none")
    ptx_ratio: float = Field(1.0, ge=0, description="pretraining examples an answer that is kept")
    ptx_tokens: int = Field(2048, gt=1, description="longest pretraining example; longer ones are cut in several")
    temperature: float = Field(1.0, gt=0, description="of sampling")
    prompt_tokens: int = Field(1024, gt=0, description="longer prompts are left out")
    answer_tokens: int = Field(1024, gt=0, description="an answer without its end by then is cut")
    missing_end_penalty: float = Field(1.0, ge=0, description="taken off the score of an answer that did not end")
    checkpoint_every: int = Field(1, gt=0, description="iterations")
    valid_every: int = Field(0, ge=0, description="iterations between looks at held-out prompts; 0 is never")
    patience: int = Field(0, ge=0, description="looks without a better held-out reward before stopping; 0 is never")


@dataclass(frozen=True)
class Actors:
    """The policy, who judges it, and what updates it."""

    policy: PreTrainedModel
    judge: RewardModel
    tokenizer: Tokenizer
    optimizer: Optimizer


def step(actors: Actors, config: RaftConfig, prompts: Sequence[Ids], pages: Sequence[Ids], seed: int, k: int) -> dict:
    """Iteration k: ask, judge, keep the best, learn them."""
    where = f"iteration {k + 1}"
    rollout = respond(
        actors.policy, actors.tokenizer, [prompt for prompt in prompts for _ in range(config.k)], config.answer_tokens,
        generator=stream(seed, "raft", "rollout", k), temperature=config.temperature,
    )  # fmt: skip
    score_B = reward.scores(actors.judge, rollout.turns, config.micro_tokens)
    loop.finite(where, score=score_B, logp=rollout.logp_BT)
    kept = best_of(config, rollout, score_B)

    loop.set_rate(actors.optimizer, config.learning_rate * loop.cosine(k, config.iterations))
    turns, losses = rollout.turns.take(kept), []
    for inner in range(config.inner_epochs):
        order = loop.shuffled(len(turns), stream(seed, "raft", "minibatch", k, inner))
        parts = loop.batches(order, config.minibatch)
        for nth, index in enumerate(parts):
            text = pages[nth * len(pages) // len(parts) : (nth + 1) * len(pages) // len(parts)]
            losses.append(update(actors, config, turns.take(index), text, where))
    return {
        "score": float(score_B.mean()),
        "kept_score": float(score_B[kept].mean()),
        "kept_prompts": len({i // config.k for i in kept}),
        "length": float(rollout.mask_BT.sum(1).float().mean()),
        "end_rate": float(rollout.finished_B.float().mean()),
        **{name: sum(loss[name] for loss in losses) / len(losses) for name in losses[0]},
    }


def best_of(config: RaftConfig, rollout: Rollout, score_B: Float[Tensor, " B"]) -> list[int]:
    """The places of the answers that are kept: as many as there are prompts. Of equals the first."""
    judged_B = score_B - config.missing_end_penalty * (~rollout.finished_B)
    if config.keep == "prompt":
        first_P = torch.arange(0, len(judged_B), config.k)
        return (first_P + judged_B.view(-1, config.k).argmax(1)).tolist()
    return sorted(judged_B.argsort(descending=True, stable=True)[: len(judged_B) // config.k].tolist())


def update(actors: Actors, config: RaftConfig, turns: Turns, pages: Sequence[Ids], where: str) -> dict[str, float]:
    """One supervised step, pretraining text's gradient added to it."""
    seen = {"loss": sft.gradient(actors.policy, turns, config.micro_tokens)}
    if pages:
        seen["ptx_loss"] = sft.gradient(actors.policy, unprompted(pages), config.micro_tokens, config.gamma_ptx)
    loop.finite(where, **seen)
    return seen | {"gradient": loop.step(actors.optimizer, config, where)}


def train(
    run: Run,
    config: RaftConfig,
    *,
    start: Path,
    reward_model: Path,
    prompts: Path,
    pages: Path | None = None,
    valid: Path | None = None,
    held_out: Path | None = None,
) -> Path:
    """The whole stage; returns the folder of the trained policy. `valid` and `held_out` say when to stop, as in PPO."""
    if config.gamma_ptx and pages is None:
        raise ConfigError(f"gamma_ptx: is {config.gamma_ptx}, but no pretraining text is given; give pages")
    actors = assemble(config, start, reward_model)
    pool = fitting(config, actors, prompts)
    context = causal.context(actors.policy)
    text = snapshots.pages(pages, actors.tokenizer, min(config.ptx_tokens, context)) if pages else []
    mixed = round(config.batch * config.inner_epochs * config.ptx_ratio) if config.gamma_ptx else 0
    looks = onlooker(valid, held_out, actors.tokenizer, config.answer_tokens, config.prompt_tokens, config.micro_tokens)
    if config.patience and not (looks and config.valid_every):
        raise ConfigError("patience: needs valid_every, valid prompts and a held-out reward model to look on")

    first, best = resume(run, actors)
    with run.steps("raft", config.iterations, first, "iterations") as bar:
        for k in range(first, config.iterations):
            if best.tired(config.patience):
                break
            places = loop.endless(len(pool), k * config.batch, config.batch, run.seed, "raft", "prompts")
            pieces = loop.endless(len(text), k * mixed, mixed, run.seed, "raft", "pages")
            seen = step(actors, config, [pool[i] for i in places], [text[i] for i in pieces], run.seed, k)
            if looks and config.valid_every and (k + 1) % config.valid_every == 0:
                seen |= looks.look(actors.policy)
                best = best.after(seen["held_out_score"], k + 1, loop.copied(actors.policy))
            run.log(k + 1, **seen)
            bar.advance()
            due = (k + 1) % config.checkpoint_every == 0 or k + 1 == config.iterations or best.tired(config.patience)
            if due or run.leaving:
                keep(run, actors, best, k + 1)
    if config.patience and best.weights:
        loop.put(actors.policy, best.weights)
    return run.output("model", causal.save(actors.policy, actors.tokenizer, run.folder / "model"))


def assemble(config: RaftConfig, start: Path, reward_model: Path) -> Actors:
    """Load both networks, in eval mode for good."""
    policy, tokenizer = causal.load(start)
    judge, judge_tokenizer = reward.load(reward_model)
    if judge_tokenizer.get_vocab() != tokenizer.get_vocab():
        raise ConfigError(
            f"{reward_model}: its tokenizer is not that of {start}; the reward model must read the same tokens"
        )
    judge.requires_grad_(False)
    return Actors(policy, judge, tokenizer, loop.adamw(policy, config.learning_rate, config))


def fitting(config: RaftConfig, actors: Actors, path: Path) -> list[Ids]:
    """The prompts that leave room for an answer."""
    room = min(causal.context(actors.policy), causal.context(actors.judge.lm)) - config.answer_tokens
    every = prompt_ids(actors.tokenizer, snapshots.prompts(path))
    pool = [ids for ids in every if len(ids) <= min(room, config.prompt_tokens)]
    if not pool:
        raise ConfigError(
            f"{path}: no prompt fits: with answer_tokens={config.answer_tokens} and prompt_tokens="
            f"{config.prompt_tokens} there is room for {max(0, min(room, config.prompt_tokens))} tokens"
        )
    return pool


def keep(run: Run, actors: Actors, best: Best, k: int) -> None:
    """All that iteration k+1 hangs on, besides the seed."""
    tensors = checkpoint.parameters("policy", actors.policy) | checkpoint.moments("adam", actors.optimizer)
    tensors |= checkpoint.listed("best", best.weights)
    state = {"score": best.score if best.weights else None, "iteration": best.iteration, "waited": best.waited}
    loop.keep(run, k, tensors, {"best": state})


def resume(run: Run, actors: Actors) -> tuple[int, Best]:
    """Put the newest checkpoint into the actors; returns the iteration to do next."""
    saved = loop.resume(run)
    if saved is None:
        return 0, Best()
    checkpoint.restore("policy", actors.policy, saved.tensors)
    checkpoint.restore_moments("adam", actors.optimizer, saved.tensors)
    state = saved.state["best"]
    if state["score"] is None:
        return saved.step, Best(waited=state["waited"])
    weights = checkpoint.unlisted("best", saved.tensors)
    return saved.step, Best(state["score"], state["iteration"], state["waited"], weights)

"""Supervised fine-tuning on demonstrations (Ouyang et al. 2022, section 3.5 and App. C.1).

Validation loss rises after the first epoch while people's ratings still rise: with a reward model the epoch is chosen
by the mean score of sampled answers, as the paper does, and only without one by loss.

The paper's residual dropout of 0.2 cannot be had in transformers' Llama, which has none; `attention_dropout` is offered
in its place and is off by default.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from biddable.learn import loop, tuning
from biddable.learn.loop import stream
from biddable.learn.tuning import TuningSettings
from biddable.model import causal, checkpoint, reward
from biddable.model.forest import Turns, forests, unprompted
from biddable.model.reader import reads_alike
from biddable.runs import Run
from biddable.sample.local import respond
from biddable.text import snapshots
from biddable.text.snapshots import Example
from biddable.text.tokenizer import Ids, Tokenizer


class SftConfig(TuningSettings):
    epochs: int = Field(16, gt=0, description="passes over the demonstrations")
    batch: int = Field(32, gt=0, description="demonstrations an update")
    learning_rate: float = Field(9.65e-6, gt=0, description="peak; along a cosine to 10 %, no warmup")
    loss_on: Literal["answer", "last", "all"] = Field(
        "answer", description="what is learnt: answers, those of a conversation too; the last one; or prompts as well"
    )
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="of attention weights; Llama has no residual dropout")
    prompt_tokens: int = Field(1024, gt=0, description="demonstrations with longer prompts are left out")
    answer_tokens: int = Field(1024, gt=0, description="and those with longer answers")
    checkpoint_every: int = Field(200, gt=0, description="steps; and after each epoch")
    score_prompts: int = Field(256, gt=0, description="valid prompts that are answered to choose an epoch by score")


@dataclass(frozen=True)
class Choice:
    """The best epoch so far. Higher `merit` is better: the mean score, or minus the loss."""

    merit: float = float("-inf")
    epoch: int = 0
    weights: list[Tensor] = field(default_factory=list)


def train(
    run: Run,
    config: SftConfig,
    *,
    model: Path,
    demos: Path,
    valid: Path | None = None,
    reward_model: Path | None = None,
) -> Path:
    """The whole stage; returns the folder of the model of the chosen epoch (the last one when nothing can choose)."""
    if reward_model and not valid:
        raise ValueError("reward_model: choosing an epoch by reward score needs valid demonstrations")
    lm, tokenizer = causal.load(model, attention_dropout=config.attention_dropout)
    limits = lm, config.prompt_tokens, config.answer_tokens
    examples = fitting(snapshots.demonstrations(demos, tokenizer), demos, *limits)
    checks = fitting(snapshots.demonstrations(valid, tokenizer), valid, *limits) if valid else []

    optimizer = loop.adamw(tuning.adapt(lm, config, run.seed, "sft"), config.learning_rate, config)
    per_epoch = -(-len(examples) // config.batch)
    steps = config.epochs * per_epoch
    first, best = resume(run, lm, optimizer)
    with run.steps("sft", steps, first) as bar:
        for i in range(first, steps):
            epoch, nth = divmod(i, per_epoch)
            order = loop.shuffled(len(examples), stream(run.seed, "sft", "order", epoch))
            loop.set_rate(optimizer, config.learning_rate * loop.cosine(i, steps))
            some = [examples[j] for j in loop.batches(order, config.batch)[nth]]
            lm.train(config.attention_dropout > 0)
            with loop.luck(run.seed, "sft", "dropout", i):
                seen = {"loss": gradient(lm, turns_of(config, some), config.micro_tokens)}
            loop.finite(f"step {i + 1}", **seen)
            seen["gradient"] = loop.step(optimizer, config, f"step {i + 1}")
            lm.eval()
            if nth + 1 == per_epoch and checks:
                seen |= look(lm, config, tokenizer, checks, reward_model, run.seed)
                merit = seen.get("valid_score", -seen["valid_loss"])
                best = Choice(merit, epoch + 1, loop.copied(lm)) if merit > best.merit else best
            run.log(i + 1, epoch=(i + 1) / per_epoch, **seen)
            bar.advance()
            if nth + 1 == per_epoch or (i + 1) % config.checkpoint_every == 0 or run.leaving:
                keep(run, lm, optimizer, best, i + 1)
    if best.weights:
        loop.put(lm, best.weights)
    return tuning.leave(run, lm, tokenizer)


def gradient(lm: PreTrainedModel, turns: Turns, micro_tokens: int, scale: float = 1.0) -> float:
    """`scale` times the gradient of the mean over all tokens, however they are cut into pieces; returns that mean."""
    total = 0.0
    for _, forest in forests(turns, micro_tokens):
        loss, share = causal.nll_of(lm, forest), len(forest.target_M) / turns.predicted
        (scale * share * loss).backward()
        total += share * float(loss.detach())
    return total


@torch.no_grad()
def mean_nll(lm: PreTrainedModel, turns: Turns, micro_tokens: int) -> float:
    """−log p a token."""
    pieces = [forest for _, forest in forests(turns, micro_tokens)]
    return sum(float(causal.nll_of(lm, piece)) * len(piece.target_M) for piece in pieces) / turns.predicted


def look(
    lm: PreTrainedModel,
    config: SftConfig,
    tokenizer: Tokenizer,
    checks: Sequence[Example],
    judge: Path | None,
    seed: int,
) -> dict[str, float]:
    """Valid loss, and the mean score of answers sampled to the same prompts when there is a reward model."""
    seen = {"valid_loss": mean_nll(lm, turns_of(config, checks), config.micro_tokens)}
    if judge is not None:
        prompts = [example.prompt for example in checks[: config.score_prompts]]
        luck = stream(seed, "sft", "look")  # the same each epoch
        seen["valid_score"] = mean_score(lm, tokenizer, prompts, judge, config.answer_tokens, config.micro_tokens, luck)
    return seen


@torch.no_grad()
def mean_score(
    lm: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Ids],
    judge: Path,
    answer_tokens: int,
    micro_tokens: int,
    luck: torch.Generator,
) -> float:
    """The reward model's mean score of an answer to each prompt."""
    net, its_tokenizer = reward.load(judge)
    if not reads_alike(tokenizer, its_tokenizer):
        raise ValueError(f"{judge}: its tokenizer or chat template is not the model's; choose the epoch by loss")
    most = min(answer_tokens, causal.context(lm) - max(map(len, prompts)))
    rollout = respond(lm, tokenizer, prompts, most, generator=luck)
    return float(reward.scores(net, rollout.turns, micro_tokens).mean())


def turns_of(config: SftConfig, examples: Sequence[Example]) -> Turns:
    """What is learnt of demonstrations."""
    match config.loss_on:
        case "answer":
            return answers_of(examples)
        case "last":
            return Turns([example.prompt for example in examples], [example.answer for example in examples])
        case "all":
            return unprompted([[*example.prompt, *example.answer] for example in examples])


def answers_of(examples: Sequence[Example]) -> Turns:
    """All answers of each conversation, read once: from the first one on, what others said between does not count."""
    prompts, answers, counts = [], [], []
    for example in examples:
        first = example.earlier[0].start if example.earlier else len(example.prompt)
        learnt = {place for places in example.earlier for place in places}
        prompts.append(example.prompt[:first])
        answers.append([*example.prompt[first:], *example.answer])
        between = [place in learnt for place in range(first, len(example.prompt))]
        counts.append([*between, *[True] * len(example.answer)] if between else None)
    return Turns(prompts, answers, counts)


def fitting(
    examples: list[Example], path: Path, lm: PreTrainedModel, prompt_tokens: int, answer_tokens: int
) -> list[Example]:
    """Demonstrations that are not too long (paper, App. C: prompts over 1k tokens are dropped)."""
    room = causal.context(lm)
    kept = [
        example
        for example in examples
        if len(example.prompt) <= prompt_tokens
        and len(example.answer) <= answer_tokens
        and len(example.prompt) + len(example.answer) <= room
    ]
    if not kept:
        raise ValueError(f"{path}: all {len(examples)} demonstrations are too long (prompt_tokens, answer_tokens)")
    why = f"prompt_tokens={prompt_tokens}, answer_tokens={answer_tokens}, the model's context is {room}"
    loop.tell_left_out(path, "demonstrations fit", len(kept), len(examples), why)
    return kept


def keep(run: Run, lm: PreTrainedModel, optimizer: Optimizer, best: Choice, i: int) -> None:
    tensors = checkpoint.parameters("lm", lm) | checkpoint.moments("adam", optimizer)
    tensors |= checkpoint.listed("best", best.weights)
    state = {"merit": best.merit if best.weights else None, "epoch": best.epoch}
    loop.keep(run, i, tensors, {"best": state})


def resume(run: Run, lm: PreTrainedModel, optimizer: Optimizer) -> tuple[int, Choice]:
    saved = loop.resume(run)
    if saved is None:
        return 0, Choice()
    checkpoint.restore("lm", lm, saved.tensors)
    checkpoint.restore_moments("adam", optimizer, saved.tensors)
    weights = checkpoint.unlisted("best", saved.tensors)
    if not weights:
        return saved.step, Choice()
    return saved.step, Choice(saved.state["best"]["merit"], saved.state["best"]["epoch"], weights)

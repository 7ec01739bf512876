"""biddable's side of SFT, reward modelling and DPO: `python ours_train.py WORKLOAD FOLDER`.

The functions that the trainers call, in their order; what a trainer does besides (reading a snapshot, a line of
metrics, a checkpoint) is done once an epoch or once a run, and so it is on the other side.
"""

import json
from collections.abc import Callable
from pathlib import Path

import protocol
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from biddable.learn import loop, reward, sft
from biddable.learn.loop import OptimizerSettings
from biddable.losses.dpo import dpo_loss
from biddable.model import causal
from biddable.model import reward as reward_model
from biddable.model.forest import Forest, Turns, fill, plant
from biddable.text.snapshots import Example, RankedSet

RATE = 1e-6
UNSHORTENED = 1e9  # the gradient's norm is computed, and the gradient left as it is
MICRO_TOKENS = 1536  # where the loss waits for log-probabilities: they then stay in memory, as `token_logp` says


def sft_step(folder: Path, rows: list[dict]) -> Callable[[], float]:
    lm, tokenizer = causal.load(folder / "policy")
    end = tokenizer.eos_token_id
    config = sft.SftConfig(
        batch=len(rows), clip_norm=UNSHORTENED, micro_tokens=1024
    )  # a sixth slower than 4,096, and leaner
    examples = [Example(r["prompt"], [*r["answers"][0], end]) for r in rows]
    optimizer = watched(lm, config)

    def step() -> float:
        loss = sft.gradient(lm, sft.turns_of(config, examples), config.micro_tokens)
        loop.step(optimizer, config, "bench")
        return loss

    return step


def reward_step(folder: Path, rows: list[dict]) -> Callable[[], float]:
    net, tokenizer = reward_model.load(folder / "judge")
    end = tokenizer.eos_token_id
    config = reward.RewardConfig(batch=len(rows), clip_norm=UNSHORTENED)
    sets = [
        RankedSet(r["prompt"], tuple([*a, end] for a in r["answers"]), tuple(range(1, len(r["answers"]) + 1)), "all")
        for r in rows
    ]
    optimizer = watched(net, config)

    def step() -> float:
        loss = reward.gradient(net, config, sets)["loss"]
        loop.step(optimizer, config, "bench")
        return loss

    return step


def dpo_step(folder: Path, rows: list[dict]) -> Callable[[], float]:
    """The reference's log-probabilities are computed here, once, as TRL precomputes them."""
    lm, tokenizer = causal.load(folder / "policy")
    end = tokenizer.eos_token_id
    config = OptimizerSettings(clip_norm=UNSHORTENED, micro_tokens=MICRO_TOKENS)
    turns = Turns([r["prompt"] for r in rows for _ in "wl"], [[*a, end] for r in rows for a in r["answers"]])
    costs = [len(r["prompt"]) + sum(len(a) + 1 for a in r["answers"]) for r in rows]
    pieces = [[i for pair in piece for i in (2 * pair, 2 * pair + 1)] for piece in fill(costs, config.micro_tokens)]
    reference_A = causal.in_pieces(lambda forest: answers_logp(lm, forest)[:, None], turns, config.micro_tokens)[:, 0]
    optimizer = watched(lm, config)

    def step() -> float:
        total = 0.0
        for index in pieces:
            win, lose = answers_logp(lm, plant(turns.take(index))).unflatten(0, (-1, 2)).unbind(1)
            ref_win, ref_lose = reference_A[index].unflatten(0, (-1, 2)).unbind(1)
            loss = dpo_loss(win, lose, ref_win, ref_lose, beta=0.1) * len(win) / len(rows)
            loss.backward()
            total += float(loss.detach())
        loop.step(optimizer, config, "bench")
        return total

    return step


def answers_logp(lm: PreTrainedModel, forest: Forest) -> Tensor:
    """log p of each whole answer."""
    return forest.spread(causal.answer_logp(lm, forest)).sum(1)


first: dict = {}


def watched(model: nn.Module, config: OptimizerSettings) -> Optimizer:
    """The trainer's optimiser; its first step notes the gradient that it was given."""
    optimizer = loop.adamw(model, RATE, config)

    def note(*_: object) -> None:
        if not first:
            first.update(protocol.gradient_of(model))

    optimizer.register_step_pre_hook(note)
    return optimizer


def main() -> None:
    name, folder, size = protocol.arguments()
    rows = json.loads((folder / f"{name}.json").read_text())
    torch.set_num_threads(1)
    kind = name.split("_")[0]
    step = {"sft": sft_step, "reward": reward_step, "dpo": dpo_step}[kind](folder, rows)
    protocol.say(loss=step(), gradient=first)
    units = sum(len(r["answers"][0]) + 1 for r in rows) if kind == "sft" else len(rows)

    def some() -> float:
        for _ in range(size["updates"]):
            step()
        return units * size["updates"]

    protocol.rounds(some)


if __name__ == "__main__":
    main()

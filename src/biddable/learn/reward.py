"""The reward model (Ouyang et al. 2022, section 3.5): all pairs of a ranking in one batch element.

N = answers of some rankings together.

Each answer goes through the network once, a prompt once for all its answers, and a ranking's pairs are all in the same
batch: shuffled loose, an answer would be in K−1 updates, and one epoch would overfit already (paper, section 3.5,
footnote 5).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from biddable.config import ConfigError
from biddable.learn import loop
from biddable.learn.loop import OptimizerSettings, stream
from biddable.losses.reward import pairs, ranking_loss
from biddable.model import causal, checkpoint, reward
from biddable.model.forest import Turns, fill, plant
from biddable.model.reward import RewardModel
from biddable.runs import Run
from biddable.text import snapshots
from biddable.text.snapshots import RankedSet
from biddable.text.tokenizer import Tokenizer


class RewardConfig(OptimizerSettings):
    epochs: int = Field(1, gt=0, description="passes over the rankings; more than one soon overfits (paper, App. C.2)")
    batch: int = Field(64, gt=0, description="rankings an update, each with all its pairs")
    learning_rate: float = Field(9e-6, gt=0, description="peak; along a cosine to 10 %, no warmup")
    ties: Literal["drop", "davidson", "rao_kupper"] = Field("drop", description="what ties teach")
    center: Literal["demonstrations", "answers"] = Field("demonstrations", description="what scores 0 on average")
    select: Literal["last", "valid_loss"] = Field("last", description="which epoch's weights are kept")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="of attention weights; Llama has no residual dropout")
    extra_layers: int = Field(0, ge=0, description="layers on top of the model's own: a judge deeper than the writer")
    max_tokens: int = Field(2048, gt=0, description="longer prompts with answers are left out")
    checkpoint_every: int = Field(200, gt=0, description="steps")


def train(
    run: Run, config: RewardConfig, *, model: Path, rankings: Path, valid: Path | None = None, demos: Path | None = None
) -> Path:
    """The whole stage; returns the folder of the reward model, centred."""
    if config.center == "demonstrations" and demos is None:
        raise ConfigError("center: no demonstrations are given, which score 0 on average; give demos or center=answers")
    if config.select == "valid_loss" and valid is None:
        raise ConfigError("select: valid_loss needs valid rankings")
    lm, tokenizer = causal.load(model, attention_dropout=config.attention_dropout)
    lm = reward.deepen(lm, config.extra_layers, stream(run.seed, "reward", "layers"))
    net = RewardModel(lm, stream(run.seed, "reward", "head"))
    longest = min(config.max_tokens, causal.context(lm))
    sets = usable(snapshots.rankings(rankings, tokenizer), longest, config.ties, rankings)
    checks = usable(snapshots.rankings(valid, tokenizer), longest, config.ties, valid) if valid else []

    optimizer = loop.adamw(net, config.learning_rate, config)
    per_epoch = -(-len(sets) // config.batch)
    steps = config.epochs * per_epoch
    first, best = resume(run, net, optimizer)
    with run.steps("reward", steps, first) as bar:
        for i in range(first, steps):
            epoch, nth = divmod(i, per_epoch)
            order = loop.shuffled(len(sets), stream(run.seed, "reward", "order", epoch))
            loop.set_rate(optimizer, config.learning_rate * loop.cosine(i, steps))
            net.train(config.attention_dropout > 0)
            with loop.luck(run.seed, "reward", "dropout", i):
                seen = gradient(net, config, [sets[j] for j in loop.batches(order, config.batch)[nth]])
            loop.finite(f"step {i + 1}", **seen)
            seen["gradient"] = loop.step(optimizer, config, f"step {i + 1}")
            net.eval()
            if nth + 1 == per_epoch and checks:
                seen |= measure(net, config, checks)
                if config.select == "valid_loss" and seen["valid_loss"] < best[0]:
                    best = seen["valid_loss"], loop.copied(net)
            run.log(i + 1, epoch=(i + 1) / per_epoch, **seen)
            bar.advance()
            if (i + 1) % config.checkpoint_every == 0 or i + 1 == steps or run.leaving:
                keep(run, net, optimizer, best, i + 1)
    if best[1]:
        loop.put(net, best[1])
    shift(net, config, tokenizer, demos, sets)
    return run.output("model", reward.save(net, tokenizer, run.folder / "model"))


def gradient(net: RewardModel, config: RewardConfig, sets: Sequence[RankedSet]) -> dict[str, float]:
    """The gradient of the mean over rankings, gathered in pieces of whole rankings."""
    loss_sum, right, of = 0.0, 0, 0
    for some in pieces(sets, config.micro_tokens):
        score_N, rank_N, group_N = judge(net, some)
        loss = ranking_loss(score_N, rank_N, group_N, config.ties)
        share = len(some) / len(sets)
        (loss * share).backward()
        loss_sum += share * float(loss.detach())
        won, pairs_here = strict_wins(score_N.detach(), rank_N, group_N)
        right, of = right + won, of + pairs_here
    return {"loss": loss_sum, "accuracy": right / max(of, 1)}


@torch.no_grad()
def measure(net: RewardModel, config: RewardConfig, sets: Sequence[RankedSet]) -> dict[str, float]:
    """The loss that is trained, ties as it has them, and accuracy over strict pairs, of all and by the labeler's group.
    Who ties everything has a loss and no accuracy."""
    losses, wins, counts = 0.0, {}, {}
    for some in pieces(sets, config.micro_tokens):
        score_N, rank_N, group_N = judge(net, some)
        losses += float(ranking_loss(score_N, rank_N, group_N, config.ties)) * len(some)
        for name in ("all", *{s.group for s in some}):
            of_N = torch.tensor([name in ("all", some[g].group) for g in group_N.tolist()])
            won, of = strict_wins(score_N[of_N], rank_N[of_N], group_N[of_N])
            wins[name], counts[name] = wins.get(name, 0) + won, counts.get(name, 0) + of
    keys = {name: "valid_accuracy" if name == "all" else f"valid_accuracy_{name}" for name in sorted(wins)}
    return {"valid_loss": losses / len(sets)} | {keys[name]: wins[name] / counts[name] for name in keys if counts[name]}


def strict_wins(score_N: Float[Tensor, " N"], rank_N: Int[Tensor, " N"], group_N: Int[Tensor, " N"]) -> tuple[int, int]:
    """In how many strict pairs the better answer scores strictly higher (checklist 41), and of how many."""
    pair = pairs(rank_N, group_N)
    right_P = (score_N[pair.better_P] > score_N[pair.worse_P])[~pair.tie_P]
    return int(right_P.sum()), len(right_P)


def pieces(sets: Sequence[RankedSet], tokens: int) -> list[list[RankedSet]]:
    """Whole rankings, so that no pair is cut, of about `tokens` tokens."""
    costs = [len(s.prompt) + sum(map(len, s.answers)) for s in sets]
    return [[sets[g] for g in piece] for piece in fill(costs, tokens)]


def judge(
    net: RewardModel, sets: Sequence[RankedSet]
) -> tuple[Float[Tensor, " N"], Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Each answer's score, given its prompt (paper_index, checklist 10), its rank, and which ranking it is of."""
    score_N = net(plant(answers_of(sets)))
    rank_N = torch.tensor([rank for s in sets for rank in s.ranks])
    return score_N, rank_N, torch.tensor([g for g, s in enumerate(sets) for _ in s.answers])


def answers_of(sets: Sequence[RankedSet]) -> Turns:
    """Each answer after its prompt, ranking by ranking."""
    return Turns([s.prompt for s in sets for _ in s.answers], [answer for s in sets for answer in s.answers])


def usable(sets: list[RankedSet], longest: int, ties: str, path: Path) -> list[RankedSet]:
    """Rankings that fit the model and say something."""
    short = [s for s in sets if s.longest <= longest]
    if not short:
        raise ValueError(f"{path}: every ranking is longer than {longest} tokens")
    said = [s for s in short if ties != "drop" or len(set(s.ranks)) > 1]
    if not said:
        raise ValueError(f"{path}: every ranking is one great tie, so there is nothing to learn")
    return said


def shift(
    net: RewardModel, config: RewardConfig, tokenizer: Tokenizer, demos: Path | None, sets: Sequence[RankedSet]
) -> None:
    """Center: the loss fixes differences only, and PPO's penalties and value network want a zero (section 3.5)."""
    turns = answers_of(sets)
    if config.center == "demonstrations":
        assert demos is not None
        examples = snapshots.demonstrations(demos, tokenizer)
        turns = Turns([e.prompt for e in examples], [e.answer for e in examples])
    longest = min(config.max_tokens, causal.context(net.lm))
    fit = [i for i in range(len(turns)) if len(turns.prompts[i]) + len(turns.answers[i]) <= longest]
    reward.center(net, float(reward.scores(net, turns.take(fit), config.micro_tokens).double().mean()))


Best = tuple[float, list[Tensor]]


def keep(run: Run, net: RewardModel, optimizer: torch.optim.Optimizer, best: Best, i: int) -> None:
    tensors = (
        checkpoint.parameters("net", net) | checkpoint.moments("adam", optimizer) | checkpoint.listed("best", best[1])
    )
    loop.keep(run, i, tensors, {"best": best[0] if best[1] else None})


def resume(run: Run, net: RewardModel, optimizer: torch.optim.Optimizer) -> tuple[int, Best]:
    saved = loop.resume(run)
    if saved is None:
        return 0, (float("inf"), [])
    checkpoint.restore("net", net, saved.tensors)
    checkpoint.restore_moments("adam", optimizer, saved.tensors)
    weights = checkpoint.unlisted("best", saved.tensors)
    return saved.step, (saved.state["best"] if weights else float("inf"), weights)

"""Learning from rankings without a reward model and without sampling: DPO, IPO, SLiC's hinge, KTO, ORPO, SimPO.

N = answers of some rankings together, K = those of one, M = their tokens, P = strict pairs.

As in the reward stage all pairs of a ranking are in one batch: a prompt and each of its answers go through the network
once, and pairs are made of the answers' log-probabilities. Data of pairs are rankings of two. The start model is also
the reference; what it gives to each answer is read off once, before the first step, and kept in the checkpoints, so
that no second network is held. ORPO and SimPO need none.

KTO asks of an answer alone whether it is desirable. It learns from judgements, which say so; or from rankings, where an
answer is desirable if it beats more answers than beat it, undesirable if it is the other way round, and left out if
neither. What is said of a ranking below holds for the judged answers of a prompt. KTO's reference point is estimated
from answers that are put beside prompts of others: one a ranking, the same ones all the time, since the start model has
read them once.

Dropout is off: the ratio of two models is not to hang on luck.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from biddable.config import ConfigError
from biddable.learn import loop, sft, tuning
from biddable.learn.loop import stream
from biddable.learn.reward import answers_of, usable
from biddable.learn.sft import Choice
from biddable.learn.tuning import TuningSettings
from biddable.losses.dpo import dpo_loss, kto_loss, kto_reference, orpo_loss, simpo_loss
from biddable.losses.reward import Pairs, pairs
from biddable.model import causal, checkpoint, lora
from biddable.model.checkpoint import Checkpoint
from biddable.model.forest import fill, plant, unprompted
from biddable.records import Aspect, Ranking
from biddable.runs import Run
from biddable.text import snapshots
from biddable.text.snapshots import RankedSet
from biddable.text.tokenizer import Ids, Tokenizer

FREE = ("orpo", "simpo")  # of a reference


class DpoConfig(TuningSettings):
    method: Literal["dpo", "ipo", "hinge", "kto", "orpo", "simpo"] = Field("dpo", description="which loss")
    epochs: int = Field(1, gt=0, description="passes over the rankings")
    batch: int = Field(64, gt=0, description="rankings an update, each with all its pairs")
    learning_rate: float = Field(1e-6, gt=0, description="peak; along a cosine to 10 %, no warmup")
    beta: float | None = Field(
        None, gt=0, description="β (IPO's τ, ORPO's λ); the method's own when not said: 0.1, and 2 for simpo"
    )
    margin: float = Field(1.0, ge=0, description="SimPO's γ, by which the better one is to lead")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="how often a label is wrong; dpo, ipo and hinge")
    desirable_weight: float = Field(1.0, gt=0, description="KTO's λ_D")
    undesirable_weight: float = Field(1.0, gt=0, description="KTO's λ_U")
    desirable_by: Aspect = Field("helpful", description="where KTO learns from judgements: what of them it goes by")
    sft_weight: float = Field(0.0, ge=0, description="on −log p a token of the best answers; orpo has 1 of its own")
    gamma_ptx: float = Field(0.0, ge=0, description="on pretraining text's mean log-likelihood a token; 0 is none")
    ptx_ratio: float = Field(1.0, ge=0, description="pretraining examples a ranking")
    ptx_tokens: int = Field(2048, gt=1, description="longest pretraining example; longer ones are cut in several")
    select: Literal["last", "valid_loss", "valid_score"] = Field("last", description="which epoch's weights are kept")
    score_prompts: int = Field(256, gt=0, description="valid prompts that are answered to choose an epoch by score")
    answer_tokens: int = Field(1024, gt=0, description="of such an answer, at most")
    max_tokens: int = Field(2048, gt=0, description="longer prompts with answers are left out")
    checkpoint_every: int = Field(200, gt=0, description="steps; and after each epoch")


@dataclass(frozen=True)
class Known:
    """A ranking, and what the start model gives to its answers: log π_ref(y|x); zeros where no reference is asked."""

    ranked: RankedSet
    ref_K: Float[Tensor, " K"]


@dataclass(frozen=True)
class Lessons:
    """Rankings, and for KTO beside each its prompt with an answer to another one."""

    said: list[Known]
    strays: list[Known]

    def take(self, index: Sequence[int]) -> "Lessons":
        """Some of them."""
        return Lessons([self.said[i] for i in index], [self.strays[i] for i in index if self.strays])


@dataclass(frozen=True)
class Seen:
    """Answers of some rankings, as the model sees them now."""

    logp_N: Float[Tensor, " N"]  # log π(y|x), the sum over the answer's tokens
    ref_N: Float[Tensor, " N"]
    length_N: Int[Tensor, " N"]
    rank_N: Int[Tensor, " N"]
    group_N: Int[Tensor, " N"]  # which ranking
    label_N: Int[Tensor, " N"]  # 1 is desirable, −1 undesirable, 0 neither
    best_N: Bool[Tensor, " N"]
    judged: bool  # and not ranked

    @property
    def strict(self) -> Pairs:
        """The pairs in which one answer is better."""
        pair = pairs(self.rank_N, self.group_N)
        return Pairs(*(x_P[~pair.tie_P] for x_P in pair))


def train(
    run: Run,
    config: DpoConfig,
    *,
    model: Path,
    rankings: Path,
    valid: Path | None = None,
    pages: Path | None = None,
    reward_model: Path | None = None,
) -> Path:
    """The whole stage; returns the folder of the trained model."""
    check(config, valid, pages, reward_model)
    lm, tokenizer = causal.load(model)
    text = ptx_pages(lm, config, tokenizer, pages)
    saved = loop.resume(run)
    tuning.adapt(lm, config, run.seed, "dpo")
    lessons, checks, ref_N = remember(lm, config, tokenizer, rankings, valid, run.seed, saved)

    optimizer = loop.adamw(lm, config.learning_rate, config)
    per_epoch = -(-len(lessons.said) // config.batch)
    steps = config.epochs * per_epoch
    first, best = put_back(saved, lm, optimizer)
    with run.steps("dpo", steps, first) as bar:
        for i in range(first, steps):
            epoch, nth = divmod(i, per_epoch)
            order = loop.shuffled(len(lessons.said), stream(run.seed, "dpo", "order", epoch))
            loop.set_rate(optimizer, config.learning_rate * loop.cosine(i, steps))
            seen = gradient(lm, config, lessons.take(loop.batches(order, config.batch)[nth]))
            if mixed(config, text):
                seen["ptx_loss"] = mix(lm, config, text, run.seed, i)
            loop.finite(f"step {i + 1}", **seen)
            seen["gradient"] = loop.step(optimizer, config, f"step {i + 1}")
            if nth + 1 == per_epoch and checks.said:
                seen |= look(lm, config, tokenizer, checks, reward_model, run.seed)
                merit = {"valid_loss": -seen["valid_loss"], "valid_score": seen.get("valid_score")}.get(config.select)
                best = Choice(merit, epoch + 1, loop.copied(lm)) if merit is not None and merit > best.merit else best
            run.log(i + 1, epoch=(i + 1) / per_epoch, **seen)
            bar.advance()
            if nth + 1 == per_epoch or (i + 1) % config.checkpoint_every == 0 or run.leaving:
                keep(run, lm, optimizer, best, ref_N, i + 1)
    if best.weights:
        loop.put(lm, best.weights)
    return tuning.leave(run, lm, tokenizer)


def check(config: DpoConfig, valid: Path | None, pages: Path | None, reward_model: Path | None) -> None:
    """Refuse what does not go together, before anything is loaded."""
    if config.select != "last" and valid is None:
        raise ConfigError(f"select: {config.select} needs valid rankings")
    if config.select == "valid_score" and reward_model is None:
        raise ConfigError("select: valid_score needs a reward_model, to score answers to the valid prompts")
    if reward_model and valid is None:
        raise ConfigError("reward_model: scores answers to valid prompts, and no valid rankings are given")
    if config.gamma_ptx and pages is None:
        raise ConfigError(f"gamma_ptx: is {config.gamma_ptx}, but no pretraining text is given; give pages")
    if config.label_smoothing and config.method not in ("dpo", "ipo", "hinge"):
        raise ConfigError(f"label_smoothing: {config.method} has none; it is of dpo, ipo and hinge")


def ptx_pages(lm: PreTrainedModel, config: DpoConfig, tokenizer: Tokenizer, path: Path | None) -> list[Ids]:
    """The pretraining text; none without the mix."""
    if not config.gamma_ptx or path is None:
        return []
    return snapshots.pages(path, tokenizer, min(config.ptx_tokens, causal.context(lm)))


def mixed(config: DpoConfig, text: Sequence[Ids]) -> int:
    """How many pages go with each update."""
    return round(config.batch * config.ptx_ratio) if text else 0


def mix(lm: PreTrainedModel, config: DpoConfig, text: Sequence[Ids], seed: int, i: int) -> float:
    """Learn from the pages of update i, too; their loss."""
    count = mixed(config, text)
    some = [text[j] for j in loop.endless(len(text), i * count, count, seed, "dpo", "pages")]
    return sft.gradient(lm, unprompted(some), config.micro_tokens, config.gamma_ptx)


def gradient(lm: PreTrainedModel, config: DpoConfig, lessons: Lessons) -> dict[str, float]:
    """The loss, and its gradient where gradients are on. It is gathered in pieces of whole rankings, and every mean is
    over those of the whole minibatch. Beside it what the better and the worse answer of a pair are worth on average,
    and how often the better one is worth more (strictly)."""
    kl = drift(lm, config, lessons.strays) if lessons.strays else torch.zeros(())
    whole, best_tokens = size(config, lessons.said), sum(map(best_length, lessons.said))
    sums: Counter[str] = Counter()
    for some in pieces(lessons.said, config.micro_tokens):
        seen = see(lm, some)
        loss, nll = whole_loss(config, seen, kl, size(config, some) / whole, best_tokens)
        if torch.is_grad_enabled():
            loss.backward()
        sums.update(looks(config, seen) | {"loss": loss.item(), "nll": nll.item()})
    counts = {"accuracy": "pairs", "chosen": "better", "rejected": "worse"}
    means = {key: sums[key] / sums[count] for key, count in counts.items() if sums[count]}
    return {key: sums[key] for key in ("loss", "nll")} | means | ({"kl": kl.item()} if lessons.strays else {})


def whole_loss(
    config: DpoConfig, seen: Seen, kl: Float[Tensor, ""], share: float, best_tokens: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The loss of a piece that holds `share` of the minibatch, and −log p of its best answers over `best_tokens`."""
    nll = -seen.logp_N[seen.best_N].sum() / max(best_tokens, 1)  # of answers that nobody liked there is no best
    loss = loss_of(config, seen, kl) * share
    if weight := 1.0 if config.method == "orpo" else config.sft_weight:
        loss = loss + weight * nll
    return loss, nll


def loss_of(config: DpoConfig, seen: Seen, kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The method's loss of some rankings: the mean over rankings of that over pairs, or KTO's over labelled answers."""
    beta = beta_of(config)
    if config.method == "kto":
        label_N, told_N = seen.label_N, seen.label_N != 0
        weights = config.desirable_weight, config.undesirable_weight
        return kto_loss(seen.logp_N[told_N], seen.ref_N[told_N], label_N[told_N] > 0, kl, beta, *weights)
    better_P, worse_P, _, ranking_P = seen.strict
    logp = seen.logp_N[better_P], seen.logp_N[worse_P]
    length = seen.length_N[better_P], seen.length_N[worse_P]
    if config.method == "simpo":
        return simpo_loss(*logp, *length, beta, config.margin, ranking_P)
    if config.method == "orpo":
        return beta * orpo_loss(*logp, *length, ranking_P)
    kind = "sigmoid" if config.method == "dpo" else config.method
    reference = seen.ref_N[better_P], seen.ref_N[worse_P]
    return dpo_loss(*logp, *reference, beta, kind, config.label_smoothing, ranking_P)


def beta_of(config: DpoConfig) -> float:
    return config.beta or (2.0 if config.method == "simpo" else 0.1)


def labels(rank_N: Int[Tensor, " N"], group_N: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """1 where an answer is better than more of its ranking's than are better than it, −1 where it is the other way
    round, 0 in the very middle."""
    pair = pairs(rank_N, group_N)
    better_N, worse_N = (
        side_P[~pair.tie_P].bincount(minlength=len(rank_N)) for side_P in (pair.better_P, pair.worse_P)
    )
    return (better_N - worse_N).sign()


def told(ranked: RankedSet) -> Int[Tensor, " K"]:
    """The labels of one ranking, or of a prompt's judged answers."""
    if ranked.liked:
        return torch.tensor(ranked.liked).long() * 2 - 1
    rank_K = torch.tensor(ranked.ranks)
    return labels(rank_K, torch.zeros_like(rank_K))


@torch.no_grad()
def looks(config: DpoConfig, seen: Seen) -> dict[str, float]:
    """Sums of what the loss takes an answer's worth to be, log π/π_ref or log π a token: over the two sides of strict
    pairs, or over answers that were liked and those that were not."""
    worth_N = seen.logp_N / seen.length_N if config.method in FREE else seen.logp_N - seen.ref_N
    better_P, worse_P, *_ = seen.strict
    won = (worth_N[better_P] > worth_N[worse_P]).sum()
    chosen, rejected = worth_N[better_P], worth_N[worse_P]
    if seen.judged:
        chosen, rejected = worth_N[seen.label_N > 0], worth_N[seen.label_N < 0]
    found = {"pairs": len(better_P), "accuracy": won, "better": len(chosen), "worse": len(rejected)}
    return {name: float(x) for name, x in (found | {"chosen": chosen.sum(), "rejected": rejected.sum()}).items()}


@torch.no_grad()
def drift(lm: PreTrainedModel, config: DpoConfig, strays: Sequence[Known]) -> Float[Tensor, ""]:
    """KTO's reference point."""
    parts = [see(lm, some) for some in pieces(strays, config.micro_tokens)]
    return kto_reference(torch.cat([part.logp_N for part in parts]), torch.cat([part.ref_N for part in parts]))


def look(
    lm: PreTrainedModel, config: DpoConfig, tokenizer: Tokenizer, checks: Lessons, judge: Path | None, seed: int
) -> dict[str, float]:
    """The same numbers of held-out rankings, and the mean score of answers to their prompts if there is a judge."""
    with torch.no_grad():
        seen = {f"valid_{name}": x for name, x in gradient(lm, config, checks).items()}
    if judge is not None:
        prompts = [known.ranked.prompt for known in checks.said[: config.score_prompts]]
        luck = stream(seed, "dpo", "look")  # the same each epoch
        seen["valid_score"] = sft.mean_score(
            lm, tokenizer, prompts, judge, config.answer_tokens, config.micro_tokens, luck
        )
    return seen


def see(lm: PreTrainedModel, rankings: Sequence[Known]) -> Seen:
    """One forward pass of whole rankings."""
    sets = [known.ranked for known in rankings]
    forest = plant(answers_of(sets))
    return Seen(
        logp_N=forest.spread(causal.answer_logp(lm, forest)).sum(1),
        ref_N=torch.cat([known.ref_K for known in rankings]).to(lm.device),
        length_N=forest.length_A.to(lm.device),
        rank_N=torch.tensor([rank for s in sets for rank in s.ranks], device=lm.device),
        group_N=torch.tensor([g for g, s in enumerate(sets) for _ in s.answers], device=lm.device),
        label_N=torch.cat([told(s) for s in sets]).to(lm.device),
        best_N=torch.tensor([good for s in sets for good in best(s)], device=lm.device),
        judged=any(s.liked for s in sets),
    )


def best(ranked: RankedSet) -> Sequence[bool]:
    """True for a ranking's first tier; of judged answers for those that were liked."""
    return ranked.liked or [rank == min(ranked.ranks) for rank in ranked.ranks]


def best_length(known: Known) -> int:
    """How many tokens these have."""
    return sum(len(a) for a, good in zip(known.ranked.answers, best(known.ranked), strict=True) if good)


def size(config: DpoConfig, rankings: Sequence[Known]) -> int:
    """How many of what the loss is a mean over: rankings, or KTO's labelled answers."""
    if config.method != "kto":
        return len(rankings)
    return sum(int(told(known.ranked).ne(0).sum()) for known in rankings)


def pieces(rankings: Sequence[Known], tokens: int) -> list[list[Known]]:
    """Whole rankings, of about `tokens` tokens."""
    costs = [len(known.ranked.prompt) + sum(map(len, known.ranked.answers)) for known in rankings]
    return [[rankings[g] for g in piece] for piece in fill(costs, tokens)]


def remember(
    lm: PreTrainedModel,
    config: DpoConfig,
    tokenizer: Tokenizer,
    rankings: Path,
    valid: Path | None,
    seed: int,
    saved: Checkpoint | None,
) -> tuple[Lessons, Lessons, Float[Tensor, " N"]]:
    """The rankings and the held-out ones with the start model's log-probabilities, and these in one row, to be kept."""
    said = sets_of(lm, config, rankings_of(config, tokenizer, rankings), rankings, seed, 0)
    held = sets_of(lm, config, rankings_of(config, tokenizer, valid), valid, seed, 1) if valid else ([], [])
    asked = [s for part in (*said, *held) for s in part]
    count_G = [len(s.answers) for s in asked]
    if saved:
        ref_N = saved.tensors["reference"]
    elif config.method in FREE:
        ref_N = torch.zeros(sum(count_G))
    else:
        ref_N = reference(lm, config, asked)
    here = sum(count_G[: len(said[0]) + len(said[1])])
    return lessons_of(*said, ref_N[:here]), lessons_of(*held, ref_N[here:]), ref_N


def sets_of(
    lm: PreTrainedModel, config: DpoConfig, every: list[RankedSet], path: Path, seed: int, which: int
) -> tuple[list[RankedSet], list[RankedSet]]:
    """Those of a file's rankings that fit and say something and, for KTO, beside each its prompt with an answer to
    another one."""
    longest = min(config.max_tokens, causal.context(lm))
    said = usable(every, longest, "keep" if every[0].liked else "drop", path)
    beside = strays(said, longest, stream(seed, "dpo", "strays", which)) if config.method == "kto" else []
    return said, beside


def lessons_of(said: Sequence[RankedSet], beside: Sequence[RankedSet], ref_N: Float[Tensor, " N"]) -> Lessons:
    """Rankings and those beside them, each with its part of the start model's log-probabilities."""
    asked = [*said, *beside]
    parts = ref_N.split([len(s.answers) for s in asked])
    known = [Known(s, ref_K) for s, ref_K in zip(asked, parts, strict=True)]
    return Lessons(known[: len(said)], known[len(said) :])


def rankings_of(config: DpoConfig, tokenizer: Tokenizer, path: Path) -> list[RankedSet]:
    """The rankings of a file, or for KTO its judgements where it has no rankings."""
    if config.method == "kto" and not snapshots.holds(path, Ranking):
        return snapshots.liked(path, tokenizer, config.desirable_by)
    return snapshots.rankings(path, tokenizer)


@torch.no_grad()
def reference(lm: PreTrainedModel, config: DpoConfig, sets: Sequence[RankedSet]) -> Float[Tensor, " N"]:
    """log π(y|x) of each answer, ranking by ranking, by the start model: the weights as they are, without adapters."""
    blank = [Known(s, torch.zeros(len(s.answers))) for s in sets]
    with lora.off(lm):
        ref_N = torch.cat([see(lm, some).logp_N.float().cpu() for some in pieces(blank, config.micro_tokens)])
    loop.finite("step 1", reference_logp=ref_N)
    return ref_N


def strays(sets: Sequence[RankedSet], longest: int, generator: torch.Generator) -> list[RankedSet]:
    """Each ranking's prompt with an answer to another prompt, that of the next ranking in an order drawn by lot."""
    order = loop.shuffled(len(sets), generator)
    found: dict[int, RankedSet] = {}
    for place, i in enumerate(order):
        others = (sets[order[(place + step) % len(order)]] for step in range(1, len(order)))
        # Answers stand best first, so which one is taken goes round.
        answers = (other.answers[place % len(other.answers)] for other in others if other.prompt != sets[i].prompt)
        fit = next((answer for answer in answers if len(sets[i].prompt) + len(answer) <= longest), None)
        if fit is None:
            raise ConfigError(
                "method: kto puts answers beside prompts of others, so it needs rankings of two prompts, in valid too"
            )
        found[i] = replace(sets[i], answers=(fit,), ranks=(1,), liked=())
    return [found[i] for i in range(len(sets))]


def keep(run: Run, lm: PreTrainedModel, optimizer: Optimizer, best: Choice, ref_N: Float[Tensor, " N"], i: int) -> None:
    tensors = checkpoint.parameters("lm", lm) | checkpoint.moments("adam", optimizer)
    tensors |= checkpoint.listed("best", best.weights) | {"reference": ref_N}
    state = {"merit": best.merit if best.weights else None, "epoch": best.epoch}
    loop.keep(run, i, tensors, {"best": state})


def put_back(saved: Checkpoint | None, lm: PreTrainedModel, optimizer: Optimizer) -> tuple[int, Choice]:
    if saved is None:
        return 0, Choice()
    checkpoint.restore("lm", lm, saved.tensors)
    checkpoint.restore_moments("adam", optimizer, saved.tensors)
    weights = checkpoint.unlisted("best", saved.tensors)
    if not weights:
        return saved.step, Choice()
    return saved.step, Choice(saved.state["best"]["merit"], saved.state["best"]["epoch"], weights)

"""The reward model (Ouyang et al. 2022, section 3.5): all pairs of a ranking in one batch element.

N = answers of some rankings together.

Each answer goes through the network once, a prompt once for all its answers, and a ranking's pairs are all in the same
batch: shuffled loose, an answer would be in K−1 updates, and one epoch would overfit already (paper, section 3.5,
footnote 5).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from biddable.config import ConfigError
from biddable.learn import loop, tuning
from biddable.learn.loop import stream
from biddable.learn.tuning import TuningSettings
from biddable.losses.reward import aspect_loss, pairs, plackett_luce_loss, ranking_loss
from biddable.model import causal, checkpoint, reward
from biddable.model.forest import Turns, fill, plant
from biddable.model.reward import RewardModel
from biddable.records import Aspect
from biddable.runs import Run
from biddable.text import snapshots
from biddable.text.snapshots import RankedSet
from biddable.text.tokenizer import Tokenizer

REMEMBERED = 300  # rankings whose scores say, once it is trained, what it knows


class RewardConfig(TuningSettings):
    epochs: int = Field(1, gt=0, description="passes over the rankings; more than one soon overfits (paper, App. C.2)")
    batch: int = Field(64, gt=0, description="rankings an update, each with all its pairs")
    learning_rate: float = Field(9e-6, gt=0, description="peak; along a cosine to 10 %, no warmup")
    loss: Literal["pairs", "plackett_luce"] = Field("pairs", description="of a ranking: all its pairs, or its order")
    ties: Literal["drop", "davidson", "rao_kupper"] = Field("drop", description="what ties teach")
    tie_rate: float | None = Field(
        None, gt=0, lt=1, description="how often equally good answers are tied; the rankings' own share when not said"
    )
    margin: float = Field(0.0, ge=0, description="how far ahead the better answer must score, a step of margin_from")
    margin_from: Literal["ranks", "ratings"] = Field("ranks", description="tiers between two answers, or Likert points")
    heads: int = Field(1, gt=0, description="an ensemble on one trunk, each head on its own bootstrap of the rankings")
    aspects: dict[Aspect, float] = Field({}, description="heads learnt from judgements, and their worth in the score")
    aspect_loss: float = Field(1.0, ge=0, description="weight of the aspects' loss beside the rankings'")
    center: Literal["demonstrations", "answers"] = Field("demonstrations", description="what scores 0 on average")
    select: Literal["last", "valid_loss"] = Field("last", description="which epoch's weights are kept")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="of attention weights; Llama has no residual dropout")
    extra_layers: int = Field(0, ge=0, description="layers on top of the model's own: a judge deeper than the writer")
    max_tokens: int = Field(2048, gt=0, description="longer prompts with answers are left out")
    checkpoint_every: int = Field(200, gt=0, description="steps")


def train(
    run: Run,
    config: RewardConfig,
    *,
    model: Path,
    rankings: Path,
    valid: Path | None = None,
    demos: Path | None = None,
    judgements: Path | None = None,
) -> Path:
    """The whole stage; returns the folder of the reward model, centred."""
    check(config, valid, demos, judgements)
    lm, tokenizer = causal.load(model, attention_dropout=config.attention_dropout)
    lm = reward.deepen(lm, config.extra_layers, stream(run.seed, "reward", "layers"))
    worth: dict[str, float] = {name: config.aspects[name] for name in sorted(config.aspects)}
    tuning.adapt(lm, config, run.seed, "reward")
    net = RewardModel(lm, stream(run.seed, "reward", "head"), config.heads, worth)
    longest = min(config.max_tokens, causal.context(lm))
    sets = usable(snapshots.rankings(rankings, tokenizer, judgements), longest, config.ties, rankings)
    checks = usable(snapshots.rankings(valid, tokenizer, judgements), longest, config.ties, valid) if valid else []
    check_judged(config, sets, rankings, judgements)
    config = config.model_copy(update={"tie_rate": config.tie_rate or share_of_ties(sets)})
    weight_GM = bootstraps(len(sets), config.heads, run.seed)

    optimizer = loop.adamw(net, config.learning_rate, config)
    per_epoch = -(-len(sets) // config.batch)
    steps = config.epochs * per_epoch
    first, best = resume(run, net, optimizer)
    with run.steps("reward", steps, first) as bar:
        for i in range(first, steps):
            epoch, nth = divmod(i, per_epoch)
            order = loop.shuffled(len(sets), stream(run.seed, "reward", "order", epoch))
            places = list(loop.batches(order, config.batch)[nth])
            loop.set_rate(optimizer, config.learning_rate * loop.cosine(i, steps))
            net.train(config.attention_dropout > 0)
            with loop.luck(run.seed, "reward", "dropout", i):
                seen = gradient(net, config, [sets[j] for j in places], weight_GM[places])
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
    tuning.merge(run, net.lm)  # before the shift, which is of the weights that are saved
    shift(net, config, tokenizer, demos, sets)
    reward.remember(net, reward.scores(net, answers_of(sets[:: -(-len(sets) // REMEMBERED)]), config.micro_tokens))
    return run.output("model", reward.save(net, tokenizer, run.folder / "model"))


class Scored(NamedTuple):
    """Some rankings' answers: what the net says of them and what people said. N = answers, M = heads, J = aspects."""

    each_NM: Float[Tensor, "N M"]  # by the rankings' heads alone
    logit_NJ: Float[Tensor, "N J"]
    rank_N: Int[Tensor, " N"]
    group_N: Int[Tensor, " N"]  # which ranking each is of
    said: tuple[Mapping[str, float], ...]  # of each answer, by aspect


def gradient(
    net: RewardModel,
    config: RewardConfig,
    sets: Sequence[RankedSet],
    weight_GM: Float[Tensor, "G M"] | None = None,
) -> dict[str, float]:
    """The gradient of the mean over rankings, gathered in pieces of whole rankings. `weight_GM` is how often each
    counts for each head."""
    seen = {"loss": 0.0} | ({"aspect_loss": 0.0} if net.worth else {})
    right, of, at = 0, 0, 0
    judged = sum(name in said for s in sets for said in s.aspects for name in net.worth)
    for some in pieces(sets, config.micro_tokens):
        heard = judge(net, some)
        weight_gM = None if weight_GM is None else weight_GM[at : at + len(some)]
        share, at = len(some) / len(sets), at + len(some)
        loss = share * preference_loss(config, heard, weight_gM)
        seen["loss"] += float(loss.detach())
        if net.worth:
            cost, here = judged_loss(net, heard)
            seen["aspect_loss"] += float(cost.detach()) * here / max(judged, 1)
            loss = loss + config.aspect_loss * cost * (here / max(judged, 1))
        loss.backward()
        won, pairs_here = strict_wins(heard.each_NM.detach().mean(1), heard.rank_N, heard.group_N)
        right, of = right + won, of + pairs_here
    return seen | {"accuracy": right / max(of, 1)}


def preference_loss(
    config: RewardConfig, heard: Scored, weight_GM: Float[Tensor, "G M"] | None = None
) -> Float[Tensor, ""]:
    """The mean over heads of what each makes of the rankings."""
    rank_N, group_N = heard.rank_N, heard.group_N
    weight_NM = None if weight_GM is None else weight_GM[group_N]
    losses = []
    for m, score_N in enumerate(heard.each_NM.unbind(1)):
        weight_N = None if weight_NM is None else weight_NM[:, m]
        if config.loss == "plackett_luce":
            losses.append(plackett_luce_loss(score_N, rank_N, group_N, weight=weight_N))
        else:
            rate, grade_N = config.tie_rate or 1 / 3, grades(config, heard)
            losses.append(ranking_loss(score_N, rank_N, group_N, config.ties, rate, weight=weight_N, grade=grade_N))
    return torch.stack(losses).mean()


def grades(config: RewardConfig, heard: Scored) -> Float[Tensor, " N"] | None:
    """How far ahead answers should be, in scores: by their tiers, or by their Likert points. A ranking with an answer
    that nobody rated has no margins."""
    if config.margin == 0:
        return None
    if config.margin_from == "ranks":
        return -config.margin * heard.rank_N.to(heard.each_NM)
    points = [6 * said.get("overall", float("nan")) for said in heard.said]
    grade_N = config.margin * torch.tensor(points, dtype=heard.each_NM.dtype)
    unrated_G = torch.zeros(int(heard.group_N.max()) + 1, dtype=torch.bool)
    unrated_G[heard.group_N[grade_N.isnan()]] = True
    return grade_N.masked_fill(unrated_G[heard.group_N], 0)


def judged_loss(net: RewardModel, heard: Scored) -> tuple[Float[Tensor, ""], int]:
    """The aspects' loss, and of how many judged shares it is the mean."""
    judged_NJ = torch.tensor([[name in said for name in net.worth] for said in heard.said])
    share_NJ = torch.tensor([[said.get(name, 0.0) for name in net.worth] for said in heard.said])
    return aspect_loss(heard.logit_NJ, share_NJ.to(heard.logit_NJ), judged_NJ), int(judged_NJ.sum())


@torch.no_grad()
def measure(net: RewardModel, config: RewardConfig, sets: Sequence[RankedSet]) -> dict[str, float]:
    """The loss that is trained, ties as it has them, and accuracy over strict pairs, of all and by the labeler's group.
    Who ties everything has a loss and no accuracy."""
    losses, wins, counts = 0.0, {}, {}
    for some in pieces(sets, config.micro_tokens):
        heard = judge(net, some)
        heard = heard._replace(each_NM=heard.each_NM.mean(1, keepdim=True))  # the ensemble is asked as one
        losses += float(preference_loss(config, heard)) * len(some)
        score_N = heard.each_NM[:, 0] + net.worthy(heard.logit_NJ)
        for name in ("all", *{s.group for s in some}):
            of_N = torch.tensor([name in ("all", some[g].group) for g in heard.group_N.tolist()])
            won, of = strict_wins(score_N[of_N], heard.rank_N[of_N], heard.group_N[of_N])
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


def judge(net: RewardModel, sets: Sequence[RankedSet]) -> Scored:
    """Each answer's scores, given its prompt (paper_index, checklist 10), its rank, and which ranking it is of."""
    last_ND = net.last(plant(answers_of(sets)))
    return Scored(
        net.head(last_ND),
        net.aspect_logits(last_ND),
        torch.tensor([rank for s in sets for rank in s.ranks]),
        torch.tensor([g for g, s in enumerate(sets) for _ in s.answers]),
        tuple(said for s in sets for said in s.aspects or ({},) * len(s.answers)),
    )


def answers_of(sets: Sequence[RankedSet]) -> Turns:
    """Each answer after its prompt, ranking by ranking."""
    return Turns([s.prompt for s in sets for _ in s.answers], [answer for s in sets for answer in s.answers])


def bootstraps(count: int, heads: int, seed: int) -> Float[Tensor, "G M"]:
    """How often each ranking counts for each head: drawn with replacement, as many as there are; once for a lone head.

    Rankings are drawn and not labelers: few labelers would leave each head blind to a third of the people.
    """
    if heads == 1:
        return torch.ones(count, 1)
    drawn = [torch.randint(count, (count,), generator=stream(seed, "reward", "bootstrap", m)) for m in range(heads)]
    return torch.stack([places.bincount(minlength=count).float() for places in drawn], dim=1)


def share_of_ties(sets: Sequence[RankedSet]) -> float:
    """How often two answers of a ranking are tied: what `tie_rate` is most likely to be, were all equally good."""
    tied, of = 1, 2  # one imagined pair of each kind, so that it is neither 0 nor 1
    for s in sets:
        same = sum(s.ranks.count(rank) * (s.ranks.count(rank) - 1) // 2 for rank in set(s.ranks))
        tied, of = tied + same, of + len(s.ranks) * (len(s.ranks) - 1) // 2
    return tied / of


def check(config: RewardConfig, valid: Path | None, demos: Path | None, judgements: Path | None) -> None:
    """Refuse settings that contradict one another or ask for what is not given."""
    if config.lora_rank and config.extra_layers:
        raise ConfigError("extra_layers: new layers learn all their weights; say extra_layers=0, or lora_rank=0")
    if config.center == "demonstrations" and demos is None:
        raise ConfigError("center: no demonstrations are given, which score 0 on average; give demos or center=answers")
    if config.select == "valid_loss" and valid is None:
        raise ConfigError("select: valid_loss needs valid rankings")
    if config.ties != "drop" and config.loss == "plackett_luce":
        raise ConfigError(f"ties: {config.ties} is of pairs; with loss=plackett_luce say ties=drop")
    if config.margin and (config.loss == "plackett_luce" or config.ties != "drop"):
        raise ConfigError("margin: goes with loss=pairs and ties=drop")
    if judgements is None and (config.aspects or (config.margin and config.margin_from == "ratings")):
        key = "aspects" if config.aspects else "margin_from"
        raise ConfigError(f"{key}: needs judgements of the ranked answers; give judgements=FILE")
    if judgements is not None and not config.aspects and not (config.margin and config.margin_from == "ratings"):
        raise ConfigError("judgements: nothing learns from them; give aspects, or margin and margin_from=ratings")


def check_judged(config: RewardConfig, sets: Sequence[RankedSet], rankings: Path, judgements: Path | None) -> None:
    """Every aspect that is to be learnt is judged somewhere."""
    told = {name for s in sets for said in s.aspects for name in said}
    asked: set[Aspect] = {*config.aspects, *(("overall",) if config.margin and config.margin_from == "ratings" else ())}
    if missing := sorted(asked - told):
        raise ValueError(f"{judgements}: says nothing of {missing[0]} about the answers ranked in {rankings}")


def usable(sets: list[RankedSet], longest: int, ties: str, path: Path) -> list[RankedSet]:
    """Rankings that fit the model and say something."""
    short = [s for s in sets if s.longest <= longest]
    if not short:
        raise ValueError(f"{path}: every ranking is longer than {longest} tokens")
    said = [s for s in short if ties != "drop" or len(set(s.ranks)) > 1]
    if not said:
        raise ValueError(f"{path}: every ranking is one great tie, so there is nothing to learn")
    why = f"{len(sets) - len(short):,} have an answer that ends after more than {longest} tokens"
    why += f", {len(short) - len(said):,} are one great tie" if len(said) < len(short) else ""
    loop.tell_left_out(path, "rankings are learnt from", len(said), len(sets), why)
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
    each_AM = reward.each(net, turns.take(fit), config.micro_tokens)
    reward.center(net, each_AM.double().mean(0).float())


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

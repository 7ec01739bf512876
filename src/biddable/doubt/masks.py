"""What each token carries, of the first rows of the user's own data, by the very functions that the trainers call.

N = tokens of the row, A = answers, T = tokens of the longest.

Nothing here decides what counts: the row is the forest that a trainer would read (`model/forest.py`), and what is shown
at a place is what the stage's own functions give for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from biddable.config import ConfigError, Settings
from biddable.doubt.work import method_of
from biddable.learn import dpo, episodes, group, loop, ppo, raft, sft
from biddable.learn import reward as ranking
from biddable.learn.dpo import DpoConfig
from biddable.learn.episodes import EpisodeSettings, Judged
from biddable.learn.group import GrpoConfig, ReinforceConfig, RlooConfig
from biddable.learn.ppo import PpoConfig
from biddable.learn.raft import RaftConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.losses.kl import k1
from biddable.losses.ppo import token_rewards
from biddable.model import causal
from biddable.model.forest import Forest, Turns, plant, unprompted
from biddable.sample.local import Rollout
from biddable.text import snapshots
from biddable.text.tokenizer import Tokenizer

NOTHING = float("nan")  # carried: a number of 0 is one, too


@dataclass(frozen=True)
class Token:
    text: str
    id: int
    position: int
    carries: Mapping[str, float]  # by the lens; what is not here is not carried


@dataclass(frozen=True)
class Strip:
    """Tokens that stand one after another in the row: a prompt, an answer, or both."""

    title: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Row:
    """A tree of the forest: a prompt and what answers it."""

    title: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Masks:
    stage: str
    lenses: Mapping[str, str]  # what can be carried, and what that means
    rows: tuple[Row, ...]
    says: tuple[str, ...]


def masks(stage: str, config: Settings, inputs: Mapping[str, Path], seed: int, rows: int, policy: Path | None) -> Masks:
    """The first `rows` rows of a stage."""
    if policy and not isinstance(config, DpoConfig | EpisodeSettings):
        raise ConfigError(f"--policy: is for what has a reference; {stage} has none")
    match config:
        case SftConfig():
            return of_sft(config, inputs, rows)
        case StartConfig():
            return of_start(config, inputs, rows)
        case RewardConfig():
            return of_reward(config, inputs, rows)
        case DpoConfig():
            return of_dpo(config, inputs, seed, rows, policy)
        case EpisodeSettings():
            return of_episodes(config, inputs, seed, rows, policy)
    raise ConfigError(f"{stage}: masks are shown of stages that train")


LOSS = "the token is learnt: the number is its −log p under the model as it is now"


def of_sft(config: SftConfig, inputs: Mapping[str, Path], rows: int) -> Masks:
    lm, tokenizer = causal.load(inputs["model"])
    demos = snapshots.demonstrations(inputs["demos"], tokenizer)
    kept = sft.fitting(demos, inputs["demos"], lm, config.prompt_tokens, config.answer_tokens)
    turns = sft.turns_of(config, kept[:rows])
    loss_AT, forest = nll(lm, turns)
    said = f"{len(kept)} of {len(demos)} demonstrations fit prompt_tokens, answer_tokens and the model."
    return Masks("sft", {"loss": LOSS}, laid_out(forest, tokenizer, {"loss": loss_AT}, "Demonstration"), (said,))


def of_start(config: StartConfig, inputs: Mapping[str, Path], rows: int) -> Masks:
    lm, tokenizer = causal.load(inputs["model"])
    demos = snapshots.demonstrations(inputs["demos"], tokenizer)
    kept = sft.fitting(demos, inputs["demos"], lm, config.prompt_tokens, config.answer_tokens)
    text = snapshots.pages(inputs["pages"], tokenizer, min(config.page_tokens, causal.context(lm)))
    shown = []
    for title, turns in (
        ("Demonstration", sft.answers_of(kept[:rows])),
        ("Pretraining text", unprompted(text[: max(1, rows // 2)])),
    ):
        loss_AT, forest = nll(lm, turns)
        shown += laid_out(forest, tokenizer, {"loss": loss_AT}, title)
    pages = round(config.batch * config.mix)
    said = (
        f"A batch of {config.batch} is {config.batch - pages} demonstrations and {pages} pages; all tokens weigh alike."
    )
    return Masks("start", {"loss": LOSS}, tuple(shown), (said,))


def of_reward(config: RewardConfig, inputs: Mapping[str, Path], rows: int) -> Masks:
    lm, tokenizer = causal.load(inputs["model"])
    longest = min(config.max_tokens, causal.context(lm))
    every = snapshots.rankings(inputs["rankings"], tokenizer)
    kept = ranking.usable(every, longest, config.ties, inputs["rankings"])
    forest = plant(ranking.answers_of(kept[:rows]))
    ranks = [rank for one in kept[:rows] for rank in one.ranks]
    read_N = torch.full((len(forest.token_N),), NOTHING)
    read_N[forest.last_A] = torch.tensor(ranks, dtype=torch.float)
    shown = rows_of(forest, tokenizer, {"score": read_N}, "Ranking", lambda a: f"Answer, place {ranks[a]}")
    lens = "the score is read here, at the answer's last token; the number is the place that people gave the answer"
    said = f"{len(kept)} of {len(every)} rankings fit max_tokens and are not one great tie."
    return Masks("reward", {"score": lens}, shown, (said,))


def of_dpo(config: DpoConfig, inputs: Mapping[str, Path], seed: int, rows: int, policy: Path | None) -> Masks:
    lm, tokenizer = causal.load(inputs["model"])
    now = causal.load(policy)[0] if policy else lm
    every = dpo.rankings_of(config, tokenizer, inputs["rankings"])
    said, beside = dpo.sets_of(lm, config, every, inputs["rankings"], seed, 0)
    sets, strays = said[:rows], beside[:rows]
    asked = [*sets, *strays]
    reference = torch.zeros(sum(len(s.answers) for s in asked))
    if config.method not in dpo.FREE:
        reference = dpo.reference(lm, config, asked)
    forest, names = plant(ranking.answers_of(sets)), [name for one in sets for name in called(one)]
    push_A, length = pushes(now, config, dpo.lessons_of(sets, strays, reference)), int(forest.length_A.max())
    carried = {"loss": push_A[:, None].expand(-1, length)} | leaning(lm, now, config, forest)
    shown = list(laid_out(forest, tokenizer, carried, "Ranking", lambda a: f"Answer, {names[a]}"))
    if strays:
        other = plant(ranking.answers_of(strays))
        shown += laid_out(other, tokenizer, leaning(lm, now, config, other), "For the reference point")
    text = dpo.ptx_pages(lm, config, tokenizer, inputs.get("pages"))
    shown += pretraining(now, tokenizer, text, rows)
    judged = f"judged answers to {len(said)} prompts fit max_tokens."
    ranked = f"{len(said)} rankings fit max_tokens and are not one great tie."
    told = [f"{config.method}: {judged if said[0].liked else ranked}"]
    told += [] if policy or config.method in dpo.FREE else [STILL]
    free = () if config.method not in dpo.FREE else ("kl", "reference")
    lenses = {lens: what for lens, what in DPO.items() if lens not in free and (lens != "ptx" or text)}
    return Masks("dpo", lenses, tuple(shown), tuple(told))


def called(one: snapshots.RankedSet) -> list[str]:
    """What people said of each answer of a prompt."""
    if one.liked:
        return ["desirable" if good else "undesirable" for good in one.liked]
    return [f"place {rank}" for rank in one.ranks]


def pushes(lm: causal.PreTrainedModel, config: DpoConfig, lessons: dpo.Lessons) -> Float[Tensor, " A"]:
    """−∂loss/∂log π of each answer's tokens; an answer that no pair and no label tells of carries nothing."""
    kl = dpo.drift(lm, config, lessons.strays) if lessons.strays else torch.zeros(())
    with torch.no_grad():
        seen = dpo.see(lm, lessons.said)
    logp_A = seen.logp_N.clone().requires_grad_()
    best = sum(map(dpo.best_length, lessons.said))
    loss, _ = dpo.whole_loss(config, replace(seen, logp_N=logp_A), kl, 1.0, best)
    [slope_A] = torch.autograd.grad(loss, logp_A)
    return torch.where(slope_A == 0, NOTHING, -slope_A)


def leaning(
    lm: causal.PreTrainedModel, now: causal.PreTrainedModel, config: DpoConfig, forest: Forest
) -> dict[str, Float[Tensor, "A T"]]:
    """What the reference says of each token, and how far the policy has left it; nothing where there is none."""
    if config.method in dpo.FREE:
        return {}
    with torch.no_grad():
        ref_AT, now_AT = (forest.spread(causal.answer_logp(net, forest)) for net in (lm, now))
    return {"kl": k1(now_AT, ref_AT), "reference": ref_AT}


def of_episodes(
    config: EpisodeSettings, inputs: Mapping[str, Path], seed: int, rows: int, policy: Path | None
) -> Masks:
    actors, pool, text = episodes.prepared(config, method_of(config)[0], episodes.files(inputs), seed)
    if policy:
        actors = replace(actors, policy=causal.load(policy)[0])
    places, samples = loop.endless(len(pool), 0, rows, seed, config.stage, "prompts"), config.rounds.samples
    rollout = episodes.sample(actors, config, [pool[i] for i in places for _ in range(samples)], seed, 0)
    judged, seen = episodes.judge(actors, config, rollout, "masks")
    carried = learnt(actors, config, rollout, judged) | worth(actors, config, judged)
    forest, title = plant(rollout.turns), "Prompt and answer" if samples == 1 else "Prompt and answers"
    shown = list(laid_out(forest, actors.tokenizer, carried, title))
    shown += pretraining(actors.policy, actors.tokenizer, text, rows)
    said = [
        f"Mean score {seen['score']:.2f}, reward {seen['reward']:.2f}, KL {seen['kl']:.2f} nats an answer; "
        f"{seen['end_rate']:.0%} of these answers end by themselves."
    ]
    said += [STILL] if policy is None else []
    told = {**EPISODES, **LEARNT[config.stage], **(IN_LOSS if kl_in_loss(config) else {})}
    lenses = {lens: what for lens, what in told.items() if lens in carried or (lens == "ptx" and text)}
    return Masks(config.stage, lenses, tuple(shown), tuple(said))


STILL = "The policy is still its reference, so that every KL is 0; --policy RUN shows a trained one."
DPO = {
    "loss": "the token is learnt: the number is by how much the loss of these rankings falls for each nat by which the "
    "token grows likelier; below 0 it is made less likely",
    "kl": "log π − log reference: how much likelier the token is than it was; its sum over an answer is compared",
    "reference": "log p of the token under the start model, which is read off once",
    "ptx": "the token of a pretraining page is learnt beside: the number is its −log p, to be times gamma_ptx",
}
EPISODES = {
    "loss": "the token is learnt: the number is its advantage, by which its log-probability is pushed up or down",
    "kl": "log π − log reference: how much likelier the token is than it was; β times this is taken off",
    "reward": "what the token is paid: −β times its KL, and at the last token the reward model's score, less the "
    "penalty where the end is missing",
    "reference": "log p of the token under the reference, which is the start model",
    "value": "what the value network expects before the token is written",
    "ptx": "the token of a pretraining page is learnt beside the answers: the number is its −log p, to be times γ",
}
IN_LOSS = {
    "kl": "log π − log reference: how much likelier the token is than it was; β times the KL is in the loss",
    "reward": "what the answer is paid, at its last token: the reward model's score, less the penalty where the end is "
    "missing",
}
WHITE = EPISODES["loss"] + "; in units of these rows, and in training of the batch"
LEARNT: Mapping[str, Mapping[str, str]] = {
    "ppo": {"loss": WHITE},
    "rloo": {"loss": "the token is learnt: the number is how much more its whole answer is paid than its siblings"},
    "grpo": {
        "loss": "the token is learnt: the number is how much better its whole answer scores than its prompt's mean, in "
        "units of their spread unless scale=false"
    },
    "reinforce": {"loss": WHITE},
    "raft": {
        "loss": "the token is learnt: its answer was kept, and the number is its −log p under the model as it is now"
    },
}


def learnt(
    actors: episodes.Actors, config: EpisodeSettings, rollout: Rollout, judged: Judged
) -> dict[str, Float[Tensor, "A T"]]:
    """By what the loss moves each token, as the method's own step has it."""
    match config:
        case PpoConfig():
            assert isinstance(actors, ppo.Actors)
            credit, _ = ppo.judge(actors, config, rollout)
            return {"loss": credit.advantage_BT, "value": credit.value_BT}
        case RaftConfig():
            kept_A = torch.zeros(len(judged.score_B), 1, dtype=torch.bool)
            kept_A[raft.best_of(config, judged.paid(actors.beta(config)))] = True
            return {"loss": torch.where(kept_A, nll(actors.policy, rollout.turns)[0], NOTHING)}
        case RlooConfig() | GrpoConfig() | ReinforceConfig():
            return {"loss": group.judge(actors, config, rollout)[0].advantage_BT}
    raise AssertionError(config.stage)


def kl_in_loss(config: EpisodeSettings) -> bool:
    """And not in the reward."""
    return isinstance(config, GrpoConfig) or (isinstance(config, ReinforceConfig) and config.baseline)


def worth(actors: episodes.Actors, config: EpisodeSettings, judged: Judged) -> dict[str, Float[Tensor, "A T"]]:
    """The KL and the reward of each token, of which the trainers keep the advantages alone."""
    logp_AT, ref_logp_AT = judged.logp_BT, judged.ref_logp_BT
    beta = 0.0 if kl_in_loss(config) else actors.beta(config)
    reward_AT = token_rewards(judged.score_B, logp_AT, ref_logp_AT, judged.mask_BT, beta)
    return {"kl": k1(logp_AT, ref_logp_AT), "reward": reward_AT, "reference": ref_logp_AT}


def pretraining(
    lm: causal.PreTrainedModel, tokenizer: Tokenizer, text: Sequence[list[int]], rows: int
) -> tuple[Row, ...]:
    """A few pages of the mix."""
    if not text:
        return ()
    loss_AT, forest = nll(lm, unprompted(text[: max(1, rows // 2)]))
    return laid_out(forest, tokenizer, {"ptx": loss_AT}, "Pretraining text")


def nll(lm: causal.PreTrainedModel, turns: Turns) -> tuple[Float[Tensor, "A T"], Forest]:
    """−log p of each predicted token, and the forest in which they stand."""
    forest = plant(turns)
    return -forest.spread(causal.answer_logp(lm, forest)).float().cpu(), forest


def laid_out(
    forest: Forest,
    tokenizer: Tokenizer,
    carried: Mapping[str, Float[Tensor, "A T"]],
    title: str,
    name: Callable[[int], str] | None = None,
) -> tuple[Row, ...]:
    """Numbers of predicted tokens, put at their places in the row."""
    return rows_of(forest, tokenizer, {lens: placed(forest, x_AT) for lens, x_AT in carried.items()}, title, name)


def placed(forest: Forest, x_AT: Float[Tensor, "A T"]) -> Float[Tensor, " N"]:
    """Each number at its token. Where nothing is carried there is none.

    An answer's tokens stand one after another and end at its last; the one from which its first is predicted, the
    prompt's, may stand far from it.
    """
    out_N = torch.full((len(forest.token_N),), NOTHING)
    last_M = forest.last_A.repeat_interleave(forest.length_A)
    to_come_M = forest.position_N[last_M] - forest.position_N[forest.before_M] - 1
    out_N[last_M - to_come_M] = x_AT[forest.answer_AT]
    return out_N


def rows_of(
    forest: Forest,
    tokenizer: Tokenizer,
    carried: Mapping[str, Float[Tensor, " N"]],
    title: str,
    name: Callable[[int], str] | None = None,
) -> tuple[Row, ...]:
    """The forest's trees, token by token."""
    name = name or (lambda a: f"Answer {a + 1}")
    answer_at = {last: a for a, last in enumerate(forest.last_A.tolist())}
    tokens = tokens_of(forest, tokenizer, carried)
    found = []
    for nth, tree in enumerate(forest.trees, start=1):
        spans = tree.spans
        titles = ["Prompt", *(name(answer_at[end - 1]) for _, end in spans[1:])] if tree.forks else [""]
        strips = (Strip(head, tokens[begin:end]) for head, (begin, end) in zip(titles, spans, strict=True))
        found.append(Row(f"{title} {nth}", tuple(strips)))
    return tuple(found)


def tokens_of(forest: Forest, tokenizer: Tokenizer, carried: Mapping[str, Float[Tensor, " N"]]) -> tuple[Token, ...]:
    numbers = {lens: x_N.tolist() for lens, x_N in carried.items()}
    ids, positions = forest.token_N.tolist(), forest.position_N.tolist()
    return tuple(
        Token(shown, id_, position, {lens: x[n] for lens, x in numbers.items() if x[n] == x[n]})  # NaN is not itself
        for n, (shown, id_, position) in enumerate(zip(written(tokenizer, ids), ids, positions, strict=True))
    )


def written(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Each token as a person reads it: its text, or its name where it has none or only a part of a letter."""
    texts = [str(tokenizer.decode([id_], clean_up_tokenization_spaces=False)) for id_ in ids]
    names = tokenizer.convert_ids_to_tokens(list(ids))
    return [name if not text or "\ufffd" in text else text for text, name in zip(texts, names, strict=True)]

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
from biddable.learn import episodes, loop, ppo, sft
from biddable.learn import reward as ranking
from biddable.learn.ppo import PpoConfig
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
    if policy and stage != "ppo":
        raise ConfigError(f"--policy: is for ppo; {stage} has none")
    match config:
        case SftConfig():
            return of_sft(config, inputs, rows)
        case StartConfig():
            return of_start(config, inputs, rows)
        case RewardConfig():
            return of_reward(config, inputs, rows)
        case PpoConfig():
            return of_ppo(config, inputs, seed, rows, policy)
    raise ConfigError(f"{stage}: masks are shown of sft, start, reward and ppo")


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


def of_ppo(config: PpoConfig, inputs: Mapping[str, Path], seed: int, rows: int, policy: Path | None) -> Masks:
    actors, pool, text = episodes.prepared(config, ppo.assemble, episodes.files(inputs), seed)
    if policy:
        actors = replace(actors, policy=causal.load(policy)[0])
    prompts = [pool[i] for i in loop.endless(len(pool), 0, rows, seed, "ppo", "prompts")]
    rollout = episodes.sample(actors, config, prompts, seed, 0)
    credit, seen = ppo.judge(actors, config, rollout)
    carried = {"loss": credit.advantage_BT, "value": credit.value_BT} | worth(actors, config, rollout)
    shown = list(laid_out(plant(rollout.turns), actors.tokenizer, carried, "Prompt and answer"))
    if text:
        loss_AT, forest = nll(actors.policy, unprompted(text[: max(1, rows // 2)]))
        shown += laid_out(forest, actors.tokenizer, {"ptx": loss_AT}, "Pretraining text")
    said = [
        f"Mean score {seen['score']:.2f}, reward {seen['reward']:.2f}, KL {seen['kl']:.2f} nats an answer; "
        f"{seen['end_rate']:.0%} of these answers end by themselves."
    ]
    if policy is None:
        said.append("The policy is still its reference, so that every KL is 0; --policy RUN shows a trained one.")
    lenses = {lens: what for lens, what in PPO.items() if lens != "ptx" or text}
    return Masks("ppo", lenses, tuple(shown), tuple(said))


PPO = {
    "loss": "the token is learnt: the number is its advantage, by which its log-probability is pushed up or down",
    "kl": "log π − log reference: how much likelier the token is than it was; β times this is taken off",
    "reward": "what the token is paid: −β times its KL, and at the last token the reward model's score, less the "
    "penalty where the end is missing",
    "value": "what the value network expects before the token is written",
    "ptx": "the token of a pretraining page is learnt beside the answers: the number is its −log p, to be times γ",
}


def worth(actors: ppo.Actors, config: PpoConfig, rollout: Rollout) -> dict[str, Float[Tensor, "A T"]]:
    """The KL and the reward of each token, which `ppo.judge` forgets once it has made advantages of them."""
    judged, _ = episodes.judge(actors, config, rollout, "masks")
    logp_AT, ref_logp_AT = judged.logp_BT, judged.ref_logp_BT
    reward_AT = token_rewards(judged.score_B, logp_AT, ref_logp_AT, judged.mask_BT, actors.beta(config))
    return {"kl": k1(logp_AT, ref_logp_AT), "reward": reward_AT}


def nll(lm: causal.PreTrainedModel, turns: Turns) -> tuple[Float[Tensor, "A T"], Forest]:
    """−log p of each predicted token, and the forest in which they stand."""
    forest = plant(turns)
    return -forest.spread(causal.answer_logp(lm, forest)).float().cpu(), forest


def laid_out(
    forest: Forest, tokenizer: Tokenizer, carried: Mapping[str, Float[Tensor, "A T"]], title: str
) -> tuple[Row, ...]:
    """Numbers of predicted tokens, put at their places in the row."""
    return rows_of(forest, tokenizer, {lens: placed(forest, x_AT) for lens, x_AT in carried.items()}, title)


def placed(forest: Forest, x_AT: Float[Tensor, "A T"]) -> Float[Tensor, " N"]:
    """Each number at its token. Where nothing is carried there is none."""
    out_N = torch.full((len(forest.token_N),), NOTHING)
    out_N[forest.before_M + 1] = x_AT[forest.answer_AT]
    return out_N


def rows_of(
    forest: Forest,
    tokenizer: Tokenizer,
    carried: Mapping[str, Float[Tensor, " N"]],
    title: str,
    name: Callable[[int], str] = "Answer {}".format,
) -> tuple[Row, ...]:
    """The forest's trees, token by token."""
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

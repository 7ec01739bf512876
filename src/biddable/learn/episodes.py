"""What the stages that learn from their own answers (ppo, group, raft) share: answers are sampled and judged, the
policy moves, all is kept.

B = answers of an iteration, T = tokens of the longest answer. A prompt's samples stand beside one another in a batch:
they are one tree of a forest, whose prompt is read once.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NotRequired, TypedDict

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from biddable.config import ConfigError
from biddable.learn import kept, loop, sft, tuning
from biddable.learn.held_out import Best, onlooker
from biddable.learn.loop import stream
from biddable.learn.tuning import TuningSettings
from biddable.losses.kl import ERROR_LIMIT, AdaptiveKL, k1
from biddable.model import causal, checkpoint, lora, reward
from biddable.model.forest import Turns, unprompted
from biddable.model.reader import Reader, reader
from biddable.model.reward import RewardModel
from biddable.records import Prompt
from biddable.runs import Run
from biddable.sample.local import Rollout, respond
from biddable.sample.variety import distinct
from biddable.text import snapshots
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids

ALONE = "1 answer to a prompt has no siblings to be compared with: take at least 2"


class Rounds(NamedTuple):
    """How often how much is asked."""

    iterations: int
    prompts: int  # an iteration
    samples: int  # answers to each


class EpisodeSettings(TuningSettings):
    """What every method has: how answers are sampled, paid for and learnt, and when to stop."""

    stage: ClassVar[str]  # whose luck it is

    batch: int = Field(512, gt=0, description="answers that are learnt an iteration")
    minibatch: int = Field(64, gt=0, description="answers an update; a random split of those that are learnt")
    inner_epochs: int = Field(1, gt=0, description="passes over each batch")
    learning_rate: float = Field(9e-6, gt=0, description="the policy's; the paper swept 2.55e-6 … 2.55e-5, per size")
    beta: float = Field(0.02, ge=0, description="β, the KL penalty a token, in the reward")
    kl_target: float = Field(0.0, ge=0, description="nats an answer at which β is moved to hold the KL; 0: fixed β")
    kl_horizon: float = Field(10_000, gt=0, description="episodes over which β moves; fewer is faster")
    gamma_ptx: float = Field(27.8, ge=0, description="γ, on pretraining text's mean log-likelihood a token; 0 is none")
    ptx_ratio: float = Field(8.0, ge=0, description="pretraining examples an answer that is learnt")
    ptx_tokens: int = Field(2048, gt=1, description="longest pretraining example; longer ones are cut in several")
    temperature: float = Field(1.0, gt=0, description="of sampling, and of every log-probability")
    prompt_tokens: int = Field(1024, gt=0, description="longer prompts are left out")
    answer_tokens: int = Field(1024, gt=0, description="an answer without its end by then is cut")
    missing_end_penalty: float = Field(
        1.0, ge=0, description="taken off the score of an answer that did not end; 0 is off"
    )
    pessimism: float = Field(0.0, ge=0, description="c in mean − c·spread of an ensemble's scores; 0 takes the mean")
    ema: float = Field(0.992, ge=0, lt=1, description="decay of the averaged weights, an update; 0 keeps none")
    save_ema: bool = Field(True, description="the result is the averaged weights, else the last ones")
    checkpoint_every: int = Field(10, gt=0, description="iterations")
    keep_every: int = Field(0, ge=0, description="iterations between policies kept as models, the start too; 0: none")
    valid_every: int = Field(0, ge=0, description="iterations between looks at held-out prompts; 0 is never")
    patience: int = Field(0, ge=0, description="looks without a better held-out reward before stopping; 0 is never")

    @property
    def rounds(self) -> Rounds:
        raise NotImplementedError

    @model_validator(mode="after")
    def _moving(self) -> "EpisodeSettings":
        sampled = self.rounds.prompts * self.rounds.samples
        if self.kl_target and not self.beta:
            raise ValueError("kl_target: a β of 0 stays 0; say where it begins, such as beta=0.02")
        if self.kl_target and sampled * ERROR_LIMIT >= self.kl_horizon:
            raise ValueError(
                f"kl_horizon: {self.kl_horizon:g} is too short for {sampled} answers an iteration: β could fall to 0 "
                f"at once; say {sampled} or more"
            )
        return self


class GradientSettings(EpisodeSettings):
    """What the policy-gradient methods have besides: every answer is learnt, and no minibatch parts a prompt's."""

    fewest: ClassVar[int] = 1  # samples that the method needs

    episodes: int = Field(256_000, gt=0, description="answers sampled in all; rounded up to whole iterations")
    samples: int = Field(1, gt=0, description="answers to each prompt")
    batch: int = Field(512, gt=0, description="answers an iteration")
    minibatch: int = Field(64, gt=0, description="answers an update; a random split of the batch by prompts")
    warmup_iterations: int = Field(10, ge=0, description="from 1/10 of the rate, then constant")
    clip: float = Field(0.2, gt=0, description="the policy ratio's clip")

    @property
    def rounds(self) -> Rounds:
        return Rounds(-(-self.episodes // self.batch), self.batch // self.samples, self.samples)

    @model_validator(mode="after")
    def _whole(self) -> "GradientSettings":
        if self.samples < self.fewest:
            raise ValueError(f"samples: {ALONE}")
        for name in ("batch", "minibatch"):
            if getattr(self, name) % self.samples:
                raise ValueError(
                    f"samples: {self.samples} answers a prompt do not go into a {name} of {getattr(self, name)}; "
                    f"say {name}={-(-getattr(self, name) // self.samples) * self.samples}"
                )
        return self


@dataclass(frozen=True)
class Actors:
    """The networks that every method has, what updates the policy, and its running average."""

    policy: PreTrainedModel
    reference: PreTrainedModel  # a copy that rests; with adapters the policy itself, asked while they are off
    judge: RewardModel
    read: Reader | None  # how the judge reads the policy's answers; None: the same tokens
    tokenizer: Tokenizer
    policy_optimizer: Optimizer
    average: list[Tensor]  # float32, of what the policy learns; empty without an EMA
    controller: AdaptiveKL | None  # of β; None leaves it fixed

    @property
    def learners(self) -> dict[str, tuple[nn.Module, Optimizer]]:
        """The networks that learn, each with its optimiser."""
        return {"policy": (self.policy, self.policy_optimizer)}

    def beta(self, config: EpisodeSettings) -> float:
        """β now."""
        return self.controller.beta if self.controller else config.beta


@dataclass(frozen=True)
class Judged:
    """Answers and what was said of them. Nothing here has a gradient."""

    turns: Turns
    mask_BT: Bool[Tensor, "B T"]
    logp_BT: Float[Tensor, "B T"]  # the sampler's, which are the old ones, being this policy's
    ref_logp_BT: Float[Tensor, "B T"]
    score_B: Float[Tensor, " B"]  # what is paid for, before any KL

    @property
    def kl_B(self) -> Float[Tensor, " B"]:
        """Σₜ log π − log π_ref of each answer."""
        return (k1(self.logp_BT, self.ref_logp_BT) * self.mask_BT).sum(1)

    def paid(self, beta: float) -> Float[Tensor, " B"]:
        """The score less β times the KL."""
        return self.score_B - beta * self.kl_B


Assemble = Callable[[Any, Path, Path, Sequence[Prompt], int], Any]
Step = Callable[[Any, Any, Sequence[Ids], Sequence[Ids], int, int], dict[str, float]]


class Files(TypedDict):
    """`held_out` is a reward model that the policy is not trained on: with `valid` prompts and `patience` it says when
    to stop, since the training reward only ever rises."""

    start: Path
    reward_model: Path
    prompts: Path
    pages: NotRequired[Path | None]
    valid: NotRequired[Path | None]
    held_out: NotRequired[Path | None]


def files(inputs: Mapping[str, Path]) -> Files:
    """A verb's inputs, to ask for and to learn from."""
    return Files(
        start=inputs["start"],
        reward_model=inputs["reward_model"],
        prompts=inputs["prompts"],
        pages=inputs.get("pages"),
    )


def assemble(
    config: EpisodeSettings, start: Path, reward_model: Path, asked: Sequence[Prompt], seed: int = 0
) -> Actors:
    """Load the networks. All in eval mode for good: dropout would make every log-probability another one."""
    policy, tokenizer = causal.load(start)
    judge, judge_tokenizer = reward.load(reward_model)
    read = reader(tokenizer, judge_tokenizer, asked, causal.context(judge.lm))
    reference = policy if config.lora_rank else copy.deepcopy(policy).requires_grad_(False)
    judge.requires_grad_(False)
    tuning.adapt(policy, config, seed, config.stage)
    optimizer = loop.adamw(policy, config.learning_rate, config)
    average = loop.copied(policy) if config.ema else []
    controller = AdaptiveKL(config.beta, config.kl_target, config.kl_horizon) if config.kl_target else None
    return Actors(policy, reference, judge, read, tokenizer, optimizer, average, controller)


def train(run: Run, config: EpisodeSettings, assemble: Assemble, step: Step, files: Files) -> Path:
    """One iteration after another, each by `step`, with looks and checkpoints; returns the trained policy's folder."""
    actors, pool, text = prepared(config, assemble, files, run.seed)
    looks = onlooker(
        files.get("valid"), files.get("held_out"), actors.tokenizer, config.answer_tokens, config.prompt_tokens,
        config.micro_tokens,
    )  # fmt: skip
    if config.patience and not (looks and config.valid_every):
        raise ConfigError("patience: needs valid_every, valid prompts and a held-out reward model to look on")
    iterations = config.rounds.iterations
    first, best, along = resume(run, actors)
    if config.keep_every and first == 0:
        along = kept.keep(run, actors.policy, result(config, actors), actors.tokenizer, 0)

    with run.steps(config.stage, iterations, first, "iterations") as bar:
        for k in range(first, iterations):
            if best.tired(config.patience):
                break
            seen = step(actors, config, *drawn(config, pool, text, run.seed, k), run.seed, k)
            if looks and config.valid_every and (k + 1) % config.valid_every == 0:
                seen |= looks.look(actors.policy)
                best = best.after(seen["held_out_score"], k + 1, result(config, actors))
            run.log(k + 1, **seen)
            bar.advance()
            if config.keep_every and (k + 1) % config.keep_every == 0:
                along |= kept.keep(run, actors.policy, result(config, actors), actors.tokenizer, k + 1)
            due = (k + 1) % config.checkpoint_every == 0 or k + 1 == iterations or best.tired(config.patience)
            if due or run.leaving:
                keep(run, actors, best, along, k + 1)
    loop.put(actors.policy, best.weights if config.patience and best.weights else result(config, actors))
    return tuning.leave(run, actors.policy, actors.tokenizer)


def prepared(config: EpisodeSettings, assemble: Assemble, files: Files, seed: int) -> tuple[Any, list[Ids], list[Ids]]:
    """The actors, the prompts that fit, and the pretraining text."""
    asked = snapshots.prompts(files["prompts"])
    actors = assemble(config, files["start"], files["reward_model"], asked, seed)
    pool = fitting(config, actors, asked, files["prompts"])
    return actors, pool, ptx_pages(config, actors, files.get("pages"))


def drawn(
    config: EpisodeSettings, pool: Sequence[Ids], text: Sequence[Ids], seed: int, k: int
) -> tuple[list[Ids], list[Ids]]:
    """The prompts of iteration k, each as often as it is answered, and the pages that are learnt beside."""
    _, prompts, samples = config.rounds
    places = loop.endless(len(pool), k * prompts, prompts, seed, config.stage, "prompts")
    count = round(config.batch * config.ptx_ratio) if text else 0
    pieces = loop.endless(len(text), k * count, count, seed, config.stage, "pages")
    return [pool[i] for i in places for _ in range(samples)], [text[i] for i in pieces]


def sample(actors: Actors, config: EpisodeSettings, prompts: Sequence[Ids], seed: int, k: int) -> Rollout:
    """Ask the policy."""
    luck = stream(seed, config.stage, "rollout", k)
    return respond(
        actors.policy, actors.tokenizer, prompts, config.answer_tokens, generator=luck, temperature=config.temperature
    )


def scores_and_spread(
    actors: Actors, config: EpisodeSettings, rollout: Rollout
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """What the reward model says, in its own tokens."""
    turns = rollout.turns
    told = actors.read(turns, rollout.finished_B.tolist()) if actors.read else turns
    with lora.off(actors.judge):  # which a value network may have put on
        return reward.scores_and_spread(actors.judge, told, config.micro_tokens)


@torch.no_grad()
def judge(actors: Actors, config: EpisodeSettings, rollout: Rollout, where: str) -> tuple[Judged, dict[str, float]]:
    """Have answers scored and compared with what the reference would have said."""
    turns, mask_BT, logp_BT = rollout.turns, rollout.mask_BT, rollout.logp_BT
    mean_B, spread_B = scores_and_spread(actors, config, rollout)
    if config.pessimism and not spread_B.any():
        raise ConfigError("pessimism: the reward model has one judge, so there is no spread; say pessimism=0")
    score_B = mean_B - config.pessimism * spread_B - config.missing_end_penalty * ~rollout.finished_B
    with lora.off(actors.reference):
        ref_logp_BT = causal.in_pieces(
            lambda forest: forest.spread(causal.answer_logp(actors.reference, forest, config.temperature)),
            turns,
            config.micro_tokens,
        )
    loop.finite(where, score=score_B, logp=logp_BT, reference_logp=ref_logp_BT)
    judged = Judged(turns, mask_BT, logp_BT, ref_logp_BT, score_B)
    seen = {
        "reward": judged.paid(actors.beta(config)).mean(),
        "score": mean_B.mean(),
        "spread": spread_B.mean(),
        "kl": judged.kl_B.mean(),
        "length": mask_BT.sum(1).float().mean(),
        "end_rate": rollout.finished_B.float().mean(),
    }
    if actors.judge.known:
        seen["beyond"] = (mean_B > actors.judge.known[1]).float().mean()
    looks = {key: float(x) for key, x in seen.items()}
    looks |= {"distinct": distinct(rollout.answers), "beta": actors.beta(config)}
    return judged, looks


def minibatches(
    config: EpisodeSettings, answers: int, siblings: int, pages: Sequence[Ids], seed: int, k: int
) -> Iterator[tuple[list[int], Sequence[Ids]]]:
    """Which answers and which pages make each update of iteration k: each answer once an inner epoch, and no `siblings`
    that stand together apart."""
    for inner in range(config.inner_epochs):
        order = torch.randperm(answers // siblings, generator=stream(seed, config.stage, "minibatch", k, inner))
        parts = order.split(config.minibatch // siblings)
        for nth, some in enumerate(parts):
            text = pages[nth * len(pages) // len(parts) : (nth + 1) * len(pages) // len(parts)]
            yield [siblings * i + s for i in some.tolist() for s in range(siblings)], text


def together(looks: Sequence[dict[str, float]]) -> dict[str, float]:
    """What the updates of an iteration looked like on average, and at the first, whose ratio must be 1."""
    mean = {key: sum(look[key] for look in looks) / len(looks) for key in looks[0]}
    first = {"first_ratio": "ratio", "first_kl": "approx_kl"}
    return mean | {name: looks[0][key] for name, key in first.items() if key in looks[0]}


def move(actors: Actors, config: EpisodeSettings, pages: Sequence[Ids], where: str) -> dict[str, float]:
    """From the gathered gradient, with the pretraining text's added to it, one optimiser step (paper, App. C.4)."""
    gradient = loop.gradients(actors.policy)
    seen = {"policy_gradient": loop.norm(gradient)}
    if pages:
        before = [g.clone() for g in gradient]
        # No optimiser step of its own: that would be another Adam.
        seen["ptx_loss"] = sft.gradient(actors.policy, unprompted(pages), config.micro_tokens, config.gamma_ptx)
        loop.finite(where, ptx_loss=seen["ptx_loss"])
        seen["ptx_gradient"] = loop.norm(torch._foreach_sub(loop.gradients(actors.policy), before))
    loop.step(actors.policy_optimizer, config, f"{where}: policy")
    if actors.average:
        with torch.no_grad():
            now = [p.float() for p in checkpoint.trained(actors.policy).values()]
            torch._foreach_lerp_(actors.average, now, 1 - config.ema)
    return seen


def steer(actors: Actors, kl: float, answers: int) -> None:
    """After an iteration: β for the next one, if it is not fixed."""
    if actors.controller:
        actors.controller.update(kl, answers)


def fitting(config: EpisodeSettings, actors: Actors, asked: Sequence[Prompt], path: Path) -> list[Ids]:
    """The prompts that leave room for an answer."""
    contexts = [causal.context(actors.policy), *([] if actors.read else [causal.context(actors.judge.lm)])]
    room = min(contexts) - config.answer_tokens
    if room < 1:
        raise ConfigError(
            f"answer_tokens: {config.answer_tokens} leaves no room for a prompt in a context of {min(contexts)} tokens"
        )
    every = prompt_ids(actors.tokenizer, asked)
    pool = [ids for ids in every if len(ids) <= min(room, config.prompt_tokens)]
    pool = [ids for ids in pool if actors.read is None or actors.read.fits(ids)]
    if not pool:
        raise ValueError(f"{path}: all {len(every)} prompts are longer than {min(room, config.prompt_tokens)} tokens")
    why = f"prompt_tokens={config.prompt_tokens}, and {room} are left beside an answer"
    loop.tell_left_out(path, "prompts fit", len(pool), len(every), why)
    return pool


def ptx_pages(config: EpisodeSettings, actors: Actors, path: Path | None) -> list[Ids]:
    """The pretraining text; none without the mix."""
    if config.gamma_ptx == 0 or config.ptx_ratio == 0:
        return []
    if path is None:
        raise ConfigError(
            f"gamma_ptx: is {config.gamma_ptx}, but no pretraining text is given; "
            f"gamma_ptx=0 is plain {config.stage.upper()}"
        )
    return snapshots.pages(path, actors.tokenizer, min(config.ptx_tokens, causal.context(actors.policy)))


def result(config: EpisodeSettings, actors: Actors) -> list[Tensor]:
    """The weights that the stage would leave now."""
    return actors.average if actors.average and config.save_ema else loop.copied(actors.policy)


def keep(run: Run, actors: Actors, best: Best, along: kept.Hashes, k: int) -> None:
    """All that iteration k+1 hangs on, besides the seed: nothing of a rollout, since iterations are whole."""
    tensors = checkpoint.listed("average", actors.average) | checkpoint.listed("best", best.weights)
    for name, (network, optimizer) in actors.learners.items():
        tensors |= checkpoint.parameters(name, network) | checkpoint.moments(f"{name}_adam", optimizer)
    state = {"score": best.score if best.weights else None, "iteration": best.iteration, "waited": best.waited}
    steering = actors.controller.state_dict() if actors.controller else None
    loop.keep(run, k, tensors, {"best": state, "controller": steering, "kept": along})


def resume(run: Run, actors: Actors) -> tuple[int, Best, kept.Hashes]:
    """Put the newest checkpoint into the actors; returns the iteration to do next."""
    saved = loop.resume(run)
    if saved is None:
        return 0, Best(), {}
    for name, (network, optimizer) in actors.learners.items():
        checkpoint.restore(name, network, saved.tensors)
        checkpoint.restore_moments(f"{name}_adam", optimizer, saved.tensors)
    for mine, then in zip(actors.average, checkpoint.unlisted("average", saved.tensors), strict=True):
        mine.copy_(then)
    if actors.controller:
        actors.controller.load_state_dict(saved.state["controller"])
    state, along = saved.state["best"], kept.named_again(run, saved.state["kept"])
    if state["score"] is None:
        return saved.step, Best(waited=state["waited"]), along
    weights = checkpoint.unlisted("best", saved.tensors)
    return saved.step, Best(state["score"], state["iteration"], state["waited"], weights), along

"""A stage, laid out before it is done: what it says of itself, what it holds, and one step of it to try.

Every stage's own functions read the data, cut it into batches and do the step; nothing is counted here that they would
count otherwise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from biddable.config import ConfigError, Settings
from biddable.doubt import arithmetic, memory
from biddable.doubt.memory import Need, Network, Part, Pass, Read
from biddable.learn import dpo, episodes, group, loop, ppo, raft, sft, tuning
from biddable.learn import reward as ranking
from biddable.learn.dpo import DpoConfig
from biddable.learn.episodes import EpisodeSettings
from biddable.learn.ppo import PpoConfig
from biddable.learn.raft import RaftConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, lora, reward
from biddable.model.forest import Forest, Turns, cut, groups, unprompted
from biddable.model.reward import RewardModel
from biddable.text import snapshots
from biddable.text.tokenizer import Ids, Tokenizer, render

SCORED = 32  # answers by which the reward's scale is looked at
FAR, WIDE, FLAT = 5.0, 10.0, 0.01  # a centred reward model's mean and deviation on a start model's answers


@dataclass(frozen=True)
class Work:
    """A stage, laid out: what it says of itself, what it holds, and how to do one step of it."""

    says: tuple[str, ...]
    need: Need
    steps: int
    operations: float  # floating-point operations of all steps
    step: Callable[[int], object]
    unit: str = "steps"
    at_most: str = ""  # what the operations suppose
    scale: tuple[str, ...] = ()


def lay_out(config: Settings, inputs: Mapping[str, Path], seed: int) -> Work:
    match config:
        case SftConfig():
            return of_sft(config, inputs, seed)
        case StartConfig():
            return of_start(config, inputs, seed)
        case RewardConfig():
            return of_reward(config, inputs, seed)
        case DpoConfig():
            return of_dpo(config, inputs, seed)
        case EpisodeSettings():
            return of_episodes(config, inputs, seed)
    raise ConfigError("plan: stages that train are planned")


def of_sft(config: SftConfig, inputs: Mapping[str, Path], seed: int) -> Work:
    lm, tokenizer = causal.load(inputs["model"])
    every = snapshots.demonstrations(inputs["demos"], tokenizer)
    kept = sft.fitting(every, inputs["demos"], lm, config.prompt_tokens, config.answer_tokens)
    turns = sft.turns_of(config, kept)
    steps = config.epochs * -(-len(kept) // config.batch)
    optimizer = loop.adamw(tuning.adapt(lm, config, seed, "sft"), config.learning_rate, config)

    def step(i: int) -> None:
        order = loop.shuffled(len(kept), loop.stream(seed, "sft", "order", 0))
        some = loop.batches(order, config.batch)
        sft.gradient(lm, turns.take(list(some[i % len(some)])), config.micro_tokens)
        loop.step(optimizer, config, "trying a step")

    says = (
        *of_model("model", lm, tokenizer),
        f"data: {len(kept):,} of {len(every):,} demonstrations fit; {tokens_of(turns):,} tokens, of which "
        f"{turns.predicted:,} are learnt",
        arithmetic.epochs(len(kept), "demonstration", config.batch, config.epochs),
    )
    most, read = largest(turns, config, config.batch), config.epochs * tokens_of(turns)
    passes = [Pass("model", lm, lambda piece: causal.nll_of(lm, piece), turns, most, max(steps, read / most))]
    best, look = of_best("valid" in inputs, lm), of_look(config, inputs, lm, kept)
    need = memory.need([Network("model", lm, True)], passes, best, look)
    return Work(says, need, steps, operations(lm) * tokens_of(turns) * config.epochs, step)


def of_start(config: StartConfig, inputs: Mapping[str, Path], seed: int) -> Work:
    lm, tokenizer = causal.load(inputs["model"])
    every = snapshots.demonstrations(inputs["demos"], tokenizer)
    kept = sft.fitting(every, inputs["demos"], lm, config.prompt_tokens, config.answer_tokens)
    text = snapshots.pages(inputs["pages"], tokenizer, min(config.page_tokens, causal.context(lm)))
    pages = round(config.batch * config.mix)
    demos = config.batch - pages
    steps = config.epochs * -(-len(kept) // demos)
    some = text[: len(kept) * pages // demos + pages]
    turns = joined(Turns([e.prompt for e in kept], [e.answer for e in kept]), unprompted(some))
    optimizer = loop.adamw(tuning.adapt(lm, config, seed, "start"), config.learning_rate, config)

    def step(i: int) -> None:
        rows = [j % len(turns) for j in range(i * config.batch, (i + 1) * config.batch)]
        sft.gradient(lm, turns.take(rows), config.micro_tokens)
        loop.step(optimizer, config, "trying a step")

    says = (
        *of_model("model", lm, tokenizer),
        f"data: {len(kept):,} of {len(every):,} demonstrations fit; {len(text):,} pages",
        arithmetic.epochs(len(kept), "demonstration", demos, config.epochs)
        + f", each with {pages} pages: {steps * pages:,} in all",
    )
    most, read = largest(turns, config, config.batch), config.epochs * tokens_of(turns)
    passes = [Pass("model", lm, lambda piece: causal.nll_of(lm, piece), turns, most, max(steps, read / most))]
    best = of_best(bool({"valid", "valid_pages"} & inputs.keys()), lm)
    need = memory.need([Network("model", lm, True)], passes, best, [])
    return Work(says, need, steps, operations(lm) * tokens_of(turns) * config.epochs, step)


def of_reward(config: RewardConfig, inputs: Mapping[str, Path], seed: int) -> Work:
    lm, tokenizer = causal.load(inputs["model"])
    lm = reward.deepen(lm, config.extra_layers, loop.stream(seed, "reward", "layers"))
    net = RewardModel(tuning.adapt(lm, config, seed, "reward"), loop.stream(seed, "reward", "head"))
    every = snapshots.rankings(inputs["rankings"], tokenizer)
    kept = ranking.usable(every, min(config.max_tokens, causal.context(lm)), config.ties, inputs["rankings"])
    turns = ranking.answers_of(kept)
    steps = config.epochs * -(-len(kept) // config.batch)
    optimizer = loop.adamw(net, config.learning_rate, config)

    def step(i: int) -> None:
        order = loop.shuffled(len(kept), loop.stream(seed, "reward", "order", 0))
        some = loop.batches(order, config.batch)
        ranking.gradient(net, config, [kept[j] for j in some[i % len(some)]])
        loop.step(optimizer, config, "trying a step")

    says = (
        *of_model("model", lm, tokenizer),
        ranked(every, kept, turns),
        arithmetic.epochs(len(kept), "ranking", config.batch, config.epochs) + ", each ranking with all its pairs",
    )
    most, read = largest_ranking(kept, config), config.epochs * tokens_of(turns)
    passes = [Pass("reward model", net, lambda piece: net(piece).sum(), turns, most, max(steps, read / most))]
    best = of_best(config.select == "valid_loss", net)
    need = memory.need([Network("reward model", net, True)], passes, best, [])
    return Work(says, need, steps, operations(lm) * tokens_of(turns) * config.epochs, step)


def of_dpo(config: DpoConfig, inputs: Mapping[str, Path], seed: int) -> Work:
    lm, tokenizer = causal.load(inputs["model"])
    every = dpo.rankings_of(config, tokenizer, inputs["rankings"])
    kept, beside = dpo.sets_of(lm, config, every, inputs["rankings"], seed, 0)
    text = dpo.ptx_pages(lm, config, tokenizer, inputs.get("pages"))
    # The start model has not been asked: for time and memory its answers are as good as 0.
    answers = sum(len(one.answers) for one in (*kept, *beside))
    lessons = dpo.lessons_of(kept, beside, torch.zeros(answers))
    turns, strays = ranking.answers_of(kept), ranking.answers_of(beside)
    per_epoch = -(-len(kept) // config.batch)
    steps, mixed = config.epochs * per_epoch, dpo.mixed(config, text)
    optimizer = loop.adamw(tuning.adapt(lm, config, seed, "dpo"), config.learning_rate, config)

    def step(i: int) -> None:
        order = loop.shuffled(len(kept), loop.stream(seed, "dpo", "order", 0))
        dpo.gradient(lm, config, lessons.take(loop.batches(order, config.batch)[i % per_epoch]))
        if mixed:
            dpo.mix(lm, config, text, seed, i)
        loop.step(optimizer, config, "trying a step")

    says = (
        *of_model("model", lm, tokenizer),
        ranked(every, kept, turns),
        arithmetic.epochs(len(kept), "prompt" if kept[0].liked else "ranking", config.batch, config.epochs)
        + (f", each with {mixed} pages" if mixed else ""),
        of_method(config, kept, turns),
    )
    most, read = largest_ranking(kept, config), config.epochs * tokens_of(turns)
    passes = [Pass("model", lm, lambda f: causal.answer_logp(lm, f).sum(), turns, most, max(steps, read / most))]
    if text:
        passes.append(of_mix(lm, config, text, mixed, steps))
    best, look = of_best(config.select != "last", lm), of_look(config, inputs, lm, kept)
    need = memory.need([Network("model", lm, True)], passes, best, look)
    mix = steps * mixed * tokens_of(unprompted(text)) / len(text) if text else 0
    read = tokens_of(strays) * (config.epochs + 1) + (0 if config.method in dpo.FREE else tokens_of(turns))
    whole = operations(lm) * (tokens_of(turns) * config.epochs + mix) + 2 * numbers(lm) * read
    return Work(says, need, steps, whole, step)


def of_method(config: DpoConfig, kept: Sequence[snapshots.RankedSet], turns: Turns) -> str:
    """What the loss compares, and with what."""
    beta = dpo.beta_of(config)
    if config.method in dpo.FREE:
        return f"{config.method}, β {beta:g}: no reference"
    told = f"{config.method}, β {beta:g}: the start model is the reference and reads {tokens_of(turns):,} tokens once"
    if config.method == "kto":
        label_N = torch.cat([dpo.told(one) for one in kept])
        good, bad = int((label_N > 0).sum()), int((label_N < 0).sum())
        told += f"; {good:,} answers are desirable, {bad:,} undesirable, {len(label_N) - good - bad:,} neither"
    return told


def of_episodes(config: EpisodeSettings, inputs: Mapping[str, Path], seed: int) -> Work:
    assemble, do = method_of(config)
    actors, pool, text = episodes.prepared(config, assemble, episodes.files(inputs), seed)
    policy, value = actors.policy, actors.learners.get("value", (None,))[0]
    iterations, prompts, samples = config.rounds
    longest = max(map(len, pool))
    of_batch = prompts * (longest + samples * config.answer_tokens)
    together = siblings(config)
    of_update = config.minibatch // together * (longest + together * config.answer_tokens)

    def step(k: int) -> object:
        return do(actors, config, *episodes.drawn(config, pool, text, seed, k), seed, k)

    mixed = len(episodes.drawn(config, pool, text, seed, 0)[1])
    says = (
        *of_model("policy and reference", policy, actors.tokenizer),
        *of_model("reward model" + (" and value network" if value and not actors.read else ""), actors.judge.lm, None),
        *([] if actors.read is None else ["the reward model has another tokenizer: it is told each answer as text"]),
        f"data: {len(pool):,} prompts fit; {iterations * prompts / len(pool):.1f} passes over them",
        arithmetic.iterations(config, mixed),
    )
    rows = [prompt for prompt in pool[:64] for _ in range(together)]
    fake = Turns(rows, [[actors.tokenizer.eos_token_id] * config.answer_tokens] * len(rows))
    most = min(max(config.micro_tokens, longest + config.answer_tokens), of_update)
    updates = iterations * -(-config.batch // config.minibatch) * config.inner_epochs
    pieces = updates * max(1, of_update / most)
    read = iterations * max(1, of_batch / config.micro_tokens)
    passes = [Pass("policy", policy, learning(config, policy), fake, most, pieces)]
    reads = [Read(net, min(config.micro_tokens, of_batch), read) for net in (policy, actors.judge)]
    networks = [
        Network("policy", policy, True),
        Network("reference", actors.reference, False),
        Network("reward model", actors.judge, False),
    ]
    if value is not None:
        passes.append(Pass("value network", value, lambda f: value.values(f).sum(), fake, most, pieces))
        networks.append(Network("value network", value, True))
    if text:
        passes.append(
            of_mix(policy, config, text, mixed * config.minibatch // config.batch, updates, memory.learnt_size(policy))
        )
    held = memory.cache(policy, min(prompts * samples, 512), longest + config.answer_tokens, len(actors.tokenizer))
    standing = [Part("the policy's average", memory.copy_size(policy))] if actors.average else []
    if config.valid_every and "held_out" in inputs:
        standing += [Part("held-out reward model: weights", weights_of(inputs["held_out"]))]
        standing += [Part("the best look's weights", memory.copy_size(policy))]
    need = memory.need(networks, passes, standing, [Part("sampling: keys, values and logits", held)], reads)
    learnt = of_update * updates / iterations
    # A weight and token: 2 operations where it is sampled, compared, judged or valued.
    work = 4 * of_batch * numbers(policy) + learnt * operations(policy) + 2 * of_batch * numbers(actors.judge)
    work += 2 * of_batch * numbers(value) + learnt * operations(value) if value is not None else 0
    if text:
        work += mixed * config.inner_epochs * tokens_of(unprompted(text)) / len(text) * operations(policy)
    at_most = " (if every answer went on to answer_tokens)"
    scale = tuple(of_scale(actors, config, pool, seed))
    return Work(says, need, iterations, float(iterations * work), step, "iterations", at_most, scale)


def method_of(config: EpisodeSettings) -> tuple[episodes.Assemble, episodes.Step]:
    match config:
        case PpoConfig():
            return ppo.assemble, ppo.step
        case RaftConfig():
            return episodes.assemble, raft.step
    return episodes.assemble, group.step


def siblings(config: EpisodeSettings) -> int:
    """Answers to one prompt that are learnt together."""
    return 1 if isinstance(config, RaftConfig) else config.rounds.samples


def learning(config: EpisodeSettings, policy: PreTrainedModel) -> Callable[[Forest], torch.Tensor]:
    if isinstance(config, RaftConfig):
        return lambda forest: causal.nll_of(policy, forest)
    return lambda forest: causal.logp_and_entropy(policy, forest, config.temperature)[0].sum()


def of_model(name: str, lm: PreTrainedModel, tokenizer: Tokenizer | None) -> Iterator[str]:
    config = lm.config
    shape = f"{config.num_hidden_layers} layers of {config.hidden_size}, vocabulary {config.vocab_size:,}"
    beside = sum(numbers(part) - numbers(part.base) for part in lora.adapters(lm).values())
    yield f"{name}: {numbers(lm) - beside:,} parameters ({config.model_type}, {shape}, context {causal.context(lm):,})"
    if beside:
        yield f"adapters: {beside:,} parameters are learnt in their place"
    if tokenizer is not None:
        kind = "the chat template" if tokenizer.chat_template else "no template: a prompt and a line break"
        yield f'prompts: {kind}; "Hello" becomes {render(tokenizer, "Hello")!r}'
        yield (
            f"end of an answer: {tokenizer.eos_token!r} (token {tokenizer.eos_token_id}), which is learnt; padding is "
            f"{tokenizer.pad_token!r}, another one"
        )


def of_scale(actors: Any, config: EpisodeSettings, pool: Sequence[Ids], seed: int) -> Iterator[str]:
    """Whether the start model's answers score near 0, and how far apart."""
    rollout = episodes.sample(actors, config, pool[:SCORED], seed, 0)
    score_B = episodes.scores_and_spread(actors, config, rollout)[0]
    mean, deviation = float(score_B.mean()), float(score_B.std(correction=0))
    told = f"reward scale: {len(score_B)} answers of the start model score {mean:.2f} ± {deviation:.2f} (deviation)"
    values = config.model_dump()
    in_units = [f"{key}={values[key]:g}" for key in ("beta", "missing_end_penalty", "value_clip") if values.get(key)]
    if abs(mean) > FAR:
        yield f"{told}; a centred reward model is near 0: train it again with center=demonstrations"
    elif not FLAT < deviation < WIDE and in_units:
        yield f"{told}; {', '.join(in_units)}: meant for a deviation near 1"
    else:
        yield f"{told}: sound"
    if not rollout.finished_B.any():
        yield f"none of these answers ended within answer_tokens={config.answer_tokens}"


def ranked(every: Sequence[snapshots.RankedSet], kept: Sequence[snapshots.RankedSet], turns: Turns) -> str:
    if kept[0].liked:
        return (
            f"data: judged answers to {len(kept):,} of {len(every):,} prompts fit, {len(turns) / len(kept):.1f} "
            f"each; {tokens_of(turns):,} tokens, each prompt read once"
        )
    pairs = sum(a < b for one in kept for a in one.ranks for b in one.ranks)
    return (
        f"data: {len(kept):,} of {len(every):,} rankings fit and say something; {len(turns) / len(kept):.1f} answers "
        f"each, {pairs:,} strict pairs; {tokens_of(turns):,} tokens, each prompt read once"
    )


def of_mix(
    lm: PreTrainedModel,
    config: DpoConfig | EpisodeSettings,
    text: Sequence[Ids],
    pages: int,
    updates: int,
    beside: float = 0.0,
) -> Pass:
    """So many pages an update, in pieces."""
    whole = tokens_of(unprompted(text)) * pages // len(text)
    most = min(config.micro_tokens, whole)
    some = unprompted(text[:64])
    return Pass("pretraining mix", lm, lambda f: causal.nll_of(lm, f), some, most, updates * whole / most, beside)


def of_best(chosen: bool, module: torch.nn.Module) -> list[Part]:
    return [Part("the best epoch's weights", memory.copy_size(module))] if chosen else []


def of_look(
    config: DpoConfig | SftConfig, inputs: Mapping[str, Path], lm: PreTrainedModel, prompts: Sequence[Any]
) -> list[Part]:
    """Answers to valid prompts are sampled and scored by a reward model that is there only then."""
    if "reward_model" not in inputs:
        return []
    row = max(len(one.prompt) for one in prompts) + config.answer_tokens
    held = memory.cache(lm, min(config.score_prompts, 512), row, lm.config.vocab_size)
    return [Part("a look: the reward model, keys, values and logits", weights_of(inputs["reward_model"]) + held)]


def weights_of(folder: Path) -> float:
    return float(sum(file.stat().st_size for file in folder.glob("*.safetensors")))


def largest_ranking(kept: Sequence[snapshots.RankedSet], config: DpoConfig | RewardConfig) -> int:
    """Tokens of the largest piece: rankings go whole, a batch at most."""
    most = max(tokens_of(ranking.answers_of(some)) for some in ranking.pieces(kept, config.micro_tokens))
    of_batch = (kept[at : at + config.batch] for at in range(0, len(kept), config.batch))
    return min(most, max(tokens_of(ranking.answers_of(some)) for some in of_batch))


def numbers(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def operations(module: torch.nn.Module) -> float:
    """Of a token that is learnt: two a weight forward, two to go back through it, two for its own gradient."""
    return 4.0 * numbers(module) + 2.0 * sum(p.numel() for p in module.parameters() if p.requires_grad)


def tokens_of(turns: Turns) -> int:
    """Tokens that are read: a prompt once for all its answers."""
    return sum(map(len, turns.answers)) + sum(len(turns.prompts[group[0]]) for group in groups(turns))


def joined(one: Turns, other: Turns) -> Turns:
    return Turns([*one.prompts, *other.prompts], [*one.answers, *other.answers])


def largest(turns: Turns, config: loop.OptimizerSettings, batch: int) -> int:
    """Tokens of the largest piece of a pass, as the batches cut it: an unshuffled epoch stands for all."""
    batches = (turns.take(range(at, min(at + batch, len(turns)))) for at in range(0, len(turns), batch))
    return max(tokens_of(some.take(piece)) for some in batches for piece in cut(some, config.micro_tokens))

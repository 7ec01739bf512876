"""What a stage will take, in words, before it takes it: parameters, arithmetic, memory, time, and whether the data fit.

Its numbers are of the user's own files and the trainers' own functions. Memory is foretold (`memory.py`); time is
measured on a few real steps, beside the floor that this machine's matrix products set.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from biddable.config import ConfigError, Settings
from biddable.doubt import memory
from biddable.doubt.memory import Need, Network, Part, Pass
from biddable.learn import episodes, loop, ppo, sft, tuning
from biddable.learn import reward as ranking
from biddable.learn.ppo import PpoConfig
from biddable.learn.reward import RewardConfig
from biddable.learn.sft import SftConfig
from biddable.learn.start import StartConfig
from biddable.model import causal, lora, reward
from biddable.model.forest import Turns, cut, groups, unprompted
from biddable.model.reward import RewardModel
from biddable.progress import duration
from biddable.sample.local import respond
from biddable.text import snapshots
from biddable.text.tokenizer import Tokenizer, render

MEGA = 1e6
SCORED = 32  # answers by which the reward's scale is looked at
FAR, WIDE, FLAT = 5.0, 10.0, 0.01  # a centred reward model's mean and deviation on a start model's answers
SIDE, TIMES = 768, 5  # of the matrix products that are timed


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


def plan(config: Settings, inputs: Mapping[str, Path], seed: int, tries: int) -> Iterator[str]:
    """Line by line, the cheap ones first; at last `tries` real steps, whose results are thrown away."""
    base = settled()
    work = lay_out(config, inputs, seed)
    yield from work.says
    yield from work.scale
    yield from memory_lines(work.need, base)
    yield from time_lines(work, tries)


def lay_out(config: Settings, inputs: Mapping[str, Path], seed: int) -> Work:
    match config:
        case SftConfig():
            return of_sft(config, inputs, seed)
        case StartConfig():
            return of_start(config, inputs, seed)
        case RewardConfig():
            return of_reward(config, inputs, seed)
        case PpoConfig():
            return of_ppo(config, inputs, seed)
    raise ConfigError("plan: sft, start, reward and ppo are planned")


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
        f"{len(kept):,} demonstrations × {config.epochs} epochs = {len(kept) * config.epochs:,} examples = {steps:,} "
        f"updates of {config.batch}",
    )
    passes = [Pass("model", lm, lambda piece: causal.nll_of(lm, piece), turns, largest(turns, config, config.batch))]
    best = [Part("the best epoch's weights", memory.copy_size(lm))] if "valid" in inputs else []
    need = memory.need([Network("model", lm, True)], passes, best, [])
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
        f"a batch of {config.batch} = {demos} demonstrations + {pages} pages; {len(kept):,} demonstrations × "
        f"{config.epochs} epochs = {steps:,} updates, which read {steps * pages:,} pages",
    )
    passes = [Pass("model", lm, lambda piece: causal.nll_of(lm, piece), turns, largest(turns, config, config.batch))]
    best = [Part("the best epoch's weights", memory.copy_size(lm))] if {"valid", "valid_pages"} & inputs.keys() else []
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
    pairs = sum(a < b for one in kept for a in one.ranks for b in one.ranks)
    optimizer = loop.adamw(net, config.learning_rate, config)

    def step(i: int) -> None:
        order = loop.shuffled(len(kept), loop.stream(seed, "reward", "order", 0))
        some = loop.batches(order, config.batch)
        ranking.gradient(net, config, [kept[j] for j in some[i % len(some)]])
        loop.step(optimizer, config, "trying a step")

    says = (
        *of_model("model", lm, tokenizer),
        f"data: {len(kept):,} of {len(every):,} rankings fit and say something; {len(turns) / len(kept):.1f} answers "
        f"each, {pairs:,} strict pairs; {tokens_of(turns):,} tokens, each prompt read once",
        f"{len(kept):,} rankings × {config.epochs} epochs = {steps:,} updates of {config.batch}, each ranking with all "
        "its pairs",
    )
    most = max(tokens_of(ranking.answers_of(some)) for some in ranking.pieces(kept, config.micro_tokens))
    of_batch = max(
        tokens_of(ranking.answers_of(kept[at : at + config.batch])) for at in range(0, len(kept), config.batch)
    )
    passes = [Pass("reward model", net, lambda piece: net(piece).sum(), turns, min(most, of_batch))]
    best = [Part("the best epoch's weights", memory.copy_size(net))] if config.select == "valid_loss" else []
    need = memory.need([Network("reward model", net, True)], passes, best, [])
    return Work(says, need, steps, operations(lm) * tokens_of(turns) * config.epochs, step)


def of_ppo(config: PpoConfig, inputs: Mapping[str, Path], seed: int) -> Work:
    actors, pool, text = episodes.prepared(config, ppo.assemble, episodes.files(inputs), seed)
    policy, tokenizer = actors.policy, actors.tokenizer
    iterations = -(-config.episodes // config.batch)
    count = round(config.batch * config.ptx_ratio) if text else 0
    row = max(map(len, pool)) + config.answer_tokens

    def step(k: int) -> object:
        places = loop.endless(len(pool), k * config.batch, config.batch, seed, "ppo", "prompts")
        pages = [text[i % len(text)] for i in range(k * count, (k + 1) * count)]
        return ppo.step(actors, config, [pool[i] for i in places], pages, seed, k)

    says = (
        *of_model("policy and reference", policy, tokenizer),
        *of_model("reward model and value network", actors.judge.lm, None),
        f"data: {len(pool):,} prompts fit; {iterations * config.batch / len(pool):.1f} passes over them",
        arithmetic(config, iterations, count),
    )
    fake = Turns(pool[:64], [[tokenizer.eos_token_id] * config.answer_tokens] * len(pool[:64]))
    most = min(max(config.micro_tokens, row), config.minibatch * row)
    learnt = float(memory.learnt_size(policy))
    passes = [
        Pass("policy", policy, lambda f: causal.logp_and_entropy(policy, f, config.temperature)[0].sum(), fake, most),
        Pass("value network", actors.value, lambda f: actors.value.values(f).sum(), fake, most),
    ]
    if text:
        pages = unprompted(text[:64])
        at_once = min(
            config.micro_tokens, tokens_of(unprompted(text)) * config.minibatch * count // len(text) // config.batch
        )
        passes.append(Pass("pretraining mix", policy, lambda f: causal.nll_of(policy, f), pages, at_once, learnt))
    networks = [
        Network("policy", policy, True),
        Network("reference", actors.reference, False),
        Network("reward model", actors.judge, False),
        Network("value network", actors.value, True),
    ]
    held = memory.cache(policy, min(config.batch, 512), row, len(tokenizer))
    average = [Part("the policy's average", memory.copy_size(policy))] if actors.average else []
    need = memory.need(networks, passes, average, [Part("sampling: keys, values and logits", held)])
    tokens = iterations * config.batch * row
    mixed = tokens_of(unprompted(text)) * iterations * count / len(text) if text else 0
    # sampled, compared and learnt; judged, valued and learnt: a pass forward is 2 operations a weight and token
    passed = sum(4.0 * numbers(each) + operations(each) for each in (policy, actors.value))
    at_most = " (if every answer went on to answer_tokens)"
    scale = tuple(of_scale(actors, config, pool, seed))
    return Work(
        says, need, iterations, tokens * passed + mixed * operations(policy), step, "iterations", at_most, scale
    )


def arithmetic(config: PpoConfig, iterations: int, pages: int) -> str:
    parts = -(-config.batch // config.minibatch)
    line = (
        f"an iteration: {config.batch} prompts × 1 answer = {config.batch} episodes = {parts} minibatches of "
        f"{config.minibatch}, {config.inner_epochs} time{'s' if config.inner_epochs > 1 else ''}"
    )
    line += f", with {pages} pages" if pages else ""
    updates = iterations * parts * config.inner_epochs
    return f"{line}; {iterations:,} iterations = {iterations * config.batch:,} episodes = {updates:,} updates"


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


def of_scale(actors: ppo.Actors, config: PpoConfig, pool: Sequence[list[int]], seed: int) -> Iterator[str]:
    """Whether the start model's answers score near 0, and how far apart."""
    luck = loop.stream(seed, "plan", "scale")
    some = pool[:SCORED]
    rollout = respond(actors.policy, actors.tokenizer, some, config.answer_tokens, generator=luck)
    score_B = reward.scores(actors.judge, rollout.turns, config.micro_tokens)
    mean, deviation = float(score_B.mean()), float(score_B.std(correction=0))
    told = f"reward scale: {len(some)} answers of the start model score {mean:.2f} ± {deviation:.2f} (deviation)"
    if abs(mean) > FAR:
        yield f"{told}; a centred reward model is near 0: train it again with center=demonstrations"
    elif not FLAT < deviation < WIDE:
        yield f"{told}; beta={config.beta:g} and value_clip={config.value_clip:g} are meant for a deviation near 1"
    else:
        yield f"{told}: sound"
    if not rollout.finished_B.any():
        yield f"none of these answers ended within answer_tokens={config.answer_tokens}"


def memory_lines(need: Need, base: float) -> Iterator[str]:
    yield "memory, at its fullest:"
    largest = max(need.passing, key=lambda part: part.bytes)
    for part in (Part("Python and its libraries", base), *need.standing, largest):
        yield f"  {part.bytes / MEGA:>10,.0f} MB  {part.name}"
    yield f"  {(base + need.peak) / MEGA:>10,.0f} MB  in all"


def time_lines(work: Work, tries: int) -> Iterator[str]:
    rates = matmul_rates()
    rate, low, high = (pick(rates) / 1e9 for pick in (statistics.median, min, max))
    yield (
        f"time, by arithmetic: {duration(work.operations / rate / 1e9)} for {work.operations:.2g} operations"
        f"{work.at_most} at {rate:.0f} GFLOP/s ({low:.0f} to {high:.0f}, on products of {SIDE} × {SIDE} here)"
    )
    if tries:
        work.step(0)  # the first is slower than the rest
        took = sorted(timed(lambda i=i: work.step(i)) for i in range(1, tries + 1))
        low, middle, high = (duration(work.steps * x) for x in (took[0], statistics.median(took), took[-1]))
        yield (
            f"time, by trying: {middle} for {work.steps:,} {work.unit} ({low} to {high}): {tries} real ones took "
            f"{took[0]:.2g} to {took[-1]:.2g} s; looks and checkpoints come on top"
        )


def matmul_rates() -> list[float]:
    """Operations a second of float32 matrix products here, a few times over."""
    x = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    x @ x
    return [2 * SIDE**3 / timed(lambda: x @ x) for _ in range(TIMES)]


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def settled() -> float:
    """What this process takes once torch has done its first product."""
    x = torch.ones(64, 64, requires_grad=True)
    (x @ x).sum().backward()
    return memory.resident()


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

"""Answers to prompts as records: K of each, from one model or from several."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import Field

from biddable.config import ConfigError, Settings
from biddable.model import causal
from biddable.records import Completion, Prompt
from biddable.sample.local import respond
from biddable.text import tokenizer as tokenizers
from biddable.text.tokenizer import Ids, prompt_ids, words


class SampleConfig(Settings):
    k: int = Field(1, ge=1, description="answers to each prompt, of each model; to be ranked: 4 to 9 (paper, 3.5)")
    limit: int = Field(0, ge=0, description="how many prompts are answered, the first of the file; 0 is all")
    temperature: float = Field(1.0, ge=0, description="0 takes the likeliest token")
    answer_tokens: int = Field(1024, gt=0, description="an answer without its end by then is cut")
    at_once: int = Field(256, gt=0, description="answers that are made side by side; only speed and memory hang on it")


def check_rankable(k: int, models: int = 1) -> None:
    """Refuse answers that nobody could rank."""
    if k * models < 2:
        raise ConfigError(f"k: {k} answer to a prompt cannot be ranked; the paper ranks 4 to 9 (--k 4)")


def check_room(models: Iterable[Path], prompts: Sequence[Prompt], config: SampleConfig) -> None:
    """Refuse lengths that a model cannot hold, before any work is done."""
    for model in models:
        ids = prompt_ids(tokenizers.load(model), [prompt.text for prompt in chosen(prompts, config)])
        _refuse_too_long(chosen(prompts, config), ids, causal.context_of(model), config, model)


def chosen(prompts: Sequence[Prompt], config: SampleConfig) -> Sequence[Prompt]:
    """Those that are answered."""
    return prompts[: config.limit or None]


def completions(
    model: Path,
    prompts: Sequence[Prompt],
    config: SampleConfig,
    *,
    run_id: str,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Completion]:
    """K answers of one model to each prompt, in the order of the prompts.

    Prompts that leave no room for `answer_tokens` are an error: a silently shorter list would bias every number below.
    """
    lm, tokenizer = causal.load(model)
    prompts = chosen(prompts, config)
    ids = prompt_ids(tokenizer, [prompt.text for prompt in prompts])
    _refuse_too_long(prompts, ids, causal.context(lm), config, model)
    tasks = [(i, nth) for i in range(len(prompts)) for nth in range(config.k)]
    tasks.sort(key=lambda task: len(ids[task[0]]))  # like lengths side by side
    made: dict[tuple[int, int], Completion] = {}
    for at in range(0, len(tasks), config.at_once):
        some = tasks[at : at + config.at_once]
        generator = torch.Generator().manual_seed(_mix(seed, at))
        rollout = respond(
            lm, tokenizer, [ids[i] for i, _ in some], config.answer_tokens,
            generator=generator, temperature=config.temperature,
        )  # fmt: skip
        logp_B, finished_B = rollout.logp_BT.sum(1).tolist(), rollout.finished_B.tolist()
        for (i, nth), answer, logp, finished in zip(some, rollout.answers, logp_B, finished_B, strict=True):
            made[i, nth] = Completion.make(
                prompts[i].id, words(tokenizer, answer), run_id, nth,
                temperature=config.temperature, finished=finished, logp=logp,
            )  # fmt: skip
        advance(len(some))
    return [made[task] for task in sorted(made)]


def from_sources(
    models: Mapping[str, Path],
    prompts: Sequence[Prompt],
    config: SampleConfig,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Completion]:
    """K answers of each of several models: run id → folder (paper, 3.5: mostly supervised policies, some from PPO)."""
    for nth, (run_id, folder) in enumerate(models.items()):
        yield from completions(folder, prompts, config, run_id=run_id, seed=_mix(seed, nth), advance=advance)


def _refuse_too_long(
    prompts: Sequence[Prompt], ids: Sequence[Ids], context: int, config: SampleConfig, model: Path
) -> None:
    longest = max(range(len(ids)), key=lambda i: len(ids[i]), default=None)
    if longest is None or len(ids[longest]) + config.answer_tokens <= context:
        return
    name, tokens = prompts[longest].id, len(ids[longest])
    if tokens >= context:
        raise ConfigError(f"prompt {name}: its {tokens} tokens leave no room for an answer in the {context} of {model}")
    raise ConfigError(
        f"prompt {name}: its {tokens} tokens and answer_tokens={config.answer_tokens} exceed the {context} of {model}; "
        f"say answer_tokens={context - tokens} or less, or take a recipe for a model of this size (Hamlet's base: "
        "recipes/hamlet.toml)"
    )


def _mix(seed: int, place: int) -> int:
    """Another seed for each place: the same luck twice would repeat answers (paper_index, checklist 39)."""
    return (seed * 1_000_003 + place * 100_003 + 1) % 2**63

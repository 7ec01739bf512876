"""How probable a model finds each choice of a benchmark item: Σ log p over the choice's tokens, given its context.

Temperature 1. The average a token, which the paper compares (App. D), is for `measure` to take.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from transformers import PreTrainedModel

from biddable.model import causal
from biddable.model.forest import Turns
from biddable.records import Item, Likelihood
from biddable.text import tokenizer as tokenizers
from biddable.text.tokenizer import Ids, Tokenizer, prompt_ids

AT_ONCE = 4096


def likelihoods(
    model: Path,
    items: Sequence[Item],
    *,
    run_id: str,
    as_: Literal["page", "prompt"] = "page",
    micro_tokens: int = 8192,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Likelihood]:
    """One record a choice. As a "page" the context is plain text that the choice continues, as base models are asked;
    as a "prompt" it is rendered by the template and the choice is an answer without its end token."""
    lm, tokenizer = causal.load(model)
    return weighed(lm, tokenizer, items, run_id=run_id, as_=as_, micro_tokens=micro_tokens, advance=advance)


def weighed(
    lm: PreTrainedModel,
    tokenizer: Tokenizer,
    items: Sequence[Item],
    *,
    run_id: str,
    as_: Literal["page", "prompt"] = "page",
    micro_tokens: int = 8192,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Likelihood]:
    """The same, of a model that is loaded."""
    asked = [(item, nth) for item in items for nth in range(len(item.choices))]
    pairs = split(tokenizer, [(item.context, item.choices[nth]) for item, nth in asked], as_)
    made = []
    for at in range(0, len(asked), AT_ONCE):
        some = pairs[at : at + AT_ONCE]
        for (item, _), (context, choice) in zip(asked[at : at + AT_ONCE], some, strict=True):
            if not choice:
                raise ValueError(f"item {item.task}/{item.id}: a choice has no tokens of its own")
            if len(context) + len(choice) > causal.context(lm):
                raise ValueError(f"item {item.task}/{item.id}: longer than the model's {causal.context(lm)} tokens")
        turns = Turns([context for context, _ in some], [choice for _, choice in some])
        logp_AT = causal.in_pieces(lambda piece: piece.spread(causal.answer_logp(lm, piece)), turns, micro_tokens)
        for (item, nth), (_, choice), logp in zip(
            asked[at : at + AT_ONCE], some, logp_AT.double().sum(1).tolist(), strict=True
        ):
            made.append(
                Likelihood(
                    task=item.task, item=item.id, choice=nth, run_id=run_id, logp=min(logp, 0.0), tokens=len(choice)
                )
            )
        advance(len(some))
    return made


def split(
    tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], as_: Literal["page", "prompt"]
) -> list[tuple[Ids, Ids]]:
    """The tokens that are given, and those that are weighed."""
    return _as_page(tokenizer, texts) if as_ == "page" else _as_prompt(tokenizer, texts)


def _as_page(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> list[tuple[Ids, Ids]]:
    """Encode context and choice together, then cut: encoded apart, "gre" + "en" would not be the tokens of "green"."""
    whole = tokenizers.page_starts(tokenizer, [context + choice for context, choice in texts])
    alone = tokenizers.page_starts(tokenizer, [context for context, _ in texts])
    pairs = []
    for ids, context in zip(whole, alone, strict=True):
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ids, context, strict=False)))
        cut = max(shared, 1)  # the first token has nothing before it that could predict it
        pairs.append((ids[:cut], ids[cut:]))
    return pairs


def _as_prompt(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> list[tuple[Ids, Ids]]:
    prompts = prompt_ids(tokenizer, [context for context, _ in texts])
    answers = tokenizers.answer_ids(tokenizer, [choice for _, choice in texts])
    return [(prompt, answer[:-1]) for prompt, answer in zip(prompts, answers, strict=True)]

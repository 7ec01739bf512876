"""How far a policy has gone from another, on answers that it gave: log π(y|x) − log π₀(y|x), whose mean is the KL.

B = answers, T = tokens of the longest.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from biddable.model import causal
from biddable.model.forest import Turns
from biddable.records import Completion, Prompt, Score
from biddable.sample.score import as_read
from biddable.text.tokenizer import answer_ids, prompt_ids


@torch.no_grad()
def log_ratios(
    policy: Path,
    start: Path,
    prompts: Mapping[str, Prompt],
    completions: Sequence[Completion],
    *,
    run_id: str,
    micro_tokens: int = 8192,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Score]:
    """The log ratio of each completion, which the policy is to have sampled at temperature 1, summed over its tokens.

    Both models read the answer's text anew, so it is the same token rows that they are asked about.
    """
    if other := next((c for c in completions if c.temperature != 1), None):
        raise ValueError(f"completion {other.id}: was sampled at temperature {other.temperature:g}; the KL is of 1")
    lm, tokenizer = causal.load(policy)
    names = list(dict.fromkeys(c.prompt_id for c in completions))
    of = dict(zip(names, prompt_ids(tokenizer, [prompts[name] for name in names]), strict=True))
    read = answer_ids(tokenizer, [c.text for c in completions])
    answers = [as_read(completion, ids) for completion, ids in zip(completions, read, strict=True)]
    turns = Turns([of[c.prompt_id] for c in completions], answers)
    told_B = _logp(lm, turns, micro_tokens)
    advance(len(completions))
    del lm
    began, _ = causal.load(start)
    ratio_B = told_B - _logp(began, turns, micro_tokens)
    advance(len(completions))
    return [
        Score(completion_id=c.id, run_id=run_id, value=value)
        for c, value in zip(completions, ratio_B.tolist(), strict=True)
    ]


def _logp(lm: PreTrainedModel, turns: Turns, micro_tokens: int) -> Float[Tensor, " B"]:
    """log p of each answer, in float64, since the difference of two long sums is small."""
    logp_BT = causal.in_pieces(lambda forest: forest.spread(causal.answer_logp(lm, forest)), turns, micro_tokens)
    return logp_BT.double().sum(1)

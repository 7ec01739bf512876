"""The sampler for models in this process: left-padded prompts, one cache, finished rows leave the batch.

B = rows, R = different prompts among them, P = tokens of the longest, T = most new tokens,
V = vocabulary; b = rows still going.

No top-k and no top-p: filtered sampling is off the distribution whose log-probabilities PPO needs (docs/paper_index.md,
checklist 16).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from biddable.model import causal
from biddable.model.forest import Turns
from biddable.sample.cache import roomy_cache, select
from biddable.text.tokenizer import Ids, Tokenizer

WORTH_LEAVING = 0.75  # the cache is copied when fewer than this share of its rows still goes on


@dataclass(frozen=True)
class Rollout:
    """Answers as they were sampled. What follows an end token is padding, with mask False and logp 0."""

    prompts: tuple[Ids, ...]
    token_BT: Int[Tensor, "B T"]
    logp_BT: Float[Tensor, "B T"]  # of the token at that place, under the distribution it was drawn from
    mask_BT: Bool[Tensor, "B T"]  # True on answer tokens, the end token among them
    finished_B: Bool[Tensor, " B"]  # the end token was seen

    @property
    def answers(self) -> list[Ids]:
        return [row[:n] for row, n in zip(self.token_BT.tolist(), self.mask_BT.sum(1).tolist(), strict=True)]

    @property
    def turns(self) -> Turns:
        """Prompts and answers side by side, for a forward pass."""
        return Turns(self.prompts, self.answers)


@torch.no_grad()
def respond(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Ids],
    max_new: int,
    *,
    generator: torch.Generator,
    temperature: float | int = 1.0,
    at_once: int = 512,
) -> Rollout:
    """One answer to each prompt. Temperature 0 takes the likeliest token (and logp is then the model's own)."""
    too_long = max(map(len, prompts)) + max_new
    if too_long > causal.context(model):
        raise ValueError(
            f"a prompt and {max_new} new tokens are {too_long} tokens; the model takes {causal.context(model)}"
        )
    B = len(prompts)
    token_BT = torch.full((B, max_new), tokenizer.pad_token_id)
    logp_BT = torch.zeros(B, max_new)
    length_B = torch.zeros(B, dtype=torch.long)
    finished_B = torch.zeros(B, dtype=torch.bool)
    order = torch.tensor(sorted(range(B), key=lambda i: (len(prompts[i]), i)))  # like lengths: little padding
    for index_b in order.split(at_once):
        some = [prompts[i] for i in index_b.tolist()]
        piece = _respond(model, tokenizer, some, max_new, temperature, generator)
        token_BT[index_b], logp_BT[index_b], length_B[index_b], finished_B[index_b] = piece
    width = int(length_B.max())
    mask_BT = torch.arange(width) < length_B[:, None]
    return Rollout(tuple(prompts), token_BT[:, :width], logp_BT[:, :width], mask_BT, finished_B)


def _respond(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: list[Ids],
    max_new: int,
    temperature: float | int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    device = model.device
    B, P = len(prompts), max(map(len, prompts))
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    token_BT = torch.full((B, max_new), pad)
    logp_BT = torch.zeros(B, max_new)
    length_B = torch.full((B,), max_new)
    row_b = torch.arange(B)  # which rows the cache still holds
    going_b = torch.ones(B, dtype=torch.bool)  # and which of these go on

    # Samples of one prompt read it once, and then each has its own copy of what was read.
    place = {prompt: nth for nth, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    of_b = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=device)
    read_RP = torch.tensor([[pad] * (P - len(p)) + [*p] for p in place], device=device)
    real_RP = torch.tensor([[False] * (P - len(p)) + [True] * len(p) for p in place], device=device)
    cache = roomy_cache(model, P + max_new)
    logit_bV = _prefill(model, cache, read_RP, real_RP)
    if len(place) < B:
        select(cache, of_b)
        logit_bV = logit_bV[of_b]
    seen_bS = torch.ones(B, P + max_new, dtype=torch.bool, device=device)
    seen_bS[:, :P] = real_RP[of_b]
    position_b = torch.tensor([len(p) for p in prompts], device=device)  # of the next token: pads have none

    for t in range(max_new):
        # A draw for every row that ever was: a row's luck then does not hang on when its neighbours end.
        luck_b = torch.rand(B, generator=generator, dtype=torch.float64)[row_b].to(device)
        chosen_b, chosen_logp_b = draw(logit_bV, temperature, luck_b)
        live = row_b[going_b]
        token_BT[live, t] = chosen_b.cpu()[going_b]
        logp_BT[live, t] = chosen_logp_b.float().cpu()[going_b]
        ends_b = going_b & (chosen_b.cpu() == end)
        length_B[row_b[ends_b]] = t + 1
        going_b = going_b & ~ends_b
        if t + 1 == max_new or not going_b.any():
            break
        if going_b.sum() < WORTH_LEAVING * len(going_b):
            keep_b = going_b.nonzero().squeeze(1)
            row_b, going_b = row_b[keep_b], going_b[keep_b]
            keep_b = keep_b.to(device)
            select(cache, keep_b)
            chosen_b, seen_bS, position_b = chosen_b[keep_b], seen_bS[keep_b], position_b[keep_b]
        logit_bV = _next(model, cache, chosen_b, seen_bS[:, : P + t + 1], position_b + t)
    finished_B = torch.zeros(B, dtype=torch.bool)
    finished_B[token_BT[torch.arange(B), length_B - 1] == end] = True
    return token_BT, logp_BT, length_B, finished_B


def _prefill(
    model: PreTrainedModel, cache: Cache, prompt_RP: Int[Tensor, "R P"], real_RP: Bool[Tensor, "R P"]
) -> Float[Tensor, "R V"]:
    """Logits after the prompts."""
    hidden_RPD = model.base_model(
        input_ids=prompt_RP,
        attention_mask=left_padded(real_RP)[:, None],
        position_ids=positions(real_RP),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return nn.functional.linear(hidden_RPD[:, -1], causal.head(model))


def left_padded(real_BP: Bool[Tensor, "B P"]) -> Bool[Tensor, "B P P"]:
    """Who sees whom in rows padded on the left. A pad sees itself, or its softmax over nothing would be NaN."""
    place_P = torch.arange(real_BP.shape[1], device=real_BP.device)
    earlier_PP = place_P[:, None] >= place_P
    itself_PP = place_P[:, None] == place_P
    return (earlier_PP & real_BP[:, None, :]) | itself_PP


def positions(real_BP: Bool[Tensor, "B P"]) -> Int[Tensor, "B P"]:
    """Positions that count real tokens only (paper_index, checklist 2)."""
    return (real_BP.cumsum(1) - 1).clamp(min=0)


def _next(
    model: PreTrainedModel,
    cache: Cache,
    token_b: Int[Tensor, " b"],
    seen_bS: Bool[Tensor, "b S"],
    position_b: Int[Tensor, " b"],
) -> Float[Tensor, "b V"]:
    """Logits after one more token."""
    hidden_b1D = model.base_model(
        input_ids=token_b[:, None],
        attention_mask=seen_bS[:, None, None],
        position_ids=position_b[:, None],
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return nn.functional.linear(hidden_b1D[:, 0], causal.head(model))


def draw(
    logit_bV: Float[Tensor, "b V"], temperature: float | int, luck_b: Float[Tensor, " b"]
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """The token at which the cumulated probability passes `luck` (uniform in [0, 1)), and its log p."""
    if temperature == 0:
        chosen_b = logit_bV.argmax(-1)
        return chosen_b, causal.logp_of(logit_bV, chosen_b)
    if temperature != 1.0:
        logit_bV = logit_bV / temperature
    sum_bV = (logit_bV - logit_bV.amax(-1, keepdim=True)).double().exp().cumsum(-1)
    target_b1 = (luck_b * sum_bV[:, -1])[:, None]
    # right=True: the first token whose sum is *above* the target, so that no token of probability 0 is ever drawn
    chosen_b = torch.searchsorted(sum_bV, target_b1, right=True).squeeze(1).clamp(max=logit_bV.shape[1] - 1)
    return chosen_b, causal.logp_of(logit_bV, chosen_b)

"""The sampler for models in this process: each prompt read once, without padding; finished rows leave the batch.

B = rows, T = most new tokens, D = width, V = vocabulary, E = tokens that end an answer; b = rows still going.

No top-k and no top-p: filtered sampling is off the distribution whose log-probabilities PPO needs (docs/paper_index.md,
checklist 16).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from biddable.model import causal
from biddable.model.forest import Turns
from biddable.products import times
from biddable.sample.cache import hear, prefill
from biddable.text.tokenizer import Ids, Tokenizer

WORTH_LEAVING = 0.75  # the cache is copied when fewer than this share of its rows still goes on
PREFILL = 8192  # tokens of prompts read at a time
BLOCK = 256  # words whose probabilities are summed before any is looked at


@dataclass(frozen=True)
class Rollout:
    """Answers as they were sampled. What follows an end token is padding, with mask False and logp 0."""

    prompts: tuple[Ids, ...]
    token_BT: Int[Tensor, "B T"]
    logp_BT: Float[Tensor, "B T"]  # of the token at that place, under the distribution it was drawn from
    mask_BT: Bool[Tensor, "B T"]  # True on answer tokens, the end token among them
    finished_B: Bool[Tensor, " B"]  # the end token was seen, or another that stops

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
    stops: Sequence[int] = (),
) -> Rollout:
    """One answer to each prompt. Temperature 0 takes the likeliest token (and logp is then the model's own).
    Tokens in `stops` end an answer as the end token does."""
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
        piece = _respond(model, tokenizer, some, max_new, temperature, generator, stops)
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
    stops: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    device = model.device
    B, end_E = len(prompts), torch.tensor([tokenizer.eos_token_id, *stops])
    token_BT = torch.full((B, max_new), tokenizer.pad_token_id)
    logp_BT = torch.zeros(B, max_new)
    length_B = torch.full((B,), max_new)
    row_b = torch.arange(B)  # which rows the cache still holds
    going_b = torch.ones(B, dtype=torch.bool)  # and which of these go on

    position_b = torch.tensor([len(p) for p in prompts])  # of the next token
    past, hidden_bD = prefill(model, prompts, PREFILL)

    for t in range(max_new):
        # A draw for every row that ever was: a row's luck then does not hang on when its neighbours end.
        luck_b = torch.rand(B, generator=generator, dtype=torch.float64)[row_b].to(device)
        chosen_b, chosen_logp_b = draw(times(hidden_bD, causal.head(model)), temperature, luck_b)
        live = row_b[going_b]
        token_BT[live, t] = chosen_b.cpu()[going_b]
        logp_BT[live, t] = chosen_logp_b.float().cpu()[going_b]
        ends_b = going_b & torch.isin(chosen_b.cpu(), end_E)
        length_B[row_b[ends_b]] = t + 1
        going_b = going_b & ~ends_b
        if t + 1 == max_new or not going_b.any():
            break
        if going_b.sum() < WORTH_LEAVING * len(going_b):
            keep_b = going_b.nonzero().squeeze(1)
            row_b, going_b = row_b[keep_b], going_b[keep_b]
            past.keep(keep_b)
            chosen_b, position_b = chosen_b[keep_b.to(device)], position_b[keep_b]
        hidden_bD = hear(model, past, chosen_b, position_b + t)
    finished_B = torch.zeros(B, dtype=torch.bool)
    finished_B[torch.isin(token_BT[torch.arange(B), length_B - 1], end_E)] = True
    return token_BT, logp_BT, length_B, finished_B


def draw(
    logit_bV: Float[Tensor, "b V"], temperature: float | int, luck_b: Float[Tensor, " b"]
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """The token at which the cumulated probability passes `luck` (uniform in [0, 1)), and its log p."""
    if temperature == 0:
        chosen_b = logit_bV.argmax(-1)
        return chosen_b, causal.logp_of(logit_bV, chosen_b)
    if temperature != 1.0:
        logit_bV = logit_bV / temperature
    top_b1 = logit_bV.amax(-1, keepdim=True)
    share_bV = (logit_bV - top_b1).exp_()
    chosen_b = _passes(share_bV, luck_b)
    logp_b = logit_bV.gather(-1, chosen_b[:, None]) - top_b1 - share_bV.sum(-1, keepdim=True).log()
    return chosen_b, logp_b.squeeze(-1)


def _passes(share_bV: Float[Tensor, "b V"], luck_b: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Where the running sum of the shares is above `luck` of the whole: in which block of words, then which word of it.

    Sums are float64, or the last of 50,000 words would drown in float32; by blocks few numbers are.
    """
    share_bKW = F.pad(share_bV, (0, -share_bV.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    sum_bK = share_bKW.sum(-1, dtype=torch.float64).cumsum(-1)
    target_b = luck_b * sum_bK[:, -1]
    block_b = _first_above(sum_bK, target_b)
    inner_bW = share_bKW[torch.arange(len(block_b), device=block_b.device), block_b].double().cumsum(-1)
    before_b = sum_bK.gather(1, block_b[:, None]).squeeze(1) - inner_bW[:, -1]
    return block_b * BLOCK + _first_above(inner_bW, (target_b - before_b).clamp(min=0))


def _first_above(sum_bK: Float[Tensor, "b K"], target_b: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """*Above*, so that nothing of probability 0 is ever drawn; nor is it where rounding lifts the target to the end."""
    first_b1 = torch.searchsorted(sum_bK, target_b[:, None], right=True)
    last_b1 = torch.searchsorted(sum_bK, sum_bK[:, -1:].contiguous())
    return torch.minimum(first_b1, last_b1).squeeze(1)

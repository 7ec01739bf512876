"""Several answers to one prompt, the prompt read once.

G = prompts, P = tokens of the longest prompt, M = answers, m and A = answers of a piece and tokens of its longest, D =
width.

A ranking of K answers costs one prompt and K answers and not K prompts: the answers go through the model with the
prompt's keys and values as their past, each seeing the prompt and itself and none of its siblings, at the positions it
would have alone. Gradients flow back through that past into the prompt. Equal to the rows one by one, by test.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from biddable.model import causal
from biddable.model.rows import buckets


def last_hidden(
    lm: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    pad: int,
    tokens: int,
) -> Float[Tensor, "M D"]:
    """The hidden state at each answer's last token, prompt by prompt in the order given."""
    causal.check_sees_all(lm)
    flat = [answer for some in answers for answer in some]
    prompt_M = torch.tensor([g for g, some in enumerate(answers) for _ in some])
    trunk, real_GP = _read_prompts(lm, prompts, pad)
    pieces = buckets([len(answer) for answer in flat], tokens)  # like lengths together, whosever they are
    found = [
        _read_answers(lm, trunk, real_GP, prompt_M[index_m], [flat[i] for i in index_m.tolist()], pad)
        for index_m in pieces
    ]
    return torch.cat(found)[torch.argsort(torch.cat(pieces))]


def _read_prompts(lm: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int) -> tuple[Cache, Bool[Tensor, "G P"]]:
    """Keys and values of the prompts, padded on the left so that answers follow at once."""
    P = max(map(len, prompts))
    token_GP = torch.tensor([[pad] * (P - len(p)) + list(p) for p in prompts], device=lm.device)
    real_GP = torch.arange(P, device=lm.device) >= P - torch.tensor([[len(p)] for p in prompts], device=lm.device)
    trunk = DynamicCache()
    lm.base_model(
        input_ids=token_GP,
        attention_mask=left_padded(real_GP)[:, None],
        position_ids=positions(real_GP),
        past_key_values=trunk,
        use_cache=True,
    )
    return trunk, real_GP


def _read_answers(
    lm: PreTrainedModel,
    trunk: Cache,
    real_GP: Bool[Tensor, "G P"],
    prompt_m: Int[Tensor, " m"],
    answers: list[Sequence[int]],
    pad: int,
) -> Float[Tensor, "m D"]:
    prompt_m = prompt_m.to(lm.device)
    past = DynamicCache()
    for nth, layer in enumerate(trunk.layers):
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.values is not None
        past.update(layer.keys[prompt_m], layer.values[prompt_m], nth)
    length_m = torch.tensor([len(answer) for answer in answers], device=lm.device)
    A = int(length_m.max())
    token_mA = torch.tensor([[*answer, *[pad] * (A - len(answer))] for answer in answers], device=lm.device)
    place_A = torch.arange(A, device=lm.device)
    prompt_mAP = real_GP[prompt_m][:, None, :].expand(-1, A, -1)
    itself_mAA = (place_A[:, None] >= place_A).expand(len(answers), -1, -1)  # padding after the end is seen by no one
    hidden_mAD = lm.base_model(
        input_ids=token_mA,
        attention_mask=torch.cat((prompt_mAP, itself_mAA), dim=2)[:, None],
        position_ids=real_GP.sum(1)[prompt_m][:, None] + place_A,
        past_key_values=past,
        use_cache=True,
    ).last_hidden_state
    return hidden_mAD[torch.arange(len(answers), device=lm.device), length_m - 1]


def left_padded(real_GP: Bool[Tensor, "G P"]) -> Bool[Tensor, "G P P"]:
    """Who sees whom in rows padded on the left. A pad sees itself, or its softmax over nothing would be NaN."""
    place_P = torch.arange(real_GP.shape[1], device=real_GP.device)
    earlier_PP = place_P[:, None] >= place_P
    itself_PP = place_P[:, None] == place_P
    return (earlier_PP & real_GP[:, None, :]) | itself_PP


def positions(real_GP: Bool[Tensor, "G P"]) -> Int[Tensor, "G P"]:
    """Positions that count real tokens only (paper_index, checklist 2)."""
    return (real_GP.cumsum(1) - 1).clamp(min=0)

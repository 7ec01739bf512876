"""Attention over a forest (`model/forest.py`), for any causal LM of transformers that takes its attention from outside.

N = tokens of the row, H = heads, G = heads of keys and values, E = width of a head, T = tokens of a tree.

A model is switched once to an attention function of ours, which is transformers' own unless a forest comes along. The
forest travels as an argument of the call, through the model's layers, and not as a global that two threads could share.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from biddable.model.forest import Forest, Tree
from biddable.products import speed_up

NAME = "forest"
# What some families add to scores, and some allow only to some layers. Left out, it would be silently wrong.
UNKNOWN = ("softcap", "s_aux", "position_bias")

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@runtime_checkable
class Reader(Protocol):
    """What goes through a model's layers and attends in each: a forest, or a sampler's next tokens."""

    layers: int  # come to so far

    @property
    def longest(self) -> int:
        """No text is longer."""
        ...

    def attend(self, query: Tensor, key: Tensor, value: Tensor, dropout: float, scaling: float | None) -> Tensor:
        """One layer's."""
        ...


@dataclass
class Walk:
    """A forest on its way through a model; with `keeps`, each layer's keys and values are picked up."""

    forest: Forest
    keeps: bool = False
    layers: int = 0
    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def longest(self) -> int:
        return int(self.forest.position_N.max()) + 1

    def attend(self, query: Tensor, key: Tensor, value: Tensor, dropout: float, scaling: float | None) -> Tensor:
        if self.keeps:
            self.kept.append((key, value))
        shared = query.shape[1] // key.shape[1]
        if shared > 1:
            key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        if dropout == 0.0 and _on_cpu(query, value):
            return _ForestAttention.apply(query, key, value, self.forest, scaling)
        return tree_by_tree(query, key, value, self.forest, dropout, scaling)


def hidden(model: PreTrainedModel, forest: Forest) -> Float[Tensor, "N D"]:
    """The trunk's last hidden states."""
    return read(model, forest.token_N, forest.position_N, Walk(forest))


def read(
    model: PreTrainedModel, token_N: Int[Tensor, " N"], position_N: Int[Tensor, " N"], reader: Reader
) -> Float[Tensor, "N D"]:
    """The trunk's last hidden states of tokens that see what `reader` says."""
    check_sees_all(model)
    _enable(model)
    reader.layers = 0
    hidden_1ND = model.base_model(
        input_ids=token_N[None].to(model.device),
        position_ids=position_N[None].to(model.device),
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=model.device),  # 4-D: no other is built
        use_cache=False,
        reader=reader,
    ).last_hidden_state
    if reader.layers != model.config.num_hidden_layers:
        raise ValueError(f"{model.config.model_type}: its layers do not hand on arguments, so it cannot read a forest")
    return hidden_1ND[0]


def check_sees_all(model: PreTrainedModel) -> None:
    """Refuse a model whose layers do not all see the whole past."""
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ValueError(f"{model.config.model_type}: layers of kind {sorted(kinds)} are not supported yet")


def _enable(model: PreTrainedModel) -> None:
    """Have the model ask us. Done once; what it answers without a forest stays the same."""
    if model.config._attn_implementation == NAME:
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if model._can_set_attn_implementation():
        model.set_attn_implementation(NAME)
    if model.config._attn_implementation != NAME:
        raise ValueError(f"{model.config.model_type}: its attention cannot be replaced, so it cannot read a forest")
    speed_up(model)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    reader: Reader | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer."""
    if reader is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    _check_plain(module, reader, more)
    out_1HNE = reader.attend(query, key, value, dropout, scaling)
    reader.layers += 1
    return out_1HNE.transpose(1, 2).contiguous(), None


def _check_plain(module: nn.Module, reader: Reader, more: dict[str, Any]) -> None:
    """Refuse what is not plain causal attention."""
    strange = [name for name in UNKNOWN if more.get(name) is not None]
    window = more.get("sliding_window")
    if window is not None and reader.longest > window:
        strange.append(f"sliding_window={window} on longer text")
    if strange:
        raise ValueError(f"{type(module).__name__}: attention with {', '.join(strange)} is not supported yet")


def tree_by_tree(
    query: Float[Tensor, "1 H N E"],
    key: Float[Tensor, "1 H N E"],
    value: Float[Tensor, "1 H N E"],
    forest: Forest,
    dropout: float,
    scaling: float | None,
) -> Float[Tensor, "1 H N E"]:
    """The definition, by PyTorch's public function: for GPUs, and for dropout."""
    found = []
    for tree in forest.trees:
        here = slice(tree.bounds[0], tree.bounds[-1])
        mask_TT = sees(tree).to(query.device)
        found.append(
            F.scaled_dot_product_attention(
                query[:, :, here], key[:, :, here], value[:, :, here], mask_TT, dropout, scale=scaling
            )
        )
    return torch.cat(found, 2)


def sees(tree: Tree) -> Bool[Tensor, "T T"]:
    """Who sees whom in a tree: a token the earlier ones of its span, and its prompt."""
    span_T = torch.repeat_interleave(torch.tensor([end - begin for begin, end in tree.spans]))
    place_T = torch.arange(len(span_T))
    seen_TT = (span_T[:, None] == span_T) | (span_T == 0) if tree.forks else torch.ones(1, dtype=torch.bool)
    return seen_TT & (place_T[:, None] >= place_T)


def _on_cpu(query: Tensor, value: Tensor) -> bool:
    """Whether PyTorch's attention kernel for CPUs takes these."""
    return query.device.type == "cpu" and query.shape[-1] == value.shape[-1]


def partial(
    query: Float[Tensor, "B H N E"],
    key: Float[Tensor, "B H S E"],
    value: Float[Tensor, "B H S F"],
    bias: Float[Tensor, "B 1 1 S"] | None,
    scaling: float | None,
) -> tuple[Float[Tensor, "B H N F"], Float[Tensor, "B H N"]]:
    """Attention of all queries to all keys, and the log-sum-exp of the scores, by which such parts are put together."""
    if _on_cpu(query, value):
        return _flash(query, key, value, 0.0, False, attn_mask=bias, scale=scaling)
    score_BHNS = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    score_BHNS = score_BHNS if bias is None else score_BHNS + bias
    return score_BHNS.softmax(-1) @ value, score_BHNS.to(
        torch.promote_types(score_BHNS.dtype, torch.float32)
    ).logsumexp(-1)


class _ForestAttention(torch.autograd.Function):
    """The same without a mask: each span to itself, then all answers of a tree to their prompt at once.

    Two softmaxes over two sets of keys are one over both when each is weighed by its share of the whole sum, which the
    kernel's log-sum-exp tells (Dao et al. 2022, FlashAttention, section 3.1). Its gradient needs no more than the whole
    output and the whole log-sum-exp, whichever keys are at hand. Nothing is copied, and nothing padded.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, forest: Forest, scaling: float | None) -> Tensor:
        outs, lses = [], []
        for q, k, v in zip(*_spans(forest, query, key, value), strict=True):
            out, lse = _flash(q, k, v, 0.0, True, scale=scaling)
            outs.append(out)
            lses.append(lse)
        out, lse = _row(outs), torch.cat(lses, 2)
        for prompt, answers in _forks(forest):
            seen, seen_lse = _flash(
                query[:, :, answers], key[:, :, prompt], value[:, :, prompt], 0.0, False, scale=scaling
            )
            share = torch.sigmoid(seen_lse - lse[:, :, answers])
            out[:, :, answers] += share[..., None].to(out.dtype) * (seen - out[:, :, answers])
            lse[:, :, answers] = torch.logaddexp(lse[:, :, answers], seen_lse)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.forest, ctx.scaling = forest, scaling
        return out

    @staticmethod
    @once_differentiable  # it hides the names of the parameters, hence the next line
    # pyrefly: ignore[bad-override]
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        found = [
            _flash_backward(g, q, k, v, o, s, 0.0, True, scale=ctx.scaling)
            for g, q, k, v, o, s in zip(*_spans(ctx.forest, grad[0], query, key, value, out, lse), strict=True)
        ]
        to_query, to_key, to_value = (_row(parts) for parts in zip(*found, strict=True))
        for prompt, answers in _forks(ctx.forest):
            more_query, more_key, more_value = _flash_backward(
                grad[0][:, :, answers], query[:, :, answers], key[:, :, prompt], value[:, :, prompt],
                out[:, :, answers], lse[:, :, answers], 0.0, False, scale=ctx.scaling,
            )  # fmt: skip
            to_query[:, :, answers] += more_query
            to_key[:, :, prompt] += more_key
            to_value[:, :, prompt] += more_value
        return to_query, to_key, to_value, None, None


def _spans(forest: Forest, *rows: Tensor) -> list[tuple[Tensor, ...]]:
    """Each row cut at the bounds of all spans."""
    sizes = [end - begin for tree in forest.trees for begin, end in tree.spans]
    return [row.split(sizes, 2) for row in rows]


def _forks(forest: Forest) -> list[tuple[slice, slice]]:
    """The places of each shared prompt, and of all its answers."""
    return [(slice(*tree.bounds[:2]), slice(tree.bounds[1], tree.bounds[-1])) for tree in forest.trees if tree.forks]


def _row(parts: Iterable[Tensor]) -> Tensor:
    """Spans side by side again; in memory the heads of a token stand together, as the linear layers want them."""
    return torch.cat([part.transpose(1, 2) for part in parts], 1).transpose(1, 2)

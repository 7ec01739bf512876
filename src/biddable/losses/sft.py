"""Likelihood of text, with the head only where it counts and only a chunk of it at a time.

N = positions that carry loss, D = width of a hidden state, V = vocabulary, C = positions of one chunk.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from biddable.products import times


def nll(
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], target: Int[Tensor, " N"], chunk: int = 128
) -> Float[Tensor, ""]:
    """mean over n of −log p(target_n),  p = softmax(W h_n). Radford et al. 2018, eq. 1 (there summed).

    Give the hidden states of the counting positions and no others: hidden_BTD[mask_BT]. Of the N × V logits `chunk`
    rows exist at a time, forward and backward: 128 of a vocabulary of 49k are 25 MB, and on a CPU as fast as more. To
    weigh micro-batches of different lengths, multiply by N.
    """
    assert hidden.ndim == weight.ndim == 2, "hidden is (positions, width), weight is (vocabulary, width)"
    assert target.shape == hidden.shape[:1], f"{len(target)} targets for {len(hidden)} positions"
    assert hidden.shape[1] == weight.shape[1], "hidden and weight differ in width"
    assert chunk > 0
    if len(target) == 0:
        raise ValueError("no position is given, so there is nothing to take a mean over: check the response masks")
    wants = torch.is_grad_enabled()  # inside forward it always reads False
    return _ChunkedNll.apply(
        hidden, weight, target, chunk, wants and hidden.requires_grad, wants and weight.requires_grad
    )


def token_logp(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    target: Int[Tensor, " N"],
    chunk: int = 256,
    keep: int = 2**26,
    entropies: bool = True,
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """log p(target_n) and, without a gradient, the entropy −Σ_v p(v) log p(v),  p = softmax(W h_n); or 0 for it.

    What a log p is worth is known only in backward, so the N × V probabilities are kept until then: half of what
    PyTorch keeps and makes. Where they are more than `keep` numbers, they are made again, `chunk` rows at a time.
    """
    assert target.shape == hidden.shape[:1], f"{len(target)} targets for {len(hidden)} positions"
    assert hidden.shape[1] == weight.shape[1], "hidden and weight differ in width"
    assert chunk > 0
    keeps = torch.is_grad_enabled() and len(target) * len(weight) <= keep  # inside forward it always reads False
    return _ChunkedLogp.apply(hidden, weight, target, chunk, keeps, entropies)


class _ChunkedLogp(torch.autograd.Function):
    """∂ log p(target) / ∂ logits = one-hot − p, and the worth of each row waits until it is multiplied with W or h."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, chunk: int, keeps: bool, entropies: bool
    ) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(hidden_ND.dtype, torch.float32)
        found_N, entropy_N = (hidden_ND.new_zeros(len(target_N), dtype=wide) for _ in range(2))
        kept_NV = hidden_ND.new_empty(len(target_N), len(weight_VD), dtype=wide) if keeps else None
        for start in range(0, len(target_N), chunk):
            here = slice(start, start + chunk)
            logp_CV = torch.log_softmax(times(hidden_ND[here], weight_VD), dim=1, dtype=wide)
            found_N[here] = logp_CV.gather(1, target_N[here, None]).squeeze(1)
            if keeps or entropies:
                p_CV = torch.exp(logp_CV, out=None if kept_NV is None else kept_NV[here])
                if entropies:
                    entropy_N[here] = -torch.linalg.vecdot(p_CV, logp_CV)
        ctx.save_for_backward(hidden_ND, weight_VD, target_N, None if kept_NV is None else kept_NV.to(hidden_ND.dtype))
        ctx.chunk = chunk
        ctx.mark_non_differentiable(entropy_N)
        return found_N, entropy_N

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, target_N, kept_NV = ctx.saved_tensors
        for_hidden, for_weight = ctx.needs_input_grad[:2]
        worth_N, _ = grad
        wide, chunk = worth_N.dtype, len(target_N) if kept_NV is not None else ctx.chunk  # what is kept is one piece
        grad_hidden_ND = torch.empty_like(hidden_ND) if for_hidden else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=wide) if for_weight else None
        for start in range(0, len(target_N), max(chunk, 1)):
            here = slice(start, start + chunk)
            hidden_CD, target_C, worth_C1 = hidden_ND[here], target_N[here], worth_N[here, None]
            p_CV = kept_NV
            if p_CV is None:
                p_CV = torch.softmax(times(hidden_CD, weight_VD), 1, dtype=wide).to(hidden_ND.dtype)
            if grad_hidden_ND is not None:
                grad_hidden_ND[here] = worth_C1 * (weight_VD[target_C] - times(p_CV, weight_VD.T))
            if grad_weight_VD is not None:
                worth_CD = (worth_C1 * hidden_CD).to(hidden_ND.dtype)
                if kept_NV is None and wide == hidden_ND.dtype:
                    grad_weight_VD.addmm_(p_CV.T, worth_CD, alpha=-1)  # without a V × D product beside the sum
                else:
                    grad_weight_VD -= times(p_CV.T, worth_CD.T)
                grad_weight_VD.index_add_(0, target_C, worth_CD.to(wide))
        for_both = grad_hidden_ND, None if grad_weight_VD is None else grad_weight_VD.to(weight_VD.dtype)
        return (*for_both, None, None, None, None)


class _ChunkedNll(torch.autograd.Function):
    """The gradient is made in the forward pass, while a chunk's logits are there: softmax − one-hot.

    Made again in backward it would cost a fourth product with W; so it costs three, and what is kept is as large as h
    and W and no larger. The gradient of the mean only scales it.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, chunk: int, for_hidden: bool, for_weight: bool
    ) -> Tensor:
        # Sums in float32 at least: a thousand bfloat16 chunks added in bfloat16 stand still after the first few.
        wide = torch.promote_types(hidden_ND.dtype, torch.float32)
        total = hidden_ND.new_zeros((), dtype=wide)
        grad_hidden_ND = torch.empty_like(hidden_ND) if for_hidden else None
        grad_weight_VD = torch.zeros_like(weight_VD, dtype=wide) if for_weight else None
        for start in range(0, len(target_N), chunk):
            here = slice(start, start + chunk)
            hidden_CD, target_C1 = hidden_ND[here], target_N[here, None]
            logp_CV = torch.log_softmax(times(hidden_CD, weight_VD), dim=1, dtype=wide)
            total -= logp_CV.gather(1, target_C1).sum()
            if grad_hidden_ND is None and grad_weight_VD is None:
                continue
            grad_CV = logp_CV.exp_()  # in place: the gradient takes the room of the log-probabilities
            grad_CV.scatter_add_(1, target_C1, grad_CV.new_full(target_C1.shape, -1))
            grad_CV = grad_CV.to(hidden_ND.dtype)
            if grad_hidden_ND is not None:
                grad_hidden_ND[here] = times(grad_CV, weight_VD.T)
            if grad_weight_VD is not None and wide == hidden_ND.dtype:
                grad_weight_VD.addmm_(grad_CV.T, hidden_CD)  # without a V × D product beside the sum
            elif grad_weight_VD is not None:
                grad_weight_VD += grad_CV.T @ hidden_CD
        ctx.positions = len(target_N)
        ctx.save_for_backward(grad_hidden_ND, None if grad_weight_VD is None else grad_weight_VD.to(weight_VD.dtype))
        return total / len(target_N)

    @staticmethod
    @once_differentiable  # it hides the names of the parameters, hence the next line
    # pyrefly: ignore[bad-override]
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor | None, ...]:
        scale = grad[0] / ctx.positions
        scaled = (None if kept is None else kept * scale.to(kept.dtype) for kept in ctx.saved_tensors)
        return (*scaled, None, None, None, None)

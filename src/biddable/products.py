"""Matrix products in float32 on a CPU, by oneDNN.

PyTorch gives them to MKL, which keeps AVX-512 to Intel's processors: on an AMD EPYC (Zen 5) one core was seen to do 95
GFLOP/s there and 215 by oneDNN, which PyTorch ships too but asks for bfloat16 alone. The arithmetic is the same, and so
is the precision. Everything else (float64, GPUs, small products) goes where PyTorch sends it.

N = rows, K = what is summed over, M = columns.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

HERE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
# oneDNN makes a program for each shape, in about half a millisecond. That pays for large products, and for a sampler's,
# which come again at each token.
FEW, SMALL, LARGE = 64, 2**17, 2**26


def times(a: Float[Tensor, "N K"], b: Float[Tensor, "M K"], shift: Float[Tensor, " M"] | None = None) -> Tensor:
    """a bᵀ (+ shift). Either may be a transposed view: nothing is copied for it. No gradient is recorded."""
    return _onednn(a, b, shift) if _pays(a, b) else F.linear(a, b, shift)


def _onednn(a_NK: Tensor, b_MK: Tensor, shift_M: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a_NK, b_MK, shift_M, "none", [], "")


def _pays(a_NK: Tensor, b_MK: Tensor) -> bool:
    if not (HERE and a_NK.dtype == b_MK.dtype == torch.float32 and a_NK.device.type == b_MK.device.type == "cpu"):
        return False
    (n, k), m = a_NK.shape, b_MK.shape[0]
    return large(n, k, m)


def large(n: int, k: int, m: int) -> bool:
    """Whether a product of these sizes is worth a program."""
    return k * m >= SMALL and (n <= FEW or n * k * m >= LARGE)


class _Linear(torch.autograd.Function):
    """∂/∂x = g W,  ∂/∂W = gᵀ x,  ∂/∂shift = Σₙ gₙ."""

    @staticmethod
    def forward(ctx: Any, x_NK: Tensor, weight_MK: Tensor, shift_M: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_NK, weight_MK)
        return times(x_NK, weight_MK, shift_M)

    @staticmethod
    @once_differentiable  # it hides the names of the parameters, hence the next line
    # pyrefly: ignore[bad-override]
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor | None, ...]:
        x_NK, weight_MK = ctx.saved_tensors
        for_x, for_weight, for_shift = ctx.needs_input_grad
        return (
            times(grad[0], weight_MK.T) if for_x else None,
            times(grad[0].T, x_NK.T) if for_weight else None,
            grad[0].sum(0) if for_shift else None,
        )


class Linear(nn.Linear):
    """A layer as `nn.Linear` is, its products made here."""

    def forward(self, x: Tensor) -> Tensor:  # pyrefly: ignore[bad-override]
        flat_NK = x.reshape(-1, x.shape[-1])
        if not _pays(flat_NK, self.weight):
            return super().forward(x)
        flat_NM = _Linear.apply(flat_NK, self.weight, self.bias)
        return flat_NM if x.ndim == 2 else flat_NM.unflatten(0, x.shape[:-1])  # no view, so that it can be added to


def speed_up(model: nn.Module) -> None:
    """Have a model's plain linear layers make their products here. Weights, names and what is saved stay the same."""
    for part in model.modules():
        if type(part) is nn.Linear:
            part.__class__ = Linear

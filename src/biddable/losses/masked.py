"""Means over what counts.

Shape suffixes live in the callers: here x and its mask have any one shape.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EPSILON = 1e-8  # inside the root, as in lm-human-preferences' whiten


def counting(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, " n"]:
    """The values that count, in a row.

    Selected rather than multiplied by 0, for two reasons: 0·NaN is NaN, so a product would let padding speak, and a sum
    over the selection has the same bits however the rows were padded.
    """
    assert mask.dtype == torch.bool, f"a mask is bool, not {mask.dtype}"
    assert x.shape == mask.shape, f"x is {tuple(x.shape)} but its mask {tuple(mask.shape)}"
    x_n = x[mask]
    if x_n.numel() == 0:
        raise ValueError("the mask hides everything, so there is nothing to take a mean over: check the response masks")
    return x_n


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Σ mᵢ xᵢ / Σ mᵢ."""
    return counting(x, mask).mean()


def whiten(
    x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], shift_mean: bool = True
) -> Float[Tensor, "*shape"]:
    """(x − μ)/√(σ² + 1e-8), and + μ again unless `shift_mean`. Ziegler et al. 2019, code `utils/core.py`, `whiten`.

    True: the mean becomes 0 (advantages). False: the mean stays and only the scale goes (rewards, whose mean is part
    of the task). The variance is the biased one, as TensorFlow's moments are. Hidden places come back as 0.
    """
    x_n = counting(x, mask)
    mean, var = x_n.mean(), x_n.var(correction=0)
    white_n = (x_n - mean) * torch.rsqrt(var + EPSILON)
    if not shift_mean:
        white_n = white_n + mean
    return torch.zeros_like(x).masked_scatter(mask, white_n)


def mean_of_means(x: Float[Tensor, " n"], group: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """mean over groups of the mean of x over a group: groups weigh the same, however large they are."""
    if x.numel() == 0:
        raise ValueError("nothing is given, so there is nothing to take a mean over")
    _, index_n, size_g = group.unique(return_inverse=True, return_counts=True)
    return (x / size_g[index_n]).sum() / len(size_g)

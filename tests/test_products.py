"""Matrix products by oneDNN: the numbers and the gradients of nn.Linear, in float32's digits."""

import copy

import pytest
import torch
from torch import nn

from biddable import products
from biddable.products import Linear, speed_up, times

needs_onednn = pytest.mark.skipif(not products.HERE, reason="this build of PyTorch has no oneDNN")
# N, K, M of few rows and of many, for which oneDNN pays; the sums are over up to 512 terms, so that 1e-5 is rounding
SHAPES = [(3, 512, 384), (600, 512, 300)]


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(found: torch.Tensor, right: torch.Tensor) -> bool:
    return bool((found.double() - right).abs().max() <= 1e-5 * right.abs().max())


@pytest.mark.parametrize(("n", "k", "m"), SHAPES)
def test_a_product_is_that_of_float64_also_of_transposed_views(n, k, m):
    a, b, shift = rows(n, k), rows(m, k, seed=1), rows(m, seed=2)
    right = a.double() @ b.double().T
    assert close(times(a, b), right)
    assert close(times(a, b, shift), right + shift.double())
    assert close(times(a.T.contiguous().T, b.T.contiguous().T), right)


@needs_onednn
@pytest.mark.parametrize(("n", "k", "m"), SHAPES)
def test_these_shapes_do_go_to_onednn(n, k, m):
    assert products._pays(rows(n, k), rows(m, k))
    assert not products._pays(rows(n, k).double(), rows(m, k).double())
    assert not products._pays(rows(n, 8), rows(m, 8))


@pytest.mark.parametrize(("n", "k", "m"), SHAPES)
@pytest.mark.parametrize("shifted", [True, False])
def test_a_layer_has_the_gradients_of_nn_linear(n, k, m, shifted):
    layer = nn.Linear(k, m, bias=shifted)
    right = copy.deepcopy(layer).double()
    speed_up(layer := nn.Sequential(layer))
    x = rows(2, n, k).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    weigh = rows(2, n, m, seed=3)
    found = layer(x)
    assert found.shape == (2, n, m)
    (found * weigh).sum().backward()
    (right(x64) * weigh.double()).sum().backward()
    assert close(found, right(x64))
    assert close(x.grad, x64.grad)
    for mine, theirs in zip(layer.parameters(), right.parameters(), strict=True):
        assert close(mine.grad, theirs.grad)


def test_a_frozen_layer_hands_its_gradient_on_and_has_none():
    layer = nn.Sequential(nn.Linear(512, 384)).requires_grad_(False)
    speed_up(layer)
    x = rows(3, 512).requires_grad_()
    layer(x).sum().backward()
    assert close(x.grad, layer[0].weight.double().sum(0).expand(3, -1))
    assert layer[0].weight.grad is None


def test_what_is_saved_and_copied_stays_the_same():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Bilinear(3, 3, 2))
    before = {name: x.clone() for name, x in model.state_dict().items()}
    speed_up(model)
    speed_up(model)
    assert type(model[0]) is Linear
    assert type(model[2]) is nn.Bilinear
    again = copy.deepcopy(model)
    assert all(torch.equal(x, before[name]) for name, x in again.state_dict().items())


def test_small_products_and_float64_are_pytorchs_own():
    x, layer = rows(5, 6), nn.Linear(6, 7)
    right = layer(x)
    speed_up(fast := nn.Sequential(layer))
    assert torch.equal(fast(x), right)
    wide, layer = rows(3, 512).double(), nn.Linear(512, 384).double()
    right = layer(wide)
    speed_up(fast := nn.Sequential(layer))
    assert torch.equal(fast(wide), right)

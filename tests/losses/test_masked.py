import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.masked import masked_mean, mean_of_means, whiten

EXACT = {"rtol": 0, "atol": 1e-12}  # float64, sums of a few numbers near 1

cells = st.lists(
    st.tuples(st.floats(-100, 100), st.booleans()), min_size=1, max_size=20
).filter(lambda row: any(counts for _, counts in row))  # fmt: skip


def split(row):
    return torch.tensor([x for x, _ in row], dtype=torch.float64), torch.tensor([counts for _, counts in row])


def test_mean_by_hand():
    x_BT = torch.tensor([[1.0, 2.0, 100.0], [6.0, 100.0, 100.0]])
    mask_BT = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(x_BT, mask_BT).item() == 3.0  # (1 + 2 + 6)/3: over tokens, not the mean of 1.5 and 6


@given(cells)
def test_mean_is_the_sum_over_the_count(row):
    kept = [x for x, counts in row if counts]
    assert masked_mean(*split(row)).item() == pytest.approx(sum(kept) / len(kept), abs=1e-12)


def test_mean_is_blind_to_what_is_hidden():
    mask_T = torch.tensor([True, False, True])
    for hidden in (0.0, math.inf, math.nan):
        x_T = torch.tensor([1.0, hidden, 3.0], requires_grad=True)
        mean = masked_mean(x_T, mask_T)
        assert mean.item() == 2.0
        assert torch.autograd.grad(mean, x_T)[0].tolist() == [0.5, 0.0, 0.5]


def test_mean_has_the_same_bits_however_rows_are_padded():
    x_BT = torch.randn(7, 33, generator=torch.Generator().manual_seed(0))
    mask_BT = torch.rand(7, 33, generator=torch.Generator().manual_seed(1)) < 0.6
    left_BT = torch.cat((torch.full((7, 5), math.nan), x_BT), dim=1)
    left_mask_BT = torch.cat((torch.zeros(7, 5, dtype=torch.bool), mask_BT), dim=1)
    assert masked_mean(x_BT, mask_BT).equal(masked_mean(left_BT, left_mask_BT))


@pytest.mark.parametrize("reduce", [masked_mean, whiten])
def test_an_empty_mask_has_no_mean(reduce):
    with pytest.raises(ValueError, match="the mask hides everything"):
        reduce(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool))


@pytest.mark.parametrize("reduce", [masked_mean, whiten])
def test_a_mask_of_another_shape_or_kind_is_refused(reduce):
    # AssertionError alone; TypeError where jaxtyping looks on, as in this suite.
    with pytest.raises((AssertionError, TypeError)):
        reduce(torch.ones(2, 3), torch.ones(3, dtype=torch.bool))
    with pytest.raises((AssertionError, TypeError)):
        reduce(torch.ones(2, 3), torch.ones(2, 3))


def test_whiten_by_hand():
    # mean 3, biased variance (9 + 0 + 9)/3 = 6 (the unbiased one is 9): −3/√6 = −1.2247449
    x_T, mask_T = torch.tensor([0.0, 3.0, 50.0, 6.0]), torch.tensor([True, True, False, True])
    torch.testing.assert_close(whiten(x_T, mask_T), torch.tensor([-1.2247449, 0.0, 0.0, 1.2247449]))
    kept = whiten(x_T, mask_T, shift_mean=False)  # the mean stays: the same + 3
    torch.testing.assert_close(kept, torch.tensor([1.7752551, 3.0, 0.0, 4.2247449]))


def test_whiten_has_its_epsilon_inside_the_root():
    x_T = torch.tensor([-1e-4, 1e-4], dtype=torch.float64)  # variance 1e-8: 1e-4/√(2e-8) = 1/√2
    root_half = torch.tensor([-math.sqrt(0.5), math.sqrt(0.5)], dtype=torch.float64)
    torch.testing.assert_close(whiten(x_T, torch.ones(2, dtype=torch.bool)), root_half, **EXACT)


def test_whiten_of_a_constant_is_nothing_and_no_nan():
    mask_T = torch.ones(5, dtype=torch.bool)
    assert whiten(torch.full((5,), 7.0), mask_T).tolist() == [0.0] * 5
    assert whiten(torch.full((5,), 7.0), mask_T, shift_mean=False).tolist() == [7.0] * 5


@given(cells)
def test_whiten_by_its_slow_definition(row):
    kept = [x for x, counts in row if counts]
    mean = sum(kept) / len(kept)
    var = sum((x - mean) ** 2 for x in kept) / len(kept)
    for shift_mean in (True, False):
        slow = [(x - mean) / math.sqrt(var + 1e-8) + (0 if shift_mean else mean) if counts else 0 for x, counts in row]
        # Where all values are nearly one, the rounding of the mean is divided by √1e-8: 1e-14·1e4.
        assert whiten(*split(row), shift_mean).tolist() == pytest.approx(slow, abs=1e-8)


@given(cells, st.floats(-10, 10), st.floats(0.5, 10))
def test_whiten_centres_and_forgets_shift_and_scale(row, shift, scale):
    x_T, mask_T = split(row)
    white_T = whiten(x_T, mask_T)
    assert white_T[mask_T].mean().item() == pytest.approx(0, abs=1e-8)
    if x_T[mask_T].std(correction=0) > 1:  # then the ε is lost in the variance
        assert white_T[mask_T].std(correction=0).item() == pytest.approx(1, abs=1e-7)
        torch.testing.assert_close(whiten(scale * x_T + shift, mask_T), white_T, rtol=0, atol=1e-7)


def test_whiten_is_blind_to_what_is_hidden():
    mask_T = torch.tensor([True, False, True])
    for hidden in (0.0, math.inf, math.nan):
        x_T = torch.tensor([1.0, hidden, 3.0], requires_grad=True)
        white_T = whiten(x_T, mask_T)
        torch.testing.assert_close(white_T, torch.tensor([-1.0, 0.0, 1.0]))
        assert torch.autograd.grad(white_T[0], x_T)[0].isfinite().all()


def test_gradients():
    x_BT = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask_BT = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) < 0.7
    assert torch.autograd.gradcheck(lambda x: masked_mean(x, mask_BT), x_BT)
    assert torch.autograd.gradcheck(lambda x: whiten(x, mask_BT), x_BT)
    assert torch.autograd.gradcheck(lambda x: whiten(x, mask_BT, shift_mean=False), x_BT)


def test_mean_of_means_by_hand():
    x, group = torch.tensor([1.0, 10.0, 3.0]), torch.tensor([7, 2, 7])
    assert mean_of_means(x, group).item() == 6.0  # groups of mean 2 and 10; over numbers it would be 14/3
    with pytest.raises(ValueError, match="nothing is given"):
        mean_of_means(x[:0], group[:0])


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(-3, 3)), min_size=1, max_size=20))
def test_mean_of_means_by_its_slow_definition(rows):
    x, group = torch.tensor([x for x, _ in rows], dtype=torch.float64), torch.tensor([g for _, g in rows])
    groups = [[x for x, other in rows if other == g] for g in {g for _, g in rows}]
    slow = sum(sum(some) / len(some) for some in groups) / len(groups)
    assert mean_of_means(x, group).item() == pytest.approx(slow, abs=1e-10)


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=4), min_size=1, max_size=4), st.integers(1, 5))
def test_mean_of_means_is_blind_to_sizes_names_and_order(groups, times):
    """A group said several times over weighs what it weighed."""

    def of(rows):
        x, group = zip(*rows, strict=True)
        return mean_of_means(torch.tensor(x, dtype=torch.float64), torch.tensor(group)).item()

    rows = [(x, g) for g, group in enumerate(groups) for x in group]
    again = [(x, 50 - g) for g, group in enumerate(groups) for x in group * (times if g == 0 else 1)]
    assert of(again[::-1]) == pytest.approx(of(rows), abs=1e-10)

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.group import group_advantage, leave_one_out

matrices = st.integers(2, 6).flatmap(
    lambda samples: st.lists(
        st.lists(st.floats(-50, 50), min_size=samples, max_size=samples), min_size=1, max_size=4
    )
)  # fmt: skip


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_leave_one_out_by_hand():
    # 1 − (2 + 6)/2 = −3,  2 − (1 + 6)/2 = −1.5,  6 − (1 + 2)/2 = 4.5; the second prompt's scores play no part
    assert leave_one_out(torch.tensor([[1.0, 2.0, 6.0], [5.0, 5.0, 8.0]])).tolist() == [
        [-3, -1.5, 4.5],
        [-1.5, -1.5, 3],
    ]


def test_group_advantage_by_hand():
    score_PS = torch.tensor([[1.0, 2.0, 6.0]])  # mean 3, biased variance (4 + 1 + 9)/3 = 14/3, root 2.1602469
    torch.testing.assert_close(group_advantage(score_PS), torch.tensor([[-0.9258201, -0.4629100, 1.3887301]]))
    assert group_advantage(score_PS, scale=False).tolist() == [[-2.0, -1.0, 3.0]]


@given(matrices)
def test_leave_one_out_by_its_slow_definition(rows):
    slow = [
        [x - sum(y for j, y in enumerate(row) if j != i) / (len(row) - 1) for i, x in enumerate(row)] for row in rows
    ]
    torch.testing.assert_close(leave_one_out(double(rows)), double(slow), rtol=0, atol=1e-11)


@given(matrices)
def test_group_advantage_by_its_slow_definition(rows):
    centred = [[x - sum(row) / len(row) for x in row] for row in rows]
    slow = [[x / math.sqrt(sum(y * y for y in row) / len(row) + 1e-8) for x in row] for row in centred]
    torch.testing.assert_close(group_advantage(double(rows), scale=False), double(centred), rtol=0, atol=1e-11)
    torch.testing.assert_close(group_advantage(double(rows)), double(slow), rtol=0, atol=1e-8)


@given(matrices, st.floats(-10, 10))
def test_a_constant_added_to_a_prompts_scores_changes_nothing(rows, constant):
    for advantage in (leave_one_out, group_advantage):
        plain_PS, moved_PS = advantage(double(rows)), advantage(double(rows) + constant)
        torch.testing.assert_close(plain_PS, moved_PS, rtol=0, atol=1e-8)
        assert plain_PS.sum(dim=1).abs().max().item() < 1e-8


@pytest.mark.parametrize("score", [0.1, 1e4 / 3, -1e6 / 7])
def test_equal_scores_give_exactly_nothing(score):
    """In float32 the mean of equal numbers is not always that number; divided by a spread of 1e-4 it would be seen."""
    score_PS = torch.full((3, 7), score)
    for advantage in (leave_one_out, group_advantage):
        assert not advantage(score_PS).any()


@pytest.mark.parametrize("advantage", [leave_one_out, group_advantage])
def test_one_sample_has_no_siblings(advantage):
    with pytest.raises(ValueError, match="take at least 2"):
        advantage(torch.ones(4, 1))
    assert advantage(torch.ones(4, 2)).shape == (4, 2)


def test_a_flat_vector_is_refused():
    for advantage in (leave_one_out, group_advantage):
        with pytest.raises((AssertionError, TypeError)):
            advantage(torch.ones(4))

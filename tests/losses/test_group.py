import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.group import batch_advantage, group_advantage, grpo_loss, leave_one_out, less_mean
from biddable.losses.ppo import policy_loss

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
    for advantage in (leave_one_out, group_advantage, less_mean):
        plain_PS, moved_PS = advantage(double(rows)), advantage(double(rows) + constant)
        torch.testing.assert_close(plain_PS, moved_PS, rtol=0, atol=1e-8)
        assert plain_PS.sum(dim=1).abs().max().item() < 1e-8


@pytest.mark.parametrize("score", [0.1, 1e4 / 3, -1e6 / 7])
def test_equal_scores_give_exactly_nothing(score):
    """In float32 the mean of equal numbers is not always that number; divided by a spread of 1e-4 it would be seen."""
    score_PS = torch.full((3, 7), score)
    for advantage in (leave_one_out, group_advantage, less_mean):
        assert not advantage(score_PS).any()


@pytest.mark.parametrize("advantage", [leave_one_out, group_advantage, less_mean])
def test_one_sample_has_no_siblings(advantage):
    with pytest.raises(ValueError, match="take at least 2"):
        advantage(torch.ones(4, 1))
    assert advantage(torch.ones(4, 2)).shape == (4, 2)


def test_a_flat_vector_is_refused():
    for advantage in (leave_one_out, group_advantage):
        with pytest.raises((AssertionError, TypeError)):
            advantage(torch.ones(4))


def test_less_mean_by_hand():
    assert less_mean(torch.tensor([[1.0, 2.0, 6.0], [5.0, 5.0, 8.0]])).tolist() == [[-2, -1, 3], [-1, -1, 2]]


def test_the_baseline_leaves_the_gradients_expectation_unchanged():
    """Over all pairs of answers that a policy of three answers can give: E[A ∇log π] = E[R ∇log π]. The mean of all,
    the answer itself among them, shrinks it by (S − 1)/S."""
    logit_V = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64, requires_grad=True)
    reward_V = double([2.0, -1.0, 7.0])
    p_V = logit_V.softmax(0)
    [exact_V] = torch.autograd.grad((p_V * reward_V).sum(), logit_V, retain_graph=True)

    def expected(advantage):
        total_V = torch.zeros(3, dtype=torch.float64)
        for one in range(3):
            for other in range(3):
                answers = torch.tensor([one, other])
                advantage_PS = advantage(reward_V[answers].view(1, 2))
                surrogate = (advantage_PS.squeeze(0) * p_V[answers].log()).mean()
                [gradient_V] = torch.autograd.grad(surrogate, logit_V, retain_graph=True)
                total_V += (p_V[one] * p_V[other]).detach() * gradient_V
        return total_V

    torch.testing.assert_close(expected(leave_one_out), exact_V, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expected(less_mean), exact_V / 2, rtol=1e-12, atol=1e-12)


def test_batch_advantage_by_hand():
    # rewards to come: 1 + 2 = 3 and 2 of the first, 4 of the second; their mean 3, their biased variance 2/3
    mask_BT = torch.tensor([[True, True], [True, False]])
    advantage_BT = batch_advantage(double([[1.0, 2.0], [4.0, 99.0]]), mask_BT)
    torch.testing.assert_close(advantage_BT, double([[0.0, -math.sqrt(1.5)], [math.sqrt(1.5), 0.0]]), rtol=0, atol=1e-7)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 999), st.floats(0, 1))
def test_batch_advantage_by_its_slow_definition(rows, places, seed, gamma):
    generator = torch.Generator().manual_seed(seed)
    reward_BT = torch.randn(rows, places, generator=generator, dtype=torch.float64)
    mask_BT = torch.arange(places) < torch.randint(1, places + 1, (rows, 1), generator=generator)
    to_come = [
        sum(gamma ** (s - t) * reward_BT[b, s].item() for s in range(t, places) if mask_BT[b, s])
        for b, t in mask_BT.nonzero().tolist()
    ]
    mean = sum(to_come) / len(to_come)
    spread = math.sqrt(sum((a - mean) ** 2 for a in to_come) / len(to_come) + 1e-8)
    found = batch_advantage(reward_BT, mask_BT, gamma)
    torch.testing.assert_close(found[mask_BT], double([(a - mean) / spread for a in to_come]), rtol=0, atol=1e-7)
    assert not found[~mask_BT].any()


# GRPO's loss


def test_grpo_loss_by_hand():
    """Two answers of two tokens and one, ratios 1, 2 and ½; advantages 1 and −1.

    The first: −1·1 and, clipped, −1.2; the second: max(½, 0.8). k₃ is 0 but at the first token, where ref/π = e:
    e − 1 − 1 = 0.71828. So (−1 + 0.5·0.71828 − 1.2)/2 = −0.92043 and 0.8, on average −0.060215.
    """
    logp_BT = double([[-1.0, -1.0], [-1.0, 9.0]])
    old_BT = logp_BT - double([[0.0, math.log(2)], [-math.log(2), 0.0]])
    ref_BT = logp_BT + double([[1.0, 0.0], [0.0, 5.0]])
    mask_BT = torch.tensor([[True, True], [True, False]])
    advantage_BT = double([[1.0, 1.0], [-1.0, -1.0]])
    given_ = (logp_BT, old_BT, ref_BT, advantage_BT, mask_BT, 0.2)
    assert grpo_loss(*given_, beta=0.5).item() == pytest.approx(-0.0602148, abs=1e-7)
    # Dr. GRPO: both sums by 4: (−1.840859 + 0.8)/4/2
    assert grpo_loss(*given_, beta=0.5, length=4).item() == pytest.approx(-0.1301074, abs=1e-7)


def waves():
    """Numbers that can be made anywhere, for an oracle elsewhere."""
    x = torch.arange(24, dtype=torch.float64)
    logp_BT = (-1.5 + x.sin()).view(4, 6).requires_grad_()
    old_BT, ref_BT = (-1.5 + (x + 0.2).sin()).view(4, 6), (-1.5 + (1.1 * x).sin()).view(4, 6)
    mask_BT = torch.arange(6) < torch.tensor([[6], [3], [1], [5]])
    return logp_BT, old_BT, ref_BT, double([1.0, -0.5, 2.0, -1.5])[:, None].expand(4, 6), mask_BT


@pytest.mark.parametrize(
    ("length", "beta", "loss", "norm"),
    [  # `GRPOTrainer._compute_loss` of TRL 1.16.0 on these very numbers: loss_type "grpo", and "dr_grpo" of 10 tokens
        (0, 0.04, -0.16510006201765964, 0.483352980979557),
        (10, 0.04, 0.032481495400201246, 0.11113897723373133),
        (0, 0.0, -0.18414206234133818, 0.465184407506958),
    ],
)
def test_grpo_loss_is_that_of_trl(length, beta, loss, norm):
    logp_BT, old_BT, ref_BT, advantage_BT, mask_BT = waves()
    found = grpo_loss(logp_BT, old_BT, ref_BT, advantage_BT, mask_BT, 0.2, beta, length)
    found.backward()
    assert found.item() == pytest.approx(loss, rel=1e-12)
    assert logp_BT.grad.norm().item() == pytest.approx(norm, rel=1e-12)


def test_a_whole_answer_as_one_action_is_that_of_trl():
    """RLOO is PPO's loss where an answer is one token: `RLOOTrainer._compute_loss` of TRL 1.16.0."""
    logp_BT, old_BT, _, advantage_BT, mask_BT = waves()
    logp_B1, old_B1 = ((x_BT * mask_BT).sum(1, keepdim=True) for x_BT in (logp_BT, old_BT))
    found = policy_loss(logp_B1, old_B1, advantage_BT[:, :1], mask_BT[:, :1], 0.2)
    found.backward()
    assert found.item() == pytest.approx(-0.23454773545404112, rel=1e-12)
    assert logp_BT.grad.norm().item() == pytest.approx(1.091198862242201, rel=1e-12)


def test_what_the_mask_hides_grpo_does_not_see():
    logp_BT, old_BT, ref_BT, advantage_BT, mask_BT = waves()

    def look(junk):
        spoilt = (torch.where(mask_BT, x_BT, junk) for x_BT in (logp_BT, old_BT, ref_BT, advantage_BT))
        loss = grpo_loss(*spoilt, mask_BT, 0.2, 0.04)
        return loss.item(), *torch.autograd.grad(loss, logp_BT)

    plain, gradient_BT = look(0.0)
    for junk in (math.nan, math.inf, 700.0):
        other, other_BT = look(junk)
        assert other == plain
        assert torch.equal(other_BT, gradient_BT)
    assert not gradient_BT[~mask_BT].any()


def test_equal_scores_leave_grpo_with_the_kl_alone():
    logp_BT, old_BT, ref_BT, _, mask_BT = waves()
    nothing_BT = group_advantage(torch.full((1, 4), 0.7)).double().view(4, 1).expand(4, 6)
    loss = grpo_loss(logp_BT, old_BT, ref_BT, nothing_BT, mask_BT, 0.2, 0.0)
    assert not torch.autograd.grad(loss, logp_BT)[0].any()
    loss = grpo_loss(logp_BT, old_BT, ref_BT, nothing_BT, mask_BT, 0.2, 0.04)
    [gradient_BT] = torch.autograd.grad(loss, logp_BT)
    # d k₃/d log π = 1 − ref/π, by β over the answer's length and the four answers
    length_B1 = mask_BT.sum(1, keepdim=True)
    slow_BT = torch.where(mask_BT, 0.04 * (1 - (ref_BT - logp_BT).exp()) / length_B1 / 4, 0)
    torch.testing.assert_close(gradient_BT, slow_BT, rtol=1e-12, atol=1e-12)


@given(matrices)
def test_less_mean_by_its_slow_definition(rows):
    slow = [[x - sum(row) / len(row) for x in row] for row in rows]
    torch.testing.assert_close(less_mean(double(rows)), double(slow), rtol=0, atol=1e-11)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 999))
def test_batch_advantage_is_blind_and_white(rows, places, seed):
    generator = torch.Generator().manual_seed(seed)
    reward_BT = torch.randn(rows, places, generator=generator, dtype=torch.float64)
    mask_BT = torch.rand(rows, places, generator=generator) < 0.7
    mask_BT[0, 0] = True
    plain_BT = batch_advantage(reward_BT, mask_BT, 0.9)
    assert plain_BT[mask_BT].mean().item() == pytest.approx(0, abs=1e-6)
    for junk in (math.nan, math.inf):
        assert batch_advantage(torch.where(mask_BT, reward_BT, junk), mask_BT, 0.9).equal(plain_BT)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 999), st.floats(0.05, 0.5), st.floats(0, 1))
def test_grpo_loss_by_its_slow_definition(rows, places, seed, clip, beta):
    generator = torch.Generator().manual_seed(seed)
    logp_BT, old_BT, ref_BT, advantage_BT = torch.randn(4, rows, places, generator=generator, dtype=torch.float64)
    mask_BT = torch.rand(rows, places, generator=generator) < 0.7
    mask_BT[:, seed % places] = True
    for length in (0, 5):
        slow = 0.0
        for b in range(rows):
            at = [t for t in range(places) if mask_BT[b, t]]
            for t in at:
                p, old, ref, a = (x_BT[b, t].item() for x_BT in (logp_BT, old_BT, ref_BT, advantage_BT))
                ratio = math.exp(p - old)
                term = max(-a * ratio, -a * min(max(ratio, 1 - clip), 1 + clip))
                slow += (term + beta * (math.exp(ref - p) - 1 - (ref - p))) / (length or len(at)) / rows
        found = grpo_loss(logp_BT, old_BT, ref_BT, advantage_BT, mask_BT, clip, beta, length)
        assert found.item() == pytest.approx(slow, rel=1e-9, abs=1e-9)

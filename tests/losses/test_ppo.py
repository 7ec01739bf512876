import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.ppo import (
    clip_fraction,
    entropy,
    explained_variance,
    gae,
    policy_loss,
    token_rewards,
    value_loss,
)

CLOSE = {"rtol": 1e-10, "atol": 1e-10}  # float64, sums of tens of numbers near 1
batches = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(0, 999))


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def holes(seed, rows, places):
    """A mask with holes anywhere, and one token that counts at least."""
    mask_BT = torch.rand(rows, places, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask_BT[seed % rows, seed % places] = True
    return mask_BT


def spoilt(x_BT, mask_BT, junk):
    return torch.where(mask_BT, x_BT, junk)


def mask(*rows):
    return torch.tensor([[c == "x" for c in row] for row in rows])


# token rewards


def test_token_rewards_by_hand():
    score_B = torch.tensor([10.0, 20.0, 30.0])
    logp_BT = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0]])
    ref_logp_BT = torch.tensor([[-2.0, -2.0, -2.0]] * 3)  # log π/ref = 1, 0, −1; times −0.5: −0.5, 0, +0.5
    reward_BT = token_rewards(score_B, logp_BT, ref_logp_BT, mask("xx.", ".xx", "x.x"), beta=0.5)
    assert reward_BT.tolist() == [[-0.5, 10.0, 0.0], [0.0, 0.0, 20.5], [-0.5, 0.0, 30.5]]


@given(batches, st.floats(0, 2))
def test_token_rewards_by_their_slow_definition(batch, beta):
    rows, places, seed = batch
    score_B, mask_BT = numbers(seed, rows), holes(seed, rows, places)
    logp_BT, ref_logp_BT = numbers(seed + 1, 2, rows, places)
    slow_BT = torch.zeros(rows, places, dtype=torch.float64)
    for b in range(rows):
        counting = [t for t in range(places) if mask_BT[b, t]]
        for t in counting:
            slow_BT[b, t] = -beta * (logp_BT[b, t] - ref_logp_BT[b, t])
        if counting:
            slow_BT[b, counting[-1]] += score_B[b]
    torch.testing.assert_close(token_rewards(score_B, logp_BT, ref_logp_BT, mask_BT, beta), slow_BT, **CLOSE)


def test_token_rewards_where_the_policy_is_the_reference_are_the_score_alone():
    logp_BT = numbers(0, 2, 3)
    reward_BT = token_rewards(numbers(1, 2), logp_BT, logp_BT, mask("xxx", "xx."), beta=0.02)
    assert reward_BT.sum(dim=1).tolist() == numbers(1, 2).tolist()


@given(batches)
def test_token_rewards_are_blind_to_what_is_hidden(batch):
    rows, places, seed = batch
    score_B, mask_BT = numbers(seed, rows), holes(seed, rows, places)
    logp_BT, ref_logp_BT = numbers(seed + 1, 2, rows, places)
    plain_BT = token_rewards(score_B, logp_BT, ref_logp_BT, mask_BT, 0.1)
    for junk in (math.nan, -math.inf):
        hidden_rows_B = torch.where(mask_BT.any(dim=1), score_B, junk)
        junk_BT = spoilt(logp_BT, mask_BT, junk), spoilt(ref_logp_BT, mask_BT, junk)
        assert token_rewards(hidden_rows_B, *junk_BT, mask_BT, 0.1).equal(plain_BT)
    assert not plain_BT[~mask_BT].any()


# advantages


def test_gae_by_hand():
    # γ = ½, λ = ½; rewards 1, 2, 4; values 2, 4, 8; the end is worth 0.
    # δ = 1 + 2 − 2 = 1,  2 + 4 − 4 = 2,  4 + 0 − 8 = −4;  Â₃ = −4, Â₂ = 2 − ¼·4 = 1, Â₁ = 1 + ¼·1 = 1.25
    advantage_BT, return_BT = gae(
        torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[2.0, 4.0, 8.0]]), mask("xxx"), 0.5, 0.5
    )
    assert advantage_BT.tolist() == [[1.25, 1.0, -4.0]]
    assert return_BT.tolist() == [[3.25, 5.0, 4.0]]


def test_gae_steps_over_holes_and_padding_by_hand():
    reward_BT = torch.tensor([[9.0, 1.0, 9.0, 2.0, 4.0, 9.0]])
    value_BT = torch.tensor([[9.0, 2.0, 9.0, 4.0, 8.0, 9.0]])
    advantage_BT, return_BT = gae(reward_BT, value_BT, mask(".x.xx."), 0.5, 0.5)
    assert advantage_BT.tolist() == [[0.0, 1.25, 0.0, 1.0, -4.0, 0.0]]
    assert return_BT.tolist() == [[0.0, 3.25, 0.0, 5.0, 4.0, 0.0]]


@given(batches, st.floats(0, 1), st.floats(0, 1))
def test_gae_by_its_slow_definition(batch, gamma, lam):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    reward_BT, value_BT = numbers(seed + 1, 2, rows, places)
    slow_BT = torch.zeros(rows, places, dtype=torch.float64)
    for b in range(rows):
        at = [t for t in range(places) if mask_BT[b, t]]
        value = [value_BT[b, t].item() for t in at] + [0.0]
        delta = [reward_BT[b, t].item() + gamma * value[i + 1] - value[i] for i, t in enumerate(at)]
        for i, t in enumerate(at):
            slow_BT[b, t] = sum((gamma * lam) ** k * delta[i + k] for k in range(len(at) - i))
    advantage_BT, return_BT = gae(reward_BT, value_BT, mask_BT, gamma, lam)
    torch.testing.assert_close(advantage_BT, slow_BT, **CLOSE)
    torch.testing.assert_close(return_BT, torch.where(mask_BT, slow_BT + value_BT, 0), **CLOSE)


@given(batches, st.floats(0, 1))
def test_gae_with_lambda_1_is_return_less_value(batch, gamma):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    reward_BT, value_BT = numbers(seed + 1, 2, rows, places)
    advantage_BT, return_BT = gae(reward_BT, value_BT, mask_BT, gamma, 1)
    for b in range(rows):
        ahead = 0.0  # the discounted sum of the rewards that count, from here on: no value in it
        for t in reversed([t for t in range(places) if mask_BT[b, t]]):
            ahead = reward_BT[b, t].item() + gamma * ahead
            assert return_BT[b, t].item() == pytest.approx(ahead, abs=1e-10)
            assert advantage_BT[b, t].item() == pytest.approx(ahead - value_BT[b, t].item(), abs=1e-10)


@given(batches)
def test_gae_with_lambda_0_is_the_one_step_error(batch):
    rows, places, seed = batch
    mask_BT = torch.ones(rows, places, dtype=torch.bool)
    reward_BT, value_BT = numbers(seed, 2, rows, places)
    next_BT = torch.cat((value_BT[:, 1:], torch.zeros(rows, 1, dtype=torch.float64)), dim=1)
    advantage_BT, _ = gae(reward_BT, value_BT, mask_BT, 1, 0)
    torch.testing.assert_close(advantage_BT, reward_BT + next_BT - value_BT, **CLOSE)


@given(batches)
def test_gae_is_blind_to_what_is_hidden(batch):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    reward_BT, value_BT = numbers(seed + 1, 2, rows, places)
    plain = gae(reward_BT, value_BT, mask_BT, 0.9, 0.95)
    for junk in (math.nan, math.inf):
        for got, want in zip(
            gae(spoilt(reward_BT, mask_BT, junk), spoilt(value_BT, mask_BT, junk), mask_BT, 0.9, 0.95),
            plain,
            strict=True,
        ):
            assert got.equal(want)
            assert not got[~mask_BT].any()


def test_what_is_hidden_takes_no_part_in_the_gradient_of_an_advantage():
    for junk in (0.0, math.nan, math.inf):
        given = torch.tensor([[1.0, junk, 2.0]], requires_grad=True), torch.tensor([[4.0, junk, 8.0]])
        value_BT = given[1].requires_grad_()
        advantage_BT, return_BT = gae(given[0], value_BT, mask("x.x"), 0.5, 0.5)
        # Â₁ = r₁ + ½V₂ − V₁ + ¼(r₂ − V₂), Â₂ = r₂ − V₂; a return is that + V
        to_reward, to_value = torch.autograd.grad(advantage_BT.sum() + return_BT.sum(), (given[0], value_BT))
        assert to_reward.tolist() == [[2.0, 0.0, 2.5]]  # 2·1, 2·¼ + 2·1
        assert to_value.tolist() == [[-1.0, 0.0, -0.5]]  # −2 + 1, 2·½ − 2·¼ − 2 + 1


# the policy's loss


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.1, 2.0, -2.2),  # within the clip: −A ρ
        (1.5, 2.0, -2.4),  # better than it was, and enough: −A·1.2
        (0.5, 2.0, -1.0),  # worse than it was: max(−1, −1.6), unclipped, so that it can come back
        (1.5, -2.0, 3.0),  # a bad token made likelier: max(3, 2.4)
        (0.5, -2.0, 1.6),  # a bad token made rarer, enough: max(1, 1.6)
    ],
)
def test_policy_loss_by_hand(ratio, advantage, loss):
    one = torch.ones(1, 1, dtype=torch.float64)
    got = policy_loss(one * math.log(ratio), 0 * one, one * advantage, mask("x"), clip=0.2)
    assert got.item() == pytest.approx(loss, rel=1e-12)


@given(batches, st.floats(0.05, 0.5))
def test_policy_loss_by_its_slow_definition(batch, clip):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    logp_BT, old_logp_BT, advantage_BT = numbers(seed + 1, 3, rows, places)
    total = clipped = 0.0
    for b, t in mask_BT.nonzero().tolist():
        ratio, a = math.exp(logp_BT[b, t] - old_logp_BT[b, t]), advantage_BT[b, t].item()
        held = min(max(ratio, 1 - clip), 1 + clip)
        total += max(-a * ratio, -a * held)
        clipped += -a * held > -a * ratio
    n = mask_BT.sum().item()
    assert policy_loss(logp_BT, old_logp_BT, advantage_BT, mask_BT, clip).item() == pytest.approx(total / n, rel=1e-10)
    assert clip_fraction(logp_BT, old_logp_BT, advantage_BT, mask_BT, clip).item() == pytest.approx(clipped / n)


@given(batches)
def test_the_first_gradient_of_ppo_is_the_policy_gradient(batch):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    logp_BT, advantage_BT = numbers(seed + 1, 2, rows, places)
    logp_BT.requires_grad_()
    loss = policy_loss(logp_BT, logp_BT.detach(), advantage_BT, mask_BT, 0.2)
    want_BT = torch.where(mask_BT, -advantage_BT / mask_BT.sum(), 0)
    torch.testing.assert_close(torch.autograd.grad(loss, logp_BT)[0], want_BT, **CLOSE)
    assert clip_fraction(logp_BT, logp_BT.detach(), advantage_BT, mask_BT, 0.2).item() == 0


def test_beyond_the_clip_there_is_no_gradient():
    logp_BT = torch.tensor([[0.5, -0.5, 0.1]], requires_grad=True)
    loss = policy_loss(logp_BT, torch.zeros(1, 3), torch.tensor([[1.0, -1.0, 0.0]]), mask("xxx"), 0.2)
    assert torch.autograd.grad(loss, logp_BT)[0].tolist() == [[0.0, 0.0, 0.0]]


# the value's loss


@pytest.mark.parametrize(
    ("value", "return_", "loss"),
    [
        (1.1, 2.0, 0.405),  # within the clip around 1: ½·0.9²
        (1.5, 2.0, 0.32),  # moved far towards the return: ½·(1.2 − 2)², which no gradient can reach
        (0.5, 2.0, 1.125),  # moved far away: ½·1.5², not ½·(0.8 − 2)²
        (3.0, 2.0, 0.5),  # overshot: ½·max(1², 0.8²)
    ],
)
def test_value_loss_by_hand(value, return_, loss):
    one = torch.ones(1, 1, dtype=torch.float64)
    assert value_loss(one * value, one, one * return_, mask("x"), 0.2).item() == pytest.approx(loss, rel=1e-12)


@given(batches, st.floats(0.05, 0.5))
def test_value_loss_by_its_slow_definition(batch, clip):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    value_BT, old_value_BT, return_BT = numbers(seed + 1, 3, rows, places)
    total = 0.0
    for b, t in mask_BT.nonzero().tolist():
        v, old, r = (x[b, t].item() for x in (value_BT, old_value_BT, return_BT))
        held = min(max(v, old - clip), old + clip)
        total += 0.5 * max((v - r) ** 2, (held - r) ** 2)
    got = value_loss(value_BT, old_value_BT, return_BT, mask_BT, clip)
    assert got.item() == pytest.approx(total / mask_BT.sum().item(), rel=1e-10)


# laws that both share


@pytest.mark.parametrize("loss", [policy_loss, value_loss])
@given(batches)
def test_losses_are_blind_to_what_is_hidden(loss, batch):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    x_BT, old_BT, target_BT = numbers(seed + 1, 3, rows, places)
    x_BT.requires_grad_()
    plain = loss(x_BT, old_BT, target_BT, mask_BT, 0.2)
    plain_grad_BT = torch.autograd.grad(plain, x_BT)[0]
    for junk in (math.nan, math.inf, 1e300):  # e^1e300 is inf, and 0·inf is NaN: a product with the mask would show it
        junk_BT = spoilt(x_BT.detach(), mask_BT, junk).requires_grad_()
        got = loss(junk_BT, spoilt(old_BT, mask_BT, -junk), spoilt(target_BT, mask_BT, junk), mask_BT, 0.2)
        assert got.equal(plain)
        assert torch.autograd.grad(got, junk_BT)[0].equal(plain_grad_BT)
    assert not plain_grad_BT[~mask_BT].any()


@pytest.mark.parametrize("loss", [policy_loss, value_loss])
def test_gradients_of_losses(loss):
    x_BT, old_BT, target_BT = numbers(3, 3, 3, 4)
    mask_BT = holes(1, 3, 4)
    assert torch.autograd.gradcheck(lambda x: loss(x, old_BT, target_BT, mask_BT, 0.2), x_BT.clone().requires_grad_())


# what is only watched


def test_entropy_by_hand():
    # A coin: log 2. Odds of 3 to 1: −¾ log ¾ − ¼ log ¼ = 2 log 2 − ¾ log 3.
    coin, loaded = math.log(2), 2 * math.log(2) - 0.75 * math.log(3)
    logit_NV = torch.tensor([[5.0, 5.0], [math.log(3), 0.0]], dtype=torch.float64)
    assert math.isclose(entropy(logit_NV[:1]).item(), coin)
    assert math.isclose(entropy(logit_NV).item(), (coin + loaded) / 2)  # the mean over tokens
    assert entropy(torch.tensor([[100.0, 0.0]])).item() == pytest.approx(0, abs=1e-6)  # certainty, in float32


def test_explained_variance_by_hand():
    seen = mask("xx.", "x.x")
    return_BT = torch.tensor([[1.0, 2.0, 9.0], [3.0, 9.0, 4.0]])  # 1, 2, 3, 4: variance 5/4
    assert explained_variance(return_BT, return_BT, seen).item() == 1
    assert explained_variance(torch.full((2, 3), 7.0), return_BT, seen).item() == 0  # a constant explains nothing
    value_BT = torch.tensor([[1.0, 1.0, 0.0], [4.0, 0.0, 4.0]])  # R − V = 0, 1, −1, 0: variance 1/2
    assert explained_variance(value_BT, return_BT, seen).item() == pytest.approx(1 - 0.5 / 1.25)
    assert explained_variance(3 * return_BT, return_BT, seen).item() == pytest.approx(-3)  # 1 − 2²: worse than none
    alike_BT = torch.ones(2, 3)  # nothing to explain: no NaN
    assert explained_variance(alike_BT, alike_BT, seen).item() == 1
    one_BT = torch.ones(1, 2, dtype=torch.float64)  # R − V = ±1e-6: variance 1e-12, over the least there is
    near = explained_variance(one_BT + torch.tensor([[-1e-6, 1e-6]]), one_BT, mask("xx"))
    assert near.item() == pytest.approx(0, abs=1e-6)


@given(batches)
def test_explained_variance_is_blind_to_what_is_hidden(batch):
    rows, places, seed = batch
    mask_BT, (value_BT, return_BT) = holes(seed, rows, places), numbers(seed, 2, rows, places)
    plain = explained_variance(value_BT, return_BT, mask_BT)
    for junk in (1e30, math.inf, math.nan):
        assert torch.equal(
            plain, explained_variance(spoilt(value_BT, mask_BT, junk), spoilt(return_BT, mask_BT, junk), mask_BT)
        )


def test_gradients_of_rewards_and_advantages():
    mask_BT = holes(1, 3, 4)
    score_B, logp_BT, ref_logp_BT = numbers(1, 3), *numbers(2, 2, 3, 4)
    leaves = [x.clone().requires_grad_() for x in (score_B, logp_BT, ref_logp_BT)]
    assert torch.autograd.gradcheck(lambda s, p, q: token_rewards(s, p, q, mask_BT, 0.3), leaves)
    assert torch.autograd.gradcheck(lambda r, v: gae(r, v, mask_BT, 0.9, 0.8), leaves[1:])


def test_bfloat16_in_bfloat16_out():
    logp_BT, old_BT, target_BT = numbers(3, 3, 3, 4).bfloat16()
    mask_BT = holes(1, 3, 4)
    for loss in (policy_loss, value_loss):
        exact = loss(logp_BT.double(), old_BT.double(), target_BT.double(), mask_BT, 0.2)
        # 8 bits of mantissa and a handful of roundings on the way
        torch.testing.assert_close(loss(logp_BT, old_BT, target_BT, mask_BT, 0.2).double(), exact, rtol=0.03, atol=0.01)


def test_an_empty_mask_is_refused():
    x_BT, none_BT = torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    for call in (
        lambda: token_rewards(torch.ones(2), x_BT, x_BT, none_BT, 0.1),
        lambda: gae(x_BT, x_BT, none_BT, 1, 1),
        lambda: policy_loss(x_BT, x_BT, x_BT, none_BT, 0.2),
        lambda: value_loss(x_BT, x_BT, x_BT, none_BT, 0.2),
        lambda: clip_fraction(x_BT, x_BT, x_BT, none_BT, 0.2),
        lambda: explained_variance(x_BT, x_BT, none_BT),
    ):
        with pytest.raises(ValueError, match="the mask hides every"):
            call()


def test_shapes_that_would_broadcast_are_refused():
    x_BT, mask_BT = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)
    for call in (
        lambda: token_rewards(torch.ones(1), x_BT, x_BT, mask_BT, 0.1),
        lambda: gae(x_BT, torch.ones(2, 1), mask_BT, 1, 1),
        lambda: policy_loss(x_BT, x_BT, torch.ones(1, 3), mask_BT, 0.2),
        lambda: value_loss(x_BT, x_BT, x_BT, mask_BT.float(), 0.2),
        lambda: explained_variance(x_BT, torch.ones(2, 1), mask_BT),
    ):
        with pytest.raises((AssertionError, TypeError)):
            call()


def test_clip_fraction_by_hand():
    # ratios 1.5, 1.5, 0.5, 0.5, 1.1 of advantages 1, −1, 1, −1, 1: the first and the fourth are stopped
    ratio_BT, advantage_BT = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 9.0]]), torch.tensor([[1.0, -1, 1, -1, 1, 1]])
    stopped = clip_fraction(ratio_BT.log(), torch.zeros(1, 6), advantage_BT, mask("xxxxx."), 0.2)
    assert stopped.item() == pytest.approx(2 / 5)


@given(batches)
def test_clip_fraction_is_the_share_without_a_gradient_and_blind(batch):
    rows, places, seed = batch
    mask_BT = holes(seed, rows, places)
    logp_BT, old_BT, advantage_BT = numbers(seed + 1, 3, rows, places)
    plain = clip_fraction(logp_BT, old_BT, advantage_BT, mask_BT, 0.2)
    leaf_BT = logp_BT.clone().requires_grad_()
    gradient_BT = torch.autograd.grad(policy_loss(leaf_BT, old_BT, advantage_BT, mask_BT, 0.2), leaf_BT)[0]
    assert plain.item() == pytest.approx((gradient_BT[mask_BT] == 0).double().mean().item())
    for junk in (math.nan, math.inf, 1e300):
        junk_BT = (spoilt(x_BT, mask_BT, junk) for x_BT in (logp_BT, old_BT, advantage_BT))
        assert clip_fraction(*junk_BT, mask_BT, 0.2).equal(plain)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 999), st.floats(-50, 50))
def test_entropy_by_its_slow_definition_and_at_most_that_of_dice(rows, sides, seed, constant):
    logit_NV = 3 * numbers(seed, rows, sides)
    slow = 0.0
    for row in logit_NV.tolist():
        p = [math.exp(x) / sum(map(math.exp, row)) for x in row]
        slow -= sum(x * math.log(x) for x in p) / rows
    assert entropy(logit_NV).item() == pytest.approx(slow, abs=1e-12)
    assert entropy(logit_NV).item() <= math.log(sides) + 1e-12
    assert entropy(logit_NV + constant).item() == pytest.approx(slow, abs=1e-10)


@given(batches, st.floats(-9, 9), st.floats(0.1, 9))
def test_explained_variance_by_its_slow_definition_whatever_the_unit(batch, shift, scale):
    rows, places, seed = batch
    mask_BT, (value_BT, return_BT) = holes(seed, rows, places), numbers(seed, 2, rows, places)
    pairs = list(zip(value_BT[mask_BT].tolist(), return_BT[mask_BT].tolist(), strict=True))

    def var(x):
        return sum((one - sum(x) / len(x)) ** 2 for one in x) / len(x)

    slow = 1 - var([r - v for v, r in pairs]) / max(var([r for _, r in pairs]), 1e-12)
    assert explained_variance(value_BT, return_BT, mask_BT).item() == pytest.approx(slow, rel=1e-9, abs=1e-9)
    if len(pairs) > 1:  # of one token there is no variance, and the least one has a unit
        moved_BT = scale * value_BT + shift, scale * return_BT
        assert explained_variance(*moved_BT, mask_BT).item() == pytest.approx(slow, rel=1e-6, abs=1e-6)

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.dpo import dpo_loss, kto_loss, kto_reference, orpo_loss, simpo_loss

KINDS = ["sigmoid", "ipo", "hinge", "kto"]
four = st.lists(st.tuples(*[st.floats(-20, 0)] * 4), min_size=1, max_size=6)
lengths = st.lists(
    st.tuples(st.floats(-20, -0.1), st.floats(-20, -0.1), st.integers(1, 9), st.integers(1, 9)), min_size=1
)


def columns(rows):
    return torch.tensor(rows, dtype=torch.float64).T


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def slow_dpo(rows, beta, kind):
    total = 0.0
    z_win = max(0.0, sum(a - c for a, _, c, _ in rows) / len(rows))
    z_lose = max(0.0, sum(b - d for _, b, _, d in rows) / len(rows))
    for chosen, rejected, ref_chosen, ref_rejected in rows:
        r_win, r_lose = chosen - ref_chosen, rejected - ref_rejected
        h = r_win - r_lose
        if kind == "sigmoid":
            total += -math.log(sigmoid(beta * h))
        elif kind == "ipo":
            total += (h - 1 / (2 * beta)) ** 2
        elif kind == "hinge":
            total += max(0, 1 - beta * h)
        else:
            total += ((1 - sigmoid(beta * (r_win - z_lose))) + (1 - sigmoid(beta * (z_win - r_lose)))) / 2
    return total / len(rows)


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("sigmoid", 0.3132617),  # r_w = 2, r_l = −2, h = 4, β h = 1: −log σ(1)
        ("ipo", 4.0),  # (4 − 1/(2·¼))² = (4 − 2)²
        ("hinge", 0.0),  # 1 − 1
        ("kto", 0.3232410),  # z_l = 0, z_w = 2: ½[1 − σ(½)] + ½[1 − σ(¼·(2 + 2))] = ½(0.3775407 + 0.2689414)
    ],
)
def test_by_hand(kind, loss):
    pair = torch.tensor([-3.0]), torch.tensor([-7.0]), torch.tensor([-5.0]), torch.tensor([-5.0])
    assert dpo_loss(*pair, beta=0.25, kind=kind).item() == pytest.approx(loss, abs=1e-6)


def test_hinge_below_its_margin_by_hand():
    pair = torch.tensor([-3.0]), torch.tensor([-4.0]), torch.tensor([-5.0]), torch.tensor([-5.0])
    assert dpo_loss(*pair, beta=0.25, kind="hinge").item() == 0.75  # h = 1: 1 − ¼


@pytest.mark.parametrize("kind", KINDS)
@given(four, st.floats(0.05, 2), st.floats(0, 0.49))
def test_by_its_slow_definition(kind, rows, beta, noise):
    swapped = [(b, a, d, c) for a, b, c, d in rows]
    slow = (1 - noise) * slow_dpo(rows, beta, kind) + noise * slow_dpo(swapped, beta, kind)
    assert dpo_loss(*columns(rows), beta, kind, noise).item() == pytest.approx(slow, rel=1e-9, abs=1e-9)
    assert dpo_loss(*columns(rows), beta, kind).item() == pytest.approx(slow_dpo(rows, beta, kind), rel=1e-9, abs=1e-9)


def test_label_smoothing_by_hand():
    # β h = 1, ε = 0.1: 0.9·0.3132617 + 0.1·1.3132617
    pair = torch.tensor([-3.0]), torch.tensor([-7.0]), torch.tensor([-5.0]), torch.tensor([-5.0])
    assert dpo_loss(*pair, beta=0.25, label_smoothing=0.1).item() == pytest.approx(0.4132617, abs=1e-6)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
@given(four, st.floats(-5, 5))
def test_what_both_answers_of_a_pair_gain_changes_nothing(kind, rows, gain):
    chosen, rejected, ref_chosen, ref_rejected = columns(rows)
    plain = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, 0.1, kind)
    for moved in (
        (chosen + gain, rejected + gain, ref_chosen, ref_rejected),
        (chosen, rejected, ref_chosen + gain, ref_rejected + gain),
    ):
        torch.testing.assert_close(dpo_loss(*moved, 0.1, kind), plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "loss"), [("sigmoid", math.log(2)), ("ipo", 25.0), ("hinge", 1.0), ("kto", 0.5)])
def test_where_the_policy_is_the_reference(kind, loss):
    logp = torch.tensor([-3.0, -8.0], dtype=torch.float64, requires_grad=True)
    start = dpo_loss(logp, logp.flip(0), logp.detach(), logp.detach().flip(0), 0.1, kind)
    assert start.item() == pytest.approx(loss)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_lifts_the_chosen_and_sinks_the_rejected(kind):
    chosen, rejected = torch.tensor([-9.0, -8.0], requires_grad=True), torch.tensor([-7.0, -8.0], requires_grad=True)
    loss = dpo_loss(chosen, rejected, torch.tensor([-8.0, -8.0]), torch.tensor([-8.0, -8.0]), 0.1, kind)
    up, down = torch.autograd.grad(loss, (chosen, rejected))
    assert (up < 0).all()
    assert (down > 0).all()


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_gradients(kind):
    values = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaves = [x.clone().requires_grad_() for x in values]
    assert torch.autograd.gradcheck(lambda *pair: dpo_loss(*pair, beta=0.3, kind=kind, label_smoothing=0.1), leaves)


def test_no_gradient_goes_through_the_reference_point_of_kto():
    """r_w = 1, r_l = 1, so z = 1 on both sides and σ' = ¼: each side's own gradient is ½·β·¼ and no more."""
    chosen, rejected = torch.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    loss = dpo_loss(chosen, rejected, torch.zeros(1), torch.zeros(1), beta=0.8, kind="kto")
    up, down = torch.autograd.grad(loss, (chosen, rejected))
    assert (up.item(), down.item()) == pytest.approx((-0.1, 0.1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pairs_far_apart_stay_numbers(dtype):
    far, zero = torch.tensor([-1024.0], dtype=dtype, requires_grad=True), torch.zeros(1, dtype=dtype)
    wrong = dpo_loss(far, zero, zero, zero, beta=1)
    assert wrong.item() == 1024
    assert torch.autograd.grad(wrong, far)[0].item() == -1
    assert dpo_loss(zero, far, zero, zero, beta=1).item() == 0
    for kind in KINDS:
        assert dpo_loss(far, zero, zero, zero, 0.1, kind, 0.1).isfinite()


def test_kto_by_hand():
    # β = ½, z₀ = 1. Desirable with r = 3: 1 − σ(½·(3 − 1)) = 0.2689414; undesirable with r = −1: twice
    # 1 − σ(½·(1 + 1)) = 0.2689414. The mean of one and two of them is 1.5.
    logp, ref = torch.tensor([-2.0, -6.0]), torch.tensor([-5.0, -5.0])
    good = torch.tensor([True, False])
    loss = kto_loss(logp, ref, good, torch.tensor(1.0), 0.5, undesirable_weight=2)
    assert loss.item() == pytest.approx(1.5 * 0.2689414, abs=1e-6)
    assert kto_reference(logp, ref).item() == 1  # (3 − 1)/2
    assert kto_reference(ref, logp).item() == 0  # −1, and a KL is not below 0


answers = st.lists(st.tuples(st.floats(-20, 0), st.floats(-20, 0), st.booleans()), min_size=1, max_size=6)


@given(answers, four, st.floats(0.05, 2), st.floats(0.1, 3), st.floats(0.1, 3))
def test_kto_by_its_slow_definition(rows, strays, beta, good_weight, bad_weight):
    logp, ref = columns([row[:2] for row in rows])
    kl = max(0.0, sum(a - b for a, b, *_ in strays) / len(strays))
    total = 0.0
    for a, b, good in rows:
        value = sigmoid(beta * (a - b - kl)) if good else sigmoid(beta * (kl - (a - b)))
        weight = good_weight if good else bad_weight
        total += weight - weight * value  # λ_y − v(x, y)
    found = kto_reference(*columns(strays)[:2])
    loss = kto_loss(logp, ref, torch.tensor([row[2] for row in rows]), found, beta, good_weight, bad_weight)
    assert loss.item() == pytest.approx(total / len(rows), rel=1e-9, abs=1e-12)


@given(answers, st.floats(0.05, 2), st.floats(0, 5))
def test_kto_of_the_opposite_labels_is_what_is_left(rows, beta, kl):
    """σ(a) + σ(−a) = 1: each answer costs, under the one label and the other, one together."""
    logp, ref = columns([row[:2] for row in rows])
    good = torch.tensor([row[2] for row in rows])
    point = torch.tensor(kl, dtype=torch.float64)
    both = kto_loss(logp, ref, good, point, beta) + kto_loss(logp, ref, ~good, point, beta)
    assert both.item() == pytest.approx(1, abs=1e-12)


def test_kto_lifts_the_desirable_sinks_the_undesirable_and_leaves_its_reference_point_alone():
    """Where r = z₀, σ' = ¼: the gradient of a mean over two is ½·β·¼ = 0.1 up and down, and none goes to z₀."""
    logp = torch.tensor([1.0, 1.0], requires_grad=True)
    stray = torch.tensor([1.0], requires_grad=True)
    kl = kto_reference(stray, torch.zeros(1))
    assert not kl.requires_grad
    loss = kto_loss(logp, torch.zeros(2), torch.tensor([True, False]), stray.mean(), beta=0.8)
    up_down, through = torch.autograd.grad(loss, (logp, stray), allow_unused=True)
    assert up_down.tolist() == pytest.approx([-0.1, 0.1])
    assert through is None


def test_kto_far_from_its_reference_point_stays_a_number():
    far = torch.tensor([-1024.0, 1024.0], requires_grad=True)
    for good in ([True, False], [False, True]):
        loss = kto_loss(far, torch.zeros(2), torch.tensor(good), torch.tensor(0.0), 1.0)
        assert loss.item() == float(good[0])
        assert torch.autograd.grad(loss, far)[0].isfinite().all()


LOSSES = {
    "sigmoid": lambda a, b, c, d, which: dpo_loss(a, b, c, d, 0.3, "sigmoid", 0.1, which),
    "ipo": lambda a, b, c, d, which: dpo_loss(a, b, c, d, 0.3, "ipo", ranking=which),
    "hinge": lambda a, b, c, d, which: dpo_loss(a, b, c, d, 0.3, "hinge", ranking=which),
    "simpo": lambda a, b, c, d, which: simpo_loss(a, b, c.long(), d.long(), 2, 0.5, which),
    "orpo": lambda a, b, c, d, which: orpo_loss(a, b, c.long(), d.long(), which),
}


@pytest.mark.parametrize("name", LOSSES)
def test_rankings_weigh_the_same_however_many_pairs_they_have(name):
    """Of six pairs the first three are one ranking, the next two another, the last a third."""
    pair = (
        *(-torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.1),
        *torch.arange(1.0, 13.0, dtype=torch.float64).view(2, 6),
    )
    which = torch.tensor([4, 4, 4, 0, 0, 9])  # a name each, in no order
    alone = [LOSSES[name](*(x[part] for x in pair), None).item() for part in (slice(0, 3), slice(3, 5), slice(5, 6))]
    assert LOSSES[name](*pair, which).item() == pytest.approx(sum(alone) / 3, rel=1e-12)
    each = torch.arange(6)
    assert LOSSES[name](*pair, each).item() == pytest.approx(LOSSES[name](*pair, None).item(), rel=1e-12)


def test_simpo_by_hand():
    # means −1 and −2, β = 2, γ = 1: −log σ(2·1 − 1)
    loss = simpo_loss(torch.tensor([-4.0]), torch.tensor([-4.0]), torch.tensor([4]), torch.tensor([2]), beta=2, gamma=1)
    assert loss.item() == pytest.approx(0.3132617, abs=1e-6)


def test_orpo_by_hand():
    # mean log-probabilities log ¾ and log ½ have odds 3 and 1: −log σ(log 3) = log 4/3
    chosen, rejected = torch.tensor([4 * math.log(0.75)]), torch.tensor([2 * math.log(0.5)])
    loss = orpo_loss(chosen, rejected, torch.tensor([4]), torch.tensor([2]))
    assert loss.item() == pytest.approx(math.log(4 / 3), rel=1e-6)


@given(lengths, st.floats(0.1, 5), st.floats(0, 2))
def test_reference_free_losses_by_their_slow_definitions(rows, beta, gamma):
    chosen, rejected = columns([row[:2] for row in rows])
    sizes = torch.tensor([row[2:] for row in rows]).T
    simpo = orpo = 0.0
    for win, lose, n, m in rows:
        simpo += -math.log(sigmoid(beta * (win / n - lose / m) - gamma))
        p, q = math.exp(win / n), math.exp(lose / m)
        orpo += -math.log(sigmoid(math.log(p / (1 - p)) - math.log(q / (1 - q))))
    assert simpo_loss(chosen, rejected, *sizes, beta, gamma).item() == pytest.approx(simpo / len(rows), rel=1e-9)
    assert orpo_loss(chosen, rejected, *sizes).item() == pytest.approx(orpo / len(rows), rel=1e-9)


def test_gradients_of_reference_free_losses():
    values = -torch.rand(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.1
    leaves = [x.clone().requires_grad_() for x in values]
    one, two = torch.tensor([1, 2, 3, 4, 5]), torch.tensor([5, 4, 3, 2, 1])
    assert torch.autograd.gradcheck(lambda win, lose: simpo_loss(win, lose, one, two, 2, 0.5), leaves)
    assert torch.autograd.gradcheck(lambda win, lose: orpo_loss(win, lose, one, two), leaves)


def test_orpo_of_certain_and_of_impossible_answers_stays_a_number():
    for dtype in (torch.float32, torch.float64):
        sure, never = torch.tensor([0.0], dtype=dtype, requires_grad=True), torch.tensor([-1e4], dtype=dtype)
        one = torch.tensor([1])
        for pair in ((sure, never), (never, sure), (sure, sure)):
            loss = orpo_loss(*pair, one, one)
            assert loss.isfinite()
            assert torch.autograd.grad(loss, sure)[0].isfinite()


def test_what_makes_no_sense_is_refused():
    one, none = torch.zeros(1), torch.zeros(0)
    with pytest.raises(ValueError, match="no kind 'slic'; there are sigmoid, ipo, hinge, kto"):
        dpo_loss(one, one, one, one, 0.1, "slic")
    for beta in (0, -0.1, math.nan):
        with pytest.raises(ValueError, match="beta is"):
            dpo_loss(one, one, one, one, beta)
    for noise in (-0.1, 0.5, math.nan):
        with pytest.raises(ValueError, match="label_smoothing is"):
            dpo_loss(one, one, one, one, 0.1, label_smoothing=noise)
    with pytest.raises(ValueError, match="no answers"):
        kto_loss(none, none, none.bool(), torch.tensor(0.0), 0.1)
    with pytest.raises(ValueError, match="beta is"):
        kto_loss(one, one, one.bool(), torch.tensor(0.0), 0)
    with pytest.raises((AssertionError, TypeError)):
        kto_loss(one, torch.zeros(2), one.bool(), torch.tensor(0.0), 0.1)
    with pytest.raises(ValueError, match="no pairs"):
        dpo_loss(none, none, none, none, 0.1)
    with pytest.raises((AssertionError, TypeError)):
        dpo_loss(torch.zeros(2), one, one, one, 0.1)
    with pytest.raises((AssertionError, TypeError)):
        dpo_loss(*[torch.zeros(2, 2)] * 4, 0.1)


@given(lengths, st.floats(0.1, 5), st.floats(0, 2))
def test_reference_free_losses_of_the_swapped_pair(rows, beta, gamma):
    """σ(x) + σ(−x) = 1, for ORPO and, without a margin, for SimPO; a margin costs at most itself."""
    for win, lose, n, m in rows:
        pair = torch.tensor([[win], [lose]], dtype=torch.float64), torch.tensor([[n], [m]])
        (chosen, rejected), (one, two) = pair
        for loss in (
            lambda a, b, n, m: simpo_loss(a, b, n, m, beta, 0),
            orpo_loss,
        ):
            said, swapped = loss(chosen, rejected, one, two).item(), loss(rejected, chosen, two, one).item()
            assert math.exp(-said) + math.exp(-swapped) == pytest.approx(1, abs=1e-9)
        plain = simpo_loss(chosen, rejected, one, two, beta, 0).item()
        assert -1e-12 <= simpo_loss(chosen, rejected, one, two, beta, gamma).item() - plain <= gamma + 1e-12


@given(lengths, st.integers(2, 9))
def test_reference_free_losses_know_answers_by_their_mean(rows, times):
    """An answer said several times over has the mean that it had."""
    chosen, rejected = columns([row[:2] for row in rows])
    one, two = torch.tensor([row[2:] for row in rows]).T
    longer = times * chosen, rejected, times * one, two
    for loss in (lambda *pair: simpo_loss(*pair, 2, 0.5), orpo_loss):
        assert loss(*longer).item() == pytest.approx(loss(chosen, rejected, one, two).item(), rel=1e-9)

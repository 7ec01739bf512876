import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biddable.losses.kl import AdaptiveKL, k1, k2, k3

logits = st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=2, max_size=8)


def test_estimators_by_hand():
    logp, ref_logp = torch.tensor([-1.0]), torch.tensor([-3.0])  # log r = −2
    assert k1(logp, ref_logp).item() == 2.0
    assert k2(logp, ref_logp).item() == 2.0  # ½·2²
    assert k3(logp, ref_logp).item() == pytest.approx(1.1353353)  # e⁻² − 1 + 2


@given(logits)
def test_k1_and_k3_are_unbiased_and_k3_never_negative(pairs):
    """Over a whole distribution the mean under π can be summed, not sampled: it must be the KL itself."""
    p_V, q_V = torch.tensor(pairs, dtype=torch.float64).log_softmax(dim=0).T
    kl = sum(math.exp(p) * (p - q) for p, q in zip(p_V.tolist(), q_V.tolist(), strict=True))
    assert (p_V.exp() * k1(p_V, q_V)).sum().item() == pytest.approx(kl, abs=1e-12)
    assert (p_V.exp() * k3(p_V, q_V)).sum().item() == pytest.approx(kl, abs=1e-12)
    assert (k3(p_V, q_V) >= 0).all()
    assert (k2(p_V, q_V) >= 0).all()


@given(st.floats(-20, 0), st.floats(-20, 0))
def test_estimators_by_their_slow_definition(p, q):
    log_r = q - p
    one = [torch.tensor([[x]], dtype=torch.float64) for x in (p, q)]
    assert k1(*one).item() == pytest.approx(-log_r)
    assert k2(*one).item() == pytest.approx(0.5 * log_r * log_r)
    assert k3(*one).item() == pytest.approx(math.exp(log_r) - 1 - log_r, abs=1e-12)


def test_k3_keeps_its_digits_where_the_policies_nearly_agree():
    # log r = −1/1024, of which float32 (exp(x) − 1) − x keeps no digit at all: it is ½x² − x³/6… = 4.7668e-7
    near = k3(torch.tensor([1 / 1024]), torch.tensor([0.0]))
    assert near.item() == pytest.approx(4.76682e-7, rel=1e-3)


def test_gradients():
    logp, ref_logp = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for estimator in (k1, k2, k3):
        assert torch.autograd.gradcheck(estimator, (logp.clone().requires_grad_(), ref_logp.clone().requires_grad_()))


@pytest.mark.parametrize(
    ("kl", "beta"),
    [
        (6.0, 0.1),  # on target
        (6.6, 0.100512),  # e = 0.1: 0.1·(1 + 0.1·512/10000)
        (5.4, 0.099488),
        (60.0, 0.101024),  # e is cut at 0.2
        (0.0, 0.098976),  # and at −0.2
        (-1.0, 0.098976),
    ],
)
def test_controller_by_hand(kl, beta):
    controller = AdaptiveKL(beta=0.1, target=6, horizon=10_000)
    assert controller.update(kl, episodes=512) == pytest.approx(beta, rel=1e-12)
    assert controller.beta == pytest.approx(beta, rel=1e-12)


def test_controller_settles_where_kl_is_on_target():
    controller = AdaptiveKL(beta=1.0, target=6, horizon=1000)
    for _ in range(2000):
        controller.update(3 / controller.beta, episodes=100)  # a policy whose KL is 3/β: on target at β = ½
    assert controller.beta == pytest.approx(0.5, rel=1e-6)


def test_controller_goes_through_a_checkpoint():
    there, here = AdaptiveKL(0.15, 6, 10_000), AdaptiveKL(1, 1, 1)
    there.update(9.0, 512)
    here.load_state_dict(json.loads(json.dumps(there.state_dict())))
    assert here.state_dict() == there.state_dict()
    assert [here.update(kl, 512) for kl in (1.0, 7.0)] == [there.update(kl, 512) for kl in (1.0, 7.0)]


@pytest.mark.parametrize("name", ["beta", "target", "horizon"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_controller_refuses_settings_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=name):
        AdaptiveKL(**{"beta": 0.1, "target": 6, "horizon": 100} | {name: value})


def test_controller_refuses_what_would_end_it():
    controller = AdaptiveKL(0.1, 6, horizon=100)
    for kl in (math.nan, math.inf):
        with pytest.raises(ValueError, match="never be a number again"):
            controller.update(kl, 10)
    for episodes in (0, -1, 500):  # 1 − 0.2·500/100 = 0
        with pytest.raises(ValueError, match="horizon of 100"):
            controller.update(1.0, episodes)
    assert controller.beta == 0.1
    assert controller.update(0.0, 499) > 0
    assert AdaptiveKL(0.1, 6, horizon=100).update(0.0, 1) == pytest.approx(0.0998)  # one at a time is well


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(1, 499)), max_size=9))
def test_controller_by_its_slow_definition_and_never_below_0(steps):
    controller, slow = AdaptiveKL(beta=0.1, target=6, horizon=100), 0.1
    for kl, episodes in steps:
        error = kl / 6 - 1
        slow *= 1 + (0.2 if error > 0.2 else -0.2 if error < -0.2 else error) * episodes / 100
        assert controller.update(kl, episodes) == pytest.approx(slow, rel=1e-12)
        assert controller.beta > 0

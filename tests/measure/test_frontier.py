import pytest

from biddable.measure.frontier import Curve, curve, peak, smooth


def rows(gold):
    return [{"step": i, "score": float(i), "kl": i / 2, "gold": g} for i, g in enumerate(gold)]


def test_gold_that_falls_while_the_proxy_rises_is_overoptimised():
    found = peak(curve(rows([0.0, 1.0, 2.0, 1.0, 0.0]), "ppo", "run"), window=1)
    assert found is not None
    assert (found.step, found.kl, found.gold) == (2, 1.0, 2.0)
    assert (found.gold_change, found.proxy_change) == (-2.0, 2.0)
    assert found.overoptimised


def test_gold_that_rises_to_the_end_is_not():
    found = peak(curve(rows([0.0, 1.0, 2.0]), "ppo", "run"), window=1)
    assert found is not None
    assert not found.overoptimised


def test_without_gold_nothing_is_claimed():
    made = curve([{"step": 1, "score": 0.1, "kl": 0.0}, {"step": 1, "loss": 3.0}], "ppo", "run")
    assert len(made.step) == 1
    assert peak(made) is None


def test_gold_may_be_measured_now_and_then():
    seen = rows([0.0, 3.0, 1.0])
    del seen[1]["gold"]
    found = peak(curve(seen, "ppo", "run"), window=1)
    assert found is not None
    assert found.step == 2


def test_smooth_by_hand():
    assert smooth([0, 3, 6, 0], 3) == [1.5, 3, 3, 3]


def test_lengths_must_match():
    with pytest.raises(ValueError, match="kl has 1 values for 2 steps"):
        Curve(model="ppo", run="r", step=(1, 2), proxy=(0.0, 0.0), kl=(0.0,))
    with pytest.raises(ValueError, match="without steps"):
        Curve(model="ppo", run="r", step=(), proxy=(), kl=())

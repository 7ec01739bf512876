import pytest

from biddable.measure.curves import Curve, curve, smooth


def test_rows_without_a_score_are_passed_over():
    made = curve([{"step": 1, "score": 0.1, "kl": 0.0}, {"step": 1, "loss": 3.0}], "ppo", "run")
    assert (made.step, made.proxy, made.kl) == ((1,), (0.1,), (0.0,))


def test_smooth_by_hand():
    assert smooth([0, 3, 6, 0], 3) == [1.5, 3, 3, 3]


def test_lengths_must_match():
    with pytest.raises(ValueError, match="kl has 1 values for 2 steps"):
        Curve(model="ppo", run="r", step=(1, 2), proxy=(0.0, 0.0), kl=(0.0,))
    with pytest.raises(ValueError, match="without steps"):
        Curve(model="ppo", run="r", step=(), proxy=(), kl=())

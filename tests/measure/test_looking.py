"""The interval that may be looked at as often as one likes: by hand, by its slow definition, in simulated worlds."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preference_worlds import peeking
from scipy.integrate import quad

from biddable.measure.looks import boundary, by_prompt, log_mixture, looks, sequence, tuned
from biddable.records import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("s", "v", "rho"), [(3.0, 10.0, 25.0), (20.0, 50.0, 2.7), (-4.0, 6.0, 2.7), (0.0, 0.0, 1.5)])
def test_the_mixture_is_its_integral(s, v, rho):
    """Howard et al. 2021: the mean of exp(λs − ψ_E(λ)v) over λ = 1 − y, y weighed by y^{ρ−1} e^{−ρy}."""

    def weight(y):
        return y ** (rho - 1) * math.exp(-rho * y)

    def slow(y):
        return math.exp((1 - y) * s + (math.log(y) + 1 - y) * v) * weight(y)

    assert log_mixture(s, v, rho) == pytest.approx(math.log(quad(slow, 0, 1)[0] / quad(weight, 0, 1)[0]), abs=1e-6)


def test_at_the_boundary_the_mixture_is_one_in_alpha():
    for v in (0.0, 1.0, 30.0, 4000.0):
        assert log_mixture(boundary(v, 0.025), v, tuned(0.025)) == pytest.approx(math.log(40), abs=1e-6)


def test_the_ends_by_hand():
    # 1, 0: guesses ½ and (½ + 1)/2 = ¾, so V = ¼, ¼ + 9/16; means 1 and ½
    low, high = sequence([1.0, 0.0])
    assert high[0] == 1
    assert low[0] == max(0, 1 - boundary(0.25, 0.025))
    assert high[1] == min(1, 0.5 + boundary(0.25 + 9 / 16, 0.025) / 2)


def test_each_side_has_half_of_the_error():
    values = [0.0, 1.0] * 20
    guess = [(0.5 + sum(values[:n])) / (n + 1) for n in range(40)]
    spent = sum((x - g) ** 2 for x, g in zip(values, guess, strict=True))
    low, high = sequence(values)
    assert (low[-1], high[-1]) == pytest.approx((0.5 - boundary(spent, 0.025) / 40, 0.5 + boundary(spent, 0.025) / 40))
    assert low[-1] > 0


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40))
def test_laws(values):
    """The other side of the question has the other interval; what comes later changes nothing before."""
    low, high = sequence(values)
    assert np.all((low >= 0) & (high <= 1) & (low <= high))
    other_low, other_high = sequence([1 - v for v in values])
    np.testing.assert_allclose(other_low, 1 - high, atol=1e-9)
    np.testing.assert_allclose(other_high, 1 - low, atol=1e-9)
    np.testing.assert_array_equal(sequence(values[: len(values) // 2 + 1])[0], low[: len(values) // 2 + 1])


def test_it_narrows_to_nothing():
    low, high = sequence(np.tile([0.0, 1.0], 5000))
    assert high[-1] - low[-1] < 0.05
    assert (low[-1] + high[-1]) / 2 == pytest.approx(0.5, abs=1e-4)


def test_values_beyond_the_scale_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        sequence([0.5, 1.2])


def said(p: int, who: str, better: str, hour: int, **fields) -> Verdict:
    return Verdict(
        prompt_id=f"p{p}", a=f"x{p}", b=f"y{p}", better=better, judge="person", labeler=who,
        at=NOW + timedelta(hours=hour), **fields,
    )  # fmt: skip


def test_a_prompt_counts_when_it_is_complete():
    models = {f"{m}{p}": m for m in "xy" for p in range(4)}
    verdicts = [
        said(0, "ann", "a", 0), said(1, "ann", "b", 1), said(1, "eve", "tie", 2), said(0, "eve", "a", 5),
        said(2, "ann", "a", 3), said(0, "joe", "b", 9), said(3, "ann", "b", 0),
        said(3, "joe", "b", 0, extra=True),
    ]  # fmt: skip
    # of two: p1 is complete at 2 (0 and ½), p0 at 5 (1 and 1; joe is the third); p2 waits, p3's second was asked for
    assert by_prompt(verdicts, models, "x", "y", 2) == [0.25, 1.0]
    assert by_prompt(verdicts, models, "y", "x", 2) == [0.75, 0.0]
    assert by_prompt(verdicts, models, "x", "y", 1) == [1.0, 0.0, 0.0, 1.0]  # p0 and p3 at 0, p1 at 1, p2 at 3
    assert looks(verdicts, models, "x", "y", 3).now.n == 1
    assert looks(verdicts, models, "x", "y", 4) is None


def test_it_says_when_it_was_decided():
    models = {f"{m}{p}": m for m in "xy" for p in range(60)}
    found = looks([said(p, "ann", "a", p) for p in range(60)], models, "x", "y")
    low, _ = sequence([1.0] * 60)
    assert low[found.decided_at - 1] > 0.5 >= low[found.decided_at - 2]
    even = looks([said(p, "ann", "ab"[p % 2], p) for p in range(60)], models, "x", "y")
    assert even.decided_at is None


def test_prompts_of_unequal_chance_have_no_sequence():
    models = {f"{m}{p}": m for m in "xy" for p in range(4)}
    some = [said(0, "ann", "a", 0, propensity=0.1), said(1, "ann", "a", 0, propensity=0.9)]
    assert looks(some, models, "x", "y") is None


def test_a_look_after_every_verdict_errs_one_time_in_twenty_at_most_and_the_plain_interval_far_oftener():
    """The whole: `python tests/measure/preference_worlds.py`."""
    found = peeking(worlds=60, prompts=400, each=2, seed=11)
    assert found.ours <= 0.10  # 60 worlds: 5 % would be 3, and 6 are two standard errors above
    assert found.plain >= 0.20

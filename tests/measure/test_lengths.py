"""Length and preference: by hand, by statsmodels, by laws, and with a planted leaning."""

import numpy as np
import pytest
import statsmodels.api as sm

from biddable.measure.interval import Bootstrap
from biddable.measure.lengths import controlled, longer_preferred
from biddable.records import Verdict

FAST = Bootstrap(draws=200)


def world(rng, n: int, theta: float, phi: float, ahead: float = 0.0):
    """x against y; x's answers are `ahead` characters longer on average, and preferred by θ + φ tanh(Δ/s)."""
    gap = np.round(rng.normal(ahead, 100, n)).astype(int)
    up = theta + phi * np.tanh(gap / np.sqrt(np.mean(gap.astype(float) ** 2)))
    won = rng.random(n) < 1 / (1 + np.exp(-up))
    length = {f"x{i}": 1000 + int(g) for i, g in enumerate(gap)} | {f"y{i}": 1000 for i in range(n)}
    models = {c: c[0] for c in length}
    made = [
        Verdict(prompt_id=f"p{i}", a=f"x{i}", b=f"y{i}", better="a" if w else "b", judge="gold")
        for i, w in enumerate(won)
    ]
    return made, models, length, gap, won


def test_it_is_statsmodels_with_a_tie_as_half_a_win():
    verdicts, models, length, gap, won = world(np.random.default_rng(1), 300, 0.4, 1.2)
    verdicts = [v.model_copy(update={"better": "tie"}) if i % 7 == 0 else v for i, v in enumerate(verdicts)]
    value = np.where(np.arange(300) % 7 == 0, 0.5, won)
    column = np.tanh(gap / np.sqrt(np.mean(gap.astype(float) ** 2)))
    theirs = sm.GLM(value, sm.add_constant(column), family=sm.families.Binomial()).fit(tol=1e-12)
    found = controlled(verdicts, models, "x", "y", length, FAST)
    assert found.slope == pytest.approx(theirs.params[1], abs=1e-6)
    assert found.equal.value == pytest.approx(1 / (1 + np.exp(-theirs.params[0])), abs=1e-6)


def test_a_longer_model_that_is_no_better_is_no_better_at_equal_length():
    verdicts, models, length, *_ = world(np.random.default_rng(2), 2000, 0.0, 1.5, ahead=80)
    found = controlled(verdicts, models, "x", "y", length, FAST)
    raw = np.mean([v.better == "a" for v in verdicts])
    assert raw > 0.6
    assert found.equal.low < 0.5 < found.equal.high
    assert found.equal.high - found.equal.low < 0.1
    assert found.longer.low > 0.6
    assert found.ratio == pytest.approx(1.08, abs=0.02)


def test_the_interval_holds_the_planted_rate_at_equal_length():
    rng, held = np.random.default_rng(3), []
    for _ in range(100):
        verdicts, models, length, *_ = world(rng, 200, 0.5, 1.0, ahead=50)
        found = controlled(verdicts, models, "x", "y", length, FAST)
        held.append(found.equal.low <= 1 / (1 + np.exp(-0.5)) <= found.equal.high)
    assert np.mean(held) >= 0.88  # 95 % less three standard errors of 2.2 points


def test_laws_the_other_side_is_one_less_and_equal_lengths_say_nothing():
    verdicts, models, length, *_ = world(np.random.default_rng(4), 200, 0.3, 0.8)
    one, other = (controlled(verdicts, models, *pair, length, FAST) for pair in (("x", "y"), ("y", "x")))
    assert one.equal.value + other.equal.value == pytest.approx(1)
    assert one.slope == pytest.approx(other.slope)
    flat = dict.fromkeys(length, 7)
    same = controlled(verdicts, models, "x", "y", flat, FAST)
    assert (same.equal, same.longer, same.ratio) == (None, None, 1)


def test_where_length_alone_tells_there_is_no_slope():
    verdicts, models, length, *_ = world(np.random.default_rng(5), 100, 0, 0)
    decided = [v.model_copy(update={"better": "a" if length[v.a] > length[v.b] else "b"}) for v in verdicts]
    found = controlled(decided, models, "x", "y", length, FAST)
    assert found.equal is None
    assert found.longer.value == 1


def test_longer_by_hand():
    def said(n, better, one, other):
        return Verdict(prompt_id=f"p{n}", a=f"{one}-{n}a", b=f"{other}-{n}b", better=better, judge="gold")

    verdicts = [said(0, "a", 9, 5), said(1, "b", 9, 5), said(2, "b", 4, 5), said(3, "tie", 9, 5), said(4, "a", 5, 5)]
    length = {c: int(c.split("-")[0]) for v in verdicts for c in (v.a, v.b)}
    found = longer_preferred(verdicts, length, FAST)
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert longer_preferred(verdicts[3:], length, FAST) is None

"""Over-optimisation: best of n from N answers, the ways, the fits, the peak and the fall."""

import itertools
import math

import followed_worlds
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biddable.measure.interval import Bootstrap
from biddable.measure.overoptimised import (
    Way,
    best_by_some,
    best_of,
    best_of_kl,
    changes,
    curve,
    fit,
    least_squares,
    over_seeds,
    overoptimised,
    peak_of,
    rows,
    turn,
    way_of_best,
    way_of_policies,
)
from biddable.records import Completion

FAST = Bootstrap(draws=200)
D_K = np.array([0.5, 1.0, 2.0, 3.0, 4.0])
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), min_size=1, max_size=7)


def planted(kind, alpha: float, beta: float, noise: float = 0.0, prompts: int = 40, seed: int = 0) -> Way:
    """Gold along the curve, the same on each prompt but for noise; the proxy goes straight up."""
    rng = np.random.default_rng(seed)
    gold_PK = curve(kind, alpha, beta, D_K) + noise * rng.standard_normal((prompts, len(D_K)))
    flat_PK = np.tile(D_K, (prompts, 1))
    return Way(kind, (1, 2, 3, 4, 5), tuple(f"p{i}" for i in range(prompts)), flat_PK**2, flat_PK, gold_PK)


# Best of n


def test_best_of_two_among_three_by_hand():
    """By the proxy 1, 2, 6 stand in this order. Of the three pairs one has its best in 2 and two in 6: 14/3."""
    proxy, value = np.array([[0.5, -1.0, 0.2]]), np.array([[6.0, 1.0, 2.0]])
    assert best_of(proxy, value, 2).tolist() == pytest.approx([14 / 3])
    assert best_of(proxy, value, 1).tolist() == pytest.approx([3.0])
    assert best_of(proxy, value, 3).tolist() == [6.0]


@given(ROWS, st.integers(1, 7))
def test_it_is_the_mean_over_all_choices_of_n(answers, n):
    """The slow definition; of equals in a choice each is as likely."""
    if n > len(answers):
        return
    best = []
    for chosen in itertools.combinations(answers, n):
        top = max(proxy for proxy, _ in chosen)
        best.append(np.mean([value for proxy, value in chosen if proxy == top]))
    proxy, value = (np.array([column], dtype=float) for column in zip(*answers, strict=True))
    assert best_of(proxy, value, n)[0] == pytest.approx(np.mean(best), abs=1e-9)  # float64


@given(ROWS, st.randoms(use_true_random=False))
def test_only_the_order_by_the_proxy_counts(answers, random):
    mixed = random.sample(answers, len(answers))
    for n in range(1, len(answers) + 1):
        one, other = (
            best_of(np.array([[shape(p) for p, _ in some]]), np.array([[float(v) for _, v in some]]), n)
            for some, shape in ((answers, float), (mixed, lambda p: math.exp(p) - 7))
        )
        assert one == pytest.approx(other, abs=1e-9)


def test_many_answers_lose_no_precision():
    """The chances add up to one, and a value that is its own proxy is best of n as order statistics have it: of N
    places 1..N the highest of n is n(N+1)/(n+1) on average."""
    place = np.arange(1.0, 1001.0)[None]
    for n in (1, 2, 37, 500, 999, 1000):
        assert best_of(place, np.ones_like(place), n)[0] == pytest.approx(1, abs=1e-12)
        assert best_of(place, place, n)[0] == pytest.approx(n * 1001 / (n + 1), rel=1e-12)


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="best of 5 cannot be told from 4 answers"):
        best_of(np.zeros((1, 4)), np.zeros((1, 4)), 5)


def test_the_kl_of_best_of_n():
    """log 2 − ½ by hand; and the best of n of M answers, all as likely, has i^n − (i−1)^n of M^n chances to be the
    i-th: its KL comes to the formula from below as M grows (M = 10⁵ leaves 1e-4)."""
    assert best_of_kl(1) == 0
    assert best_of_kl(2) == pytest.approx(0.19314718)
    for n in (2, 16, 64):
        edge = np.linspace(0, 1, 100_001) ** n
        chance = np.diff(edge)
        exact = float(np.sum(chance * np.log(np.maximum(chance, 1e-300) * 100_000)))
        assert best_of_kl(n) - 2e-3 < exact < best_of_kl(n)
        few = np.diff(np.linspace(0, 1, 5) ** n)
        assert np.sum(few * np.log(few * 4)) < best_of_kl(n)


def test_a_way_of_best_gains_over_a_lone_answer():
    proxy, gold = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 5.0]]), np.array([[0.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
    way = way_of_best(["a", "b"], proxy, gold, [1, 2, 3, 3])
    assert way.at == (2, 3)
    assert way.proxy_PK.tolist() == [[pytest.approx(5 / 3 - 1), 1.0], [pytest.approx(11 / 3 - 2), 3.0]]
    assert way.gold_PK.tolist() == [[pytest.approx(0), -1.0], [0.0, 0.0]]
    assert way.kl_PK.tolist() == [[best_of_kl(2), best_of_kl(3)]] * 2


# Policies


def said(prompt: str, model: str, nth: int = 0) -> Completion:
    return Completion.make(prompt, f"{model} {nth}", model, nth)


def test_a_way_of_policies_by_hand():
    """Two answers a prompt are one mean; gains are over what the start says to the same prompt."""
    answers = {k: [said(p, f"ppo-{k}", nth) for p in ("b", "a") for nth in (0, 1)] for k in (20, 0, 10)}
    value = {c.id: float(i) for i, c in enumerate(c for k in (0, 10, 20) for c in answers[k])}  # b, b, a, a of each
    ratio = {c.id: k / 10 for k, some in answers.items() for c in some}
    way = way_of_policies(answers, ratio, value, {key: -x for key, x in value.items()})
    assert (way.at, way.prompts) == ((10, 20), ("a", "b"))
    assert way.kl_PK.tolist() == [[1.0, 2.0]] * 2
    assert way.proxy_PK.tolist() == [[4.0, 8.0]] * 2
    assert way.gold_PK.tolist() == [[-4.0, -8.0]] * 2


def test_what_cannot_be_compared_is_refused():
    one = {0: [said("a", "s"), said("b", "s")], 5: [said("a", "t")]}
    value = {c.id: 0.0 for some in one.values() for c in some}
    with pytest.raises(ValueError, match="prompt b has no answer at one point"):
        way_of_policies(one, value, value, value)
    with pytest.raises(ValueError, match="needs its start"):
        way_of_policies({5: one[5]}, value, value, value)
    with pytest.raises(ValueError, match="same number of answers"):
        rows([said("a", "s"), said("b", "s"), said("b", "t")], value | {said("b", "t").id: 0.0})
    with pytest.raises(ValueError, match="without points"):
        Way("policy", (), ("a",), *(np.zeros((1, 0)),) * 3)
    with pytest.raises(ValueError, match=r"gold_PK is \(2, 1\)"):
        Way("policy", (1,), ("a",), np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((2, 1)))


def test_rows_stand_by_prompt():
    answers = [said("b", "s", 0), said("a", "s", 0), said("b", "s", 1), said("a", "s", 1)]
    prompts, value_PN = rows(answers, {c.id: float(i) for i, c in enumerate(answers)})
    assert prompts == ["a", "b"]
    assert value_PN.tolist() == [[1.0, 3.0], [0.0, 2.0]]


# The fits


def test_points_on_the_curve_give_it_back_and_its_peak():
    """R = d(3 − d) is highest at 1.5; R = d(1 − ½ log d) where log d = 1."""
    best, policy = fit(planted("best_of", 3, 1), planted("best_of", 3, 1).gold_PK, FAST), None
    way = planted("policy", 1, 0.5)
    policy = fit(way, way.gold_PK, FAST)
    for found, alpha, beta, peak in ((best, 3, 1, 1.5**2), (policy, 1, 0.5, math.e**2)):
        assert found is not None
        assert found.peak is not None
        assert (found.alpha.value, found.beta.value) == (pytest.approx(alpha), pytest.approx(beta))
        assert found.off == pytest.approx(0, abs=1e-12)
        assert [found.peak.kl, found.peak.low, found.peak.high] == pytest.approx([peak] * 3)
        assert found.turns == 1


@pytest.mark.parametrize("kind", ["best_of", "policy"])
def test_the_fit_is_the_one_of_numpy(kind):
    rng = np.random.default_rng(1)
    d_DK, gain_DK = rng.uniform(0.2, 5, (20, 6)), rng.standard_normal((20, 6))
    mine_DF = least_squares(kind, d_DK, gain_DK)
    for d, gain, mine in zip(d_DK, gain_DK, mine_DF, strict=True):
        bent = d * d if kind == "best_of" else d * np.log(d)
        theirs, *_ = np.linalg.lstsq(np.stack([d, -bent], axis=1), gain, rcond=None)
        assert mine == pytest.approx(theirs)


def test_points_in_one_place_have_no_fit():
    assert np.isnan(least_squares("best_of", np.full((1, 4), 2.0), np.ones((1, 4)))).all()
    assert np.isnan(least_squares("policy", np.zeros((1, 4)), np.ones((1, 4)))).all()
    way = planted("policy", 1, 0.5)
    still = Way("policy", way.at, way.prompts, np.ones_like(way.kl_PK), way.proxy_PK, way.gold_PK)
    assert overoptimised(still, FAST).gold is None
    two = Way("policy", (1, 2), way.prompts, *(x[:, :2] for x in (way.kl_PK, way.proxy_PK, way.gold_PK)))
    assert overoptimised(two, FAST).gold is None


def test_the_peak_is_where_the_slope_is_none():
    for kind, alpha, beta in (("best_of", 2.0, 0.3), ("policy", 0.7, 0.4), ("policy", -0.2, 0.4)):
        [top] = peak_of(kind, np.array([[alpha, beta]]))
        near = curve(kind, alpha, beta, np.array([top - 1e-4, top, top + 1e-4]))
        assert near[1] > near[0]
        assert near[1] > near[2]
    assert peak_of("policy", np.array([[1.0, 0.0], [1.0, -0.1]])).tolist() == [np.inf, np.inf]
    assert peak_of("best_of", np.array([[-1.0, 0.5]])).tolist() == [0.0]  # it falls from the start


def test_a_peak_beyond_all_that_was_run_is_none():
    rising = planted("policy", 1, 0.2)  # highest at exp(4) = 55, and 4 is the farthest
    found = fit(rising, rising.gold_PK, FAST)
    assert found is not None
    assert (found.peak, found.turns) == (None, 0)
    straight = fit(rising, rising.proxy_PK, FAST)
    assert straight is not None
    assert straight.peak is None
    assert straight.beta.value == pytest.approx(0, abs=1e-9)


def test_an_end_of_the_peak_that_lies_beyond_is_none():
    """Noise, and a peak near the end: some draws turn within what was run and some do not."""
    way = planted("policy", 1, 0.45, noise=1.5)  # the peak is at 3.4 of 4
    found = fit(way, way.gold_PK, FAST)
    assert found is not None
    assert found.peak is not None
    assert found.peak.high is None
    assert found.peak.low is not None
    assert 0.5 < found.turns < 1


@given(st.floats(0.1, 50), st.integers(0, 5))
@settings(max_examples=20)
def test_another_unit_of_gold_moves_no_peak(unit, seed):
    way = planted("policy", 1, 0.6, noise=0.3, seed=seed)
    one, other = (fit(way, way.gold_PK * scale, FAST) for scale in (1, unit))
    assert one is not None
    assert other is not None
    assert other.alpha.value == pytest.approx(unit * one.alpha.value)
    assert other.off == pytest.approx(unit * one.off)
    assert one.peak is not None
    assert other.peak is not None
    assert [other.peak.kl, other.peak.low] == pytest.approx([one.peak.kl, one.peak.low])


def test_the_order_of_the_prompts_changes_little_and_their_number_much():
    way = planted("policy", 1, 0.6, noise=1.0)
    twice = Way(way.kind, way.at, tuple(f"q{i}" for i in range(80)), *(np.tile(x, (2, 1)) for x in (
        way.kl_PK, way.proxy_PK, way.gold_PK
    )))  # fmt: skip
    one, two = (overoptimised(some) for some in (way, twice))
    assert one.gold is not None
    assert two.gold is not None
    assert two.gold.alpha.value == pytest.approx(one.gold.alpha.value)
    narrower = (two.gold.beta.high - two.gold.beta.low) / (one.gold.beta.high - one.gold.beta.low)
    assert narrower == pytest.approx(1 / math.sqrt(2), abs=0.06)  # and 2,000 draws are known to 3 %


def test_looks_without_a_start_give_their_peak_back():
    """2 + d(1 − ½ log d) is highest at e and falls from there to d = 6 by 3.359 − 2.625."""
    d = np.array([0.5, 1, 2, 3, 4, 5, 6])
    found = turn(list(d**2), list(2 + curve("policy", 1, 0.5, d)))
    assert found is not None
    assert found == pytest.approx((math.e**2, math.e / 2 - 6 * (1 - 0.5 * math.log(6)), 0), abs=1e-9)
    assert turn(list(d**2), list(d)) is None  # it only rises
    assert turn([1.0, 4.0, 9.0], [0.0, 1.0, 0.0]) is None  # three numbers of three looks
    assert turn([4.0] * 9, [0.0] * 9) is None


# The fall


def test_the_fall_by_hand():
    """d(1 − log d) is 1 at d = 1, its best, and 4(1 − log 4) at the last; the proxy rose from 1 to 4."""
    found = overoptimised(planted("policy", 1, 1), FAST)
    gold = curve("policy", 1, 1, D_K)
    assert int(np.argmax(gold)) == 1  # at d = 1, where the slope 1 − log d − 1 is none
    assert found.fall.value == pytest.approx(float(gold[-1] - gold[1]))
    assert found.rise.value == pytest.approx(3.0)
    assert found.shown


def test_gold_that_is_best_at_the_end_did_not_fall():
    found = overoptimised(planted("policy", 1, 0.1), FAST)
    assert (found.fall.value, found.rise.value, found.shown) == (0, 0, False)


def test_the_luckiest_point_makes_no_fall():
    """No point is better than another, and the last is one of them: chosen on the prompts that it is measured on, the
    best of five would lie above the last by 1.16 standard errors; chosen on others by none."""
    falls, naive = [], []
    for seed in range(300):
        gold_PK = np.random.default_rng(seed).standard_normal((30, 5))
        way = Way("policy", (1, 2, 3, 4, 5), tuple(f"p{i:02}" for i in range(30)), gold_PK**2, gold_PK, gold_PK)
        found = changes(way)
        assert found.fall.tolist() == found.rise.tolist()
        falls.append(found.fall.mean())
        mean_K = gold_PK.mean(axis=0)
        naive.append(mean_K[-1] - mean_K.max())
    assert abs(np.mean(falls)) < 3 * np.std(falls) / math.sqrt(300)
    assert np.mean(naive) < -0.15


def test_a_prompt_that_chooses_is_not_measured():
    """One prompt shouts for the first point; the others, if only a little, for the second. If it is among the quarter
    that choose, the first is chosen, on prompts that say otherwise."""
    gold_PK = np.tile([0.0, 0.1, 0.0], (20, 1))
    gold_PK[7] = [100.0, 0.0, 0.0]
    way = Way("policy", (1, 2, 3), tuple(f"p{i:02}" for i in range(20)), gold_PK, gold_PK, gold_PK)
    seen = set()
    for seed in range(20):
        top, measured_P = best_by_some(way, seed)
        assert len(measured_P) == 15
        assert (top == 0) == (7 not in measured_P)
        assert changes(way, seed).prompts == tuple(way.prompts[i] for i in measured_P)
        seen.add(top)
    assert seen == {0, 1}


def test_several_seeds_are_a_second_reason_to_doubt():
    """Runs that all fall by 1, and runs that fall by 0 to 2: the same mean, another interval."""
    alike = [planted("policy", 1, 1, noise=0.2, seed=seed) for seed in range(4)]
    apart = [
        Way(w.kind, w.at, w.prompts, w.kl_PK, w.proxy_PK, w.gold_PK * scale)
        for w, scale in zip(alike, (0.1, 0.7, 1.3, 1.9), strict=True)
    ]
    near, far = (over_seeds(some)[0] for some in (alike, apart))
    assert near.value == pytest.approx(far.value, abs=0.1)
    assert far.high - far.low > 5 * (near.high - near.low)
    assert near.high < 0 < over_seeds(alike)[1].low


# Coverage

WORLDS = 150


def within(share: float) -> bool:
    """Of 150 worlds 95 % ± 1.8: three standard errors. The whole: python tests/measure/followed_worlds.py"""
    return 0.95 - 3 * 0.0178 <= share <= 1


def test_intervals_of_a_policy_hold_what_was_planted():
    found = followed_worlds.coverage(followed_worlds.of_policy, WORLDS, 100)
    assert set(found) == {"gold at a point", "KL at a point", "α", "β", "peak", "fall"}
    assert {what: share for what, share in found.items() if not within(share)} == {}


def test_intervals_of_best_of_n_hold_what_was_planted():
    truth_K = followed_worlds.true_gains(np.random.default_rng(10**6), 2 * followed_worlds.COUNTS[-1])
    found = followed_worlds.coverage(followed_worlds.of_best(truth_K), WORLDS, 100)
    assert {what: share for what, share in found.items() if not within(share)} == {}

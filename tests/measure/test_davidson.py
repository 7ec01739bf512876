"""The scale of many models: by hand, by its slow definition, by kept libraries, and by its laws."""

import itertools
import math

import choix
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preference_worlds import coverage, tournament
from scipy.optimize import minimize

from biddable.measure.davidson import design, fit, is_finite, islands, met, rate, scales
from biddable.measure.interval import Bootstrap
from biddable.records import Verdict

FAST = Bootstrap(draws=200)


def said(*results: tuple[str, str, str], judge="gold") -> tuple[list[Verdict], dict[str, str]]:
    """Verdicts `(x, y, better)`, each of its own prompt."""
    made, models = [], {}
    for n, (x, y, better) in enumerate(results):
        a, b = f"{x}{n}a", f"{y}{n}b"
        models |= {a: x, b: y}
        made.append(Verdict(prompt_id=f"p{n}", a=a, b=b, better=better, judge=judge))
    return made, models


def slow(counts: dict[tuple[int, int], tuple[float, float, float]], models: int) -> np.ndarray:
    """Davidson 1970, eqs. 2.3–2.4, as he writes them, in π and ν; the highest likelihood by a general optimiser."""

    def loss(theta):
        pi, nu = [1.0, *np.exp(theta[:-1])], math.exp(theta[-1])
        total = 0.0
        for (i, j), (won, lost, tied) in counts.items():
            below = pi[i] + pi[j] + nu * math.sqrt(pi[i] * pi[j])
            total -= won * math.log(pi[i] / below) + lost * math.log(pi[j] / below)
            total -= tied * math.log(nu * math.sqrt(pi[i] * pi[j]) / below)
        return total

    return minimize(loss, np.zeros(models), method="BFGS", options={"gtol": 1e-9}).x


def test_two_models_by_hand():
    # won 6, lost 2, tied 4: π₁/π₂ = 6/2, so β = log 3; ν = t/√(w l) = 4/√12
    verdicts, models = said(*[("x", "y", "a")] * 6, *[("x", "y", "b")] * 2, *[("y", "x", "tie")] * 4)
    (found,) = scales(verdicts, models, "y", FAST)
    assert found.places["x"].score.value == pytest.approx(math.log(3))
    assert found.tie == pytest.approx(4 / math.sqrt(12))
    assert found.places["x"].preferred.value == pytest.approx(8 / 12)  # with one pair the scale is the win rate
    assert found.places["y"].score == found.places["y"].score.model_copy(update={"value": 0.0, "low": 0.0, "high": 0.0})
    assert not found.held


@pytest.mark.parametrize("seed", range(3))
def test_the_scale_is_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    pairs = np.array(list(itertools.combinations(range(5), 2)))
    counts = rng.integers(1, 30, (len(pairs), 3)).astype(float)
    found, _ = fit(counts, design(pairs, 5, True))
    told = {tuple(pair): tuple(row) for pair, row in zip(pairs.tolist(), counts.tolist(), strict=True)}
    np.testing.assert_allclose(found, slow(told, 5), atol=1e-5)  # BFGS stops there


def test_without_ties_it_is_choix():
    rng = np.random.default_rng(4)
    pairs = np.array(list(itertools.combinations(range(6), 2)))
    counts = rng.integers(1, 20, (len(pairs), 3)).astype(float)
    counts[:, 2] = 0
    found, _ = fit(counts, design(pairs, 6, False))
    rows = [
        (i, j) for (i, j), (won, _, _) in zip(pairs.tolist(), counts.tolist(), strict=True) for _ in range(int(won))
    ]
    rows += [
        (j, i) for (i, j), (_, lost, _) in zip(pairs.tolist(), counts.tolist(), strict=True) for _ in range(int(lost))
    ]
    theirs = choix.opt_pairwise(6, rows, method="Newton-CG", tol=1e-12)
    np.testing.assert_allclose(found, (theirs - theirs[0])[1:], atol=1e-4)  # what that optimiser reaches


def test_at_the_fit_as_many_wins_and_ties_are_foreseen_as_were_seen():
    """The likelihood's equations (Davidson 1970, eqs. 3.2–3.3): each model's wins + ½ ties, and all ties."""
    pairs = np.array([[0, 1], [1, 2], [0, 3], [2, 3]])
    counts = np.array([[5.0, 3, 2], [4, 4, 1], [2, 7, 3], [1, 1, 6]])
    theta, _ = fit(counts, design(pairs, 4, True))
    score, nu = np.array([0.0, *theta[:3]]), math.exp(theta[3])
    expected = np.empty_like(counts)
    for n, (i, j) in enumerate(pairs):
        strength = np.array([math.exp(score[i]), math.exp(score[j]), nu * math.exp((score[i] + score[j]) / 2)])
        expected[n] = counts[n].sum() * strength / strength.sum()
    assert expected[:, 2].sum() == pytest.approx(counts[:, 2].sum())
    for model in range(4):
        own = [(n, side) for n, pair in enumerate(pairs) for side in (0, 1) if pair[side] == model]
        for points in (counts, expected):
            assert sum(points[n, s] + points[n, 2] / 2 for n, s in own) == pytest.approx(
                sum(counts[n, s] + counts[n, 2] / 2 for n, s in own)
            )


def test_rate_is_the_chance_to_win_and_half_the_chance_to_tie():
    # π = 4 and 1, ν = 1: below 4 + 1 + 2 = 7; win 4/7, tie 2/7
    assert rate(math.log(4), 1.0) == pytest.approx(5 / 7)
    assert rate(0.0, 3.0) == 0.5


# Which models can stand on one scale


def test_models_that_never_met_stand_on_scales_of_their_own():
    chain = [("x", "y", "a"), ("x", "y", "b"), ("y", "z", "tie"), ("y", "z", "a"), ("y", "z", "b")]
    verdicts, models = said(*chain, ("u", "v", "a"), ("u", "v", "b"))
    first, second = scales(verdicts, models, "y", FAST)
    assert (set(first.places), first.baseline) == ({"x", "y", "z"}, "y")
    assert (set(second.places), second.baseline) == ({"u", "v"}, "u")


def test_islands_by_hand():
    assert islands(("a", "b", "c", "d"), np.array([[0, 2], [1, 3]])) == [("a", "c"), ("b", "d")]
    assert islands(("a", "b", "c"), np.array([[0, 1], [1, 2]])) == [("a", "b", "c")]


@pytest.mark.parametrize(
    ("counts", "finite"),
    [
        ([[3, 1, 0], [2, 1, 0]], True),
        ([[3, 0, 0], [2, 1, 0]], False),  # 0 was never beaten
        ([[3, 0, 2], [2, 0, 1]], False),  # nor when it ties: further apart with more ties is ever likelier
        ([[3, 0, 2], [2, 1, 0]], True),  # but here more ties would be less likely between 1 and 2
        ([[3, 1, 2], [2, 1, 4]], True),
        ([[0, 0, 2], [0, 0, 4]], False),  # all ties: ν has no end
    ],
)
def test_who_has_no_finite_place(counts, finite):
    pairs = np.array([[0, 1], [1, 2]])
    columns = design(pairs, 3, bool(np.array(counts)[:, 2].any()))
    assert is_finite(np.array(counts, dtype=float), columns) is finite
    # The slow way: a general optimiser walks until the slope is 1e-9, which is far out where there is no highest point.
    told = {(0, 1): counts[0], (1, 2): counts[1]}
    reached = np.abs(slow(told, 3)[: 3 if columns.shape[1] == 3 else 2]).max()
    assert bool(reached < 5) is finite


def test_a_cycle_of_wins_has_places_and_a_ladder_has_none():
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    cycle, ladder = np.array([[1.0, 0], [0, 1], [1, 0]]), np.array([[1.0, 0], [1, 0], [1, 0]])
    assert is_finite(cycle, design(pairs, 3, False))
    assert not is_finite(ladder, design(pairs, 3, False))


def test_never_beaten_is_told_and_held_back():
    verdicts, models = said(*[("x", "y", "a")] * 20, ("y", "z", "a"), ("y", "z", "b"))
    (found,) = scales(verdicts, models, "y", FAST)
    assert found.held
    # half a win each way: 20.5 to 0.5, and the error √(1/20.5 + 1/0.5)
    place, error = found.places["x"], math.sqrt(1 / 20.5 + 1 / 0.5)
    assert place.score.value == pytest.approx(math.log(41))
    assert (place.score.low, place.score.high) == pytest.approx(
        (math.log(41) - 1.96 * error, math.log(41) + 1.96 * error)
    )


# Laws


@given(st.permutations(list("wxyz")), st.integers(0, 50))
def test_laws(order, seed):
    """Neither names, the order of verdicts, nor the side on which a model stands matter; a baseline only shifts."""
    verdicts, models = tournament(np.random.default_rng(seed), dict.fromkeys("wxyz", 0.0), prompts=15, people=4)
    renamed = dict(zip("wxyz", order, strict=True))
    (one,) = scales(verdicts, models, "w", FAST)
    turned = [
        v.model_copy(update={"a": v.b, "b": v.a, "better": {"a": "b", "b": "a"}.get(v.better, "tie")}) for v in verdicts
    ]
    (other,) = scales(turned[::-1], {c: renamed[m] for c, m in models.items()}, renamed["w"], FAST)
    for name in "wxyz":
        assert other.places[renamed[name]].score.value == pytest.approx(one.places[name].score.value, abs=1e-8)
    (moved,) = scales(verdicts, models, "x", FAST)
    for name in "wxyz":
        shift = one.places[name].score.value - one.places["x"].score.value
        assert moved.places[name].score.value == pytest.approx(shift, abs=1e-8)


def test_a_verdict_of_twice_the_weight_is_two():
    verdicts, models = said(("x", "y", "a"), ("x", "y", "b"), ("x", "y", "tie"), ("x", "y", "a"))
    heavy = [verdicts[0].model_copy(update={"propensity": 0.5}), *verdicts[1:3]]
    (twice,), (weighed,) = scales(verdicts, models, "y", FAST), scales(heavy, models, "y", FAST)
    assert weighed.places["x"].score.value == pytest.approx(twice.places["x"].score.value)


def test_a_model_against_itself_says_nothing():
    verdicts, models = said(("x", "y", "a"), ("x", "y", "b"), ("x", "x", "a"))
    assert len(met(verdicts, models).pair_N) == 2


def test_the_pull_is_how_the_fit_moves():
    """Taking one verdict out moves the score by −pull/n, to first order: the slow definition of an influence."""
    from biddable.measure.davidson import pulls

    verdicts, models = tournament(np.random.default_rng(1), {"x": 0.5, "y": 0.0, "z": -0.4}, prompts=300, people=6)
    told = met(verdicts, models)
    columns = design(told.pairs, 3, True)
    theta, information = fit(told.counts(), columns)
    pull = pulls(told, columns, theta, information)
    for n in (0, 10, 100):
        counts = told.counts()
        counts[told.pair_N[n], told.outcome_N[n]] -= 1
        without, _ = fit(counts, columns)
        np.testing.assert_allclose(theta - without, pull[n] / len(pull), rtol=0.02, atol=1e-5)  # second order is left


def test_intervals_hold_the_planted_truth():
    """The whole: `python tests/measure/preference_worlds.py`."""
    (held,) = coverage(60, seed=2, shapes=((80, 10, 2, 0.3),)).values()
    # 95 % of 120 intervals that come in twos: outside these, three standard errors off, the interval itself is wrong
    assert 0.88 <= held["scale"] <= 1
    assert 0.88 <= held["win rate"] <= 1

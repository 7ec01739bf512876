"""Many draws at once against one draw after another, each written out with every observation as often as it counts."""

import itertools

import numpy as np
import pytest
import scipy.stats

from biddable.measure import reward
from biddable.measure.interval import Bootstrap, Floats, Spread, ends, stretched
from biddable.measure.ranks import above, ranks, spearman

EXACT = 1e-12  # float64, and sums of halves


def drawn(seed: int, ties: bool) -> tuple[Floats, Floats, np.ndarray, np.ndarray]:
    """Two numbers of 30 things, a yes or no of each, and how often 20 draws have each of them."""
    rng = np.random.default_rng(seed)
    x_N, y_N = rng.normal(size=(2, 30))
    if ties:
        x_N, y_N = np.round(x_N), np.round(y_N)
    return x_N, y_N, rng.random(30) < 0.3, rng.integers(4, size=(20, 30))


@pytest.mark.parametrize("ties", [True, False])
def test_ranks_by_their_slow_definition(ties):
    x_N, _, _, times_DN = drawn(0, ties)
    for times_N, found_N in zip(times_DN, ranks(x_N)(times_DN.astype(float)), strict=True):
        slow = scipy.stats.rankdata(np.repeat(x_N, times_N))
        assert np.repeat(found_N, times_N) == pytest.approx(slow, abs=EXACT)


@pytest.mark.parametrize("ties", [True, False])
def test_spearman_by_its_slow_definition(ties):
    x_N, y_N, _, times_DN = drawn(1, ties)
    slow = [scipy.stats.spearmanr(np.repeat(x_N, t_N), np.repeat(y_N, t_N)).statistic for t_N in times_DN]
    assert spearman(x_N, y_N)(times_DN.astype(float)) == pytest.approx(slow, abs=EXACT)


def test_what_is_the_same_everywhere_correlates_with_nothing():
    x_N, y_N = np.array([1.0, 2.0, 2.0]), np.array([3.0, 1.0, 2.0])
    # all three; the equals alone; one alone
    times_DN = np.array([[1, 1, 1], [0, 2, 1], [3, 0, 0]], dtype=float)
    # Ranks 1, 2½, 2½ and 3, 1, 2: the sum of products about 2 is −1.5, of squares 1.5 and 2
    assert spearman(x_N, y_N)(times_DN) == pytest.approx([-1.5 / 3**0.5, 0, 0], abs=EXACT)


@pytest.mark.parametrize("ties", [True, False])
def test_above_by_its_slow_definition(ties):
    x_N, _, yes_N, times_DN = drawn(2, ties)
    slow = []
    for t_N in times_DN:
        won = [
            ((a > b) + (a == b) / 2, times)
            for (a, yes, i), (b, other, j) in itertools.product(zip(x_N, yes_N, t_N, strict=True), repeat=2)
            for times in [i * j]
            if yes and not other
        ]
        slow.append(sum(x * times for x, times in won) / sum(times for _, times in won))
    assert above(x_N, yes_N)(times_DN.astype(float)) == pytest.approx(slow, abs=EXACT)


def test_above_is_nothing_without_a_yes_or_without_a_no():
    times_DN = np.array([[1, 2, 0], [0, 0, 2], [1, 0, 1]], dtype=float)
    found_D = above(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))(times_DN)
    assert found_D.tolist()[2] == 1
    assert np.isnan(found_D[:2]).all()


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("at_once", [4_000_000, 500])
def test_an_interval_of_ranks_by_its_slow_definition(ties, at_once, monkeypatch):
    """Prompts drawn one after another, the pairs of each gathered anew; and left out one after another."""
    monkeypatch.setattr("biddable.measure.interval.AT_ONCE", at_once)  # in one piece, and in many
    rng, how = np.random.default_rng(3), Bootstrap(draws=200)
    prompt_N = rng.permutation(np.repeat(np.arange(25), rng.integers(1, 6, size=25)))
    margin_N, spread_N = rng.normal(size=len(prompt_N)), rng.random(len(prompt_N))
    if ties:
        margin_N, spread_N = np.round(margin_N), np.round(spread_N, 1)
    names = tuple(f"p{p:02}" for p in prompt_N)
    found = reward.doubt(reward.Margins(margin_N, names, names, spread_N), how)

    def wrong(i_N: np.ndarray) -> float:
        yes = spread_N[i_N][margin_N[i_N] <= 0], spread_N[i_N][margin_N[i_N] > 0]
        return float(scipy.stats.mannwhitneyu(*yes).statistic) / (len(yes[0]) * len(yes[1]))

    lots = how.generator()
    places = [np.flatnonzero(prompt_N == p) for p in range(25)]
    draw_D = np.array([wrong(np.concatenate([places[p] for p in lots.integers(25, size=25)])) for _ in range(200)])
    without_P = np.array([wrong(np.flatnonzero(prompt_N != p)) for p in range(25)])
    influence_P, value = without_P.mean() - without_P, wrong(np.arange(len(prompt_N)))
    noise = Spread(24 / 25 * float(influence_P @ influence_P), 24, influence_P)
    low, high = ends(stretched(draw_D, value, noise, 0.95), value, influence_P, how)
    assert (found.wrong.value, found.wrong.low, found.wrong.high) == pytest.approx((value, low, high), abs=EXACT)

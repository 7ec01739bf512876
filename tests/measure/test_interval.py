import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from biddable.measure.interval import FREE, Bootstrap, Interval, _two_way, bootstrap, codes, resamples, spread
from biddable.measure.planning import parts
from biddable.measure.weighted import mean

FAST = Bootstrap(draws=400)


def world(seed: int, prompts: int, labelers: int, each: int, prompt_effect: float, labeler_effect: float):
    """Yes/no answers whose true rate over all prompts and all labelers is 0.6 by design."""
    rng = np.random.default_rng(seed)
    of_prompt = rng.choice([-1, 1], prompts) * prompt_effect
    of_labeler = rng.choice([-1, 1], labelers) * labeler_effect
    prompt = np.repeat(np.arange(prompts), each)
    labeler = np.concatenate([rng.choice(labelers, each, replace=False) for _ in range(prompts)])
    value = rng.random(len(prompt)) < 0.6 + of_prompt[prompt] + of_labeler[labeler]
    return value.astype(float), prompt.tolist(), labeler.tolist()


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize(
    ("prompts", "labelers", "each", "prompt_effect", "labeler_effect"),
    [(100, 20, 2, 0.0, 0.0), (100, 20, 2, 0.2, 0.15), (60, 12, 3, 0.2, 0.1)],
)
def test_the_interval_covers_the_planted_truth(prompts, labelers, each, prompt_effect, labeler_effect, method):
    worlds = 200
    covered = 0
    for seed in range(worlds):
        value, prompt, labeler = world(seed, prompts, labelers, each, prompt_effect, labeler_effect)
        found = bootstrap(value, prompt, labeler, Bootstrap(draws=300, method=method, seed=seed))
        covered += found.low <= 0.6 <= found.high
    # 95 % of 200 worlds, four standard errors of 1.5 points: outside it the interval itself is wrong
    assert 0.89 <= covered / worlds <= 0.995


@pytest.mark.parametrize(("people", "taste"), [(3, 0.1), (4, 0.2), (5, 0.0), (5, 0.1), (5, 0.2), (8, 0.2)])
def test_a_team_of_a_few_is_not_held_for_many(people, taste):
    """A hundred prompts and few people, whose tastes are normal: 1,000 worlds, so that 95 % is ± 1.4 points by luck."""
    rng, held = np.random.default_rng(people), []
    prompt, cells = np.arange(100), np.zeros(100)
    for _ in range(1000):
        who = rng.integers(people, size=100)
        cells[:] = rng.random(100) < 0.5 + taste * rng.standard_normal(people)[who]
        labeler, count = codes(who.tolist())
        found = spread(cells, prompt, 100, labeler, count)
        held.append(abs(cells.mean() - 0.5) <= stdtrit(found.freedom, 0.975) * found.variance**0.5)
    assert 0.925 <= np.mean(held) <= 0.985


def test_ignoring_labelers_who_differ_covers_too_little():
    covered = 0
    for seed in range(150):
        value, prompt, _ = world(seed, 200, 6, 1, 0.1, 0.1)
        found = bootstrap(value, prompt, None, Bootstrap(draws=200, seed=seed))
        covered += found.low <= 0.6 <= found.high
    assert covered / 150 < 0.85  # why both are resampled


def test_the_spread_by_hand():
    # values 1 0 1 1, mean .75, errors .25 −.75 .25 .25; prompts a a b b: sums −.5 and .5, over n: −.125 and .125
    # two groups: 2/1 · (2 · .125²) = .0625
    value = np.array([1.0, 0.0, 1.0, 1.0])
    assert spread(value, np.array([0, 0, 1, 1]), 2, None, 0).variance == pytest.approx(0.0625)
    # labelers x y x y: sums .5 −.5: the same .0625; four cells: 4/3 · (3 · .0625² + .1875²) = .0625
    both = spread(value, np.array([0, 0, 1, 1]), 2, np.array([0, 1, 0, 1]), 2)
    assert both.variance == pytest.approx(0.0625)
    assert both.freedom == pytest.approx(1.0)  # V is V_labeler, of two people


def test_two_way_draws_are_the_slow_definition():
    value = np.array([1.0, 0.0, 0.5, 1.0, 0.0])
    prompt, labeler = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 1])
    how = Bootstrap(draws=100, seed=3)
    rng = how.generator()
    times_prompt, times_labeler = resamples(3, 100, rng), resamples(2, 100, rng)
    slow = []
    for draw in range(100):
        weights = [times_prompt[draw][p] * times_labeler[draw][who] for p, who in zip(prompt, labeler, strict=True)]
        if sum(weights):
            slow.append(sum(w * v for w, v in zip(weights, value, strict=True)) / sum(weights))
    np.testing.assert_allclose(_two_way(value, prompt, 3, labeler, 2, how), slow, atol=1e-12)  # float64 sums


def test_resamples_draw_as_many_as_there_are():
    times = resamples(7, 50, np.random.default_rng(0))
    assert times.shape == (50, 7)
    assert (times.sum(axis=1) == 7).all()


def test_one_way_matches_the_normal_interval_of_independent_answers():
    value = (np.arange(1000) % 4 == 0).astype(float)  # 250 of 1000
    found = bootstrap(value, list(range(1000)), how=Bootstrap(draws=4000))
    half = 1.96 * (0.25 * 0.75 / 1000) ** 0.5  # = 0.0268
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.003)


def test_no_case_in_a_hundred_still_leaves_room():
    found = bootstrap([0.0] * 100, list(range(100)), how=FAST)
    # Clopper–Pearson, 0 of 100 at 95 %: 1 − .025^(1/100) = .0362
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0.0362), abs=1e-4)
    assert bootstrap([1.0] * 100, list(range(100)), how=FAST).low == pytest.approx(1 - 0.0362, abs=1e-4)


def test_all_ties_are_no_certainty_that_all_will_be():
    # 1 − .025^(1/20) = .1684 of prompts may be others, and these won or lost: ½ ∓ .1684/2
    found = bootstrap([0.5] * 20, list(range(20)), how=FAST)
    assert (found.low, found.high) == pytest.approx((0.4158, 0.5842), abs=1e-4)
    rated = bootstrap([4.0], ["p"], ["ann"], FAST, bounds=(1.0, 7.0))
    # of one rating nothing is known but that .025 of chance is left: 1 − .025 of 3 points either way
    assert (rated.low, rated.high) == pytest.approx((4 - 0.975 * 3, 4 + 0.975 * 3))
    gone = bootstrap([0.0] * 5, list(range(5)), how=FAST, bounds=FREE)
    assert (gone.low, gone.high) == (0, 0)  # without a bound nothing can be told of others


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("people", [None, ["ann", "bob"] * 2, ["ann", "bob", "bob", "ann"]])
def test_prompts_that_each_come_to_the_same_are_unanimous(people, method):
    """Two prompts, on each one for and one against: their means do not vary, and two prompts are few."""
    found = bootstrap([1.0, 0.0] * 2, ["p", "p", "q", "q"], people, Bootstrap(draws=400, method=method))
    assert found.low < 0.1
    assert found.high > 0.9


def test_a_hundred_labels_of_one_prompt_are_one_witness():
    assert bootstrap([0.0] * 100, ["p"] * 100, how=FAST).high == pytest.approx(0.975)
    mixed = bootstrap([0.0, 1.0] * 50, ["p"] * 100, how=FAST)
    assert (mixed.low, mixed.high) == (0, 1)


def test_no_observations_is_an_error():
    with pytest.raises(ValueError, match="no observations"):
        bootstrap([], [])


def test_an_interval_upside_down_is_refused():
    with pytest.raises(ValueError, match="above high"):
        Interval(value=0.5, low=0.6, high=0.4, n=3)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.integers(0, 3)), min_size=2, max_size=40), st.randoms()
)
def test_laws(rows, random):
    """Order does not matter, nor do names; the interval stays within the scale; the seed decides the draws."""
    value, prompt, labeler = zip(*rows, strict=True)
    found = bootstrap(value, prompt, labeler, FAST)
    assert 0 <= found.low <= found.high <= 1
    assert found == bootstrap(value, prompt, labeler, FAST)
    random.shuffle(rows)
    value, prompt, labeler = zip(*rows, strict=True)
    moved = bootstrap(value, prompt, labeler, FAST)
    assert (moved.value, moved.low, moved.high) == pytest.approx((found.value, found.low, found.high), abs=1e-6)
    named = bootstrap(value, [f"p{p}" for p in prompt], [f"l{who}" for who in labeler], FAST)
    assert (named.low, named.high) == pytest.approx((moved.low, moved.high))


def test_codes_follow_the_names_not_their_order():
    assert codes(["b", "a", "b"])[0].tolist() == [1, 0, 1]


def test_words_that_nobody_signed_are_no_peoples():
    """Twenty prompts have a second word. Drawn as one of two people's, they alone would be a quarter of the draws."""
    rng = np.random.default_rng(0)
    value, prompt = rng.integers(2, size=220).astype(float), [*range(200), *range(20)]
    unsigned = ["someone"] * 200 + ["someone-2"] * 20
    assert bootstrap(value, prompt, unsigned) == bootstrap(value, prompt)
    equal, likelier = np.ones(220), np.array([2.0] + [1.0] * 219)
    for weight in (equal, likelier):
        assert mean(value, weight, prompt, unsigned) == mean(value, weight, prompt)
    assert parts(value, prompt, unsigned) == parts(value, prompt, ["ann"] * 220)
    ann_too = ["ann", *unsigned[1:]]
    assert bootstrap(value, prompt, ann_too) == bootstrap(value, prompt, ["ann"] + ["ben"] * 219)


@pytest.mark.parametrize("said", [(200, 1), (200, 20), (195, 1, 1, 1, 1, 1)], ids=str)
def test_where_one_said_nearly_all_another_s_few_words_make_nothing_surer(said):
    """A quarter of the draws of two people are the second's one label alone, and the rest was drawn together for it."""
    people = [f"ann {n}" for n, count in enumerate(said) for _ in range(count)]
    value = np.random.default_rng(0).integers(2, size=len(people)).astype(float)
    both, alone = bootstrap(value, range(len(people)), people), bootstrap(value, range(len(people)))
    assert both.low <= alone.low + 1e-9
    assert both.high >= alone.high - 1e-9


def test_ten_thousand_prompts_take_seconds_not_memory():
    rng = np.random.default_rng(0)
    value = rng.random(10_000)
    found = bootstrap(value, list(range(10_000)), rng.integers(40, size=10_000).tolist(), Bootstrap(draws=500))
    assert found.high - found.low < 0.05

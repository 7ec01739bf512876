"""Prompts that were likelier to be labeled count for less; who was asked because others disagreed does not count."""

import numpy as np
import pytest

from biddable.measure.agreement import agreement
from biddable.measure.reward import accuracy, margins
from biddable.measure.weighted import weighted_mean
from biddable.records import Ranking, Score


def ranking(prompt: str, labeler: str, order: str, **more) -> Ranking:
    return Ranking(prompt_id=prompt, labeler=labeler, order=tuple((f"{prompt}{x}",) for x in order), **more)


def test_a_weighed_mean_is_as_by_hand():
    found = weighted_mean([1.0, 0.0, 1.0], np.array([1.0, 4.0, 5.0]), ["p", "q", "r"])
    assert found.value == pytest.approx(0.6)
    # z = 0.4, −2.4, 2: V = 3/2 · (0.16 + 5.76 + 4) / 100, t(2) = 4.3027; the ends are cut to 0 and 1.
    narrow = weighted_mean([0.5, 0.4, 0.45], np.array([1.0, 4.0, 5.0]), ["p", "q", "r"])
    z = [1 * (0.5 - 0.435), 4 * (0.4 - 0.435), 5 * (0.45 - 0.435)]
    half = 4.302653 * np.sqrt(1.5 * sum(x * x for x in z)) / 10
    assert (narrow.value, narrow.low) == pytest.approx((0.435, 0.435 - half), abs=1e-6)


def test_agreement_weighs_prompts_by_their_chances():
    """Two labelers agree on a prompt that was sure to be chosen, and not on one chosen once in four times: 1 of 5."""
    found = agreement([
        ranking("p", "ann", "ab", propensity=1.0), ranking("p", "ben", "ab", propensity=1.0),
        ranking("q", "ann", "ab", propensity=0.25), ranking("q", "ben", "ba", propensity=0.25),
    ])  # fmt: skip
    assert found.value == pytest.approx(0.2)


def test_agreement_leaves_out_who_was_asked_because_others_disagreed():
    said = [ranking("p", "ann", "ab"), ranking("p", "ben", "ba"), ranking("q", "ann", "ab"), ranking("q", "ben", "ab")]
    more = [ranking("p", who, "ab", extra=True) for who in ("cy", "di")]  # counted in, 4 of 7 meetings would agree
    assert agreement([*said, *more]).value == agreement(said).value == 0.5


def test_accuracy_weighs_too():
    scores = [
        Score(completion_id=f"{p}{x}", run_id="r", value=value) for p in "pq" for x, value in (("a", 1), ("b", 0))
    ]
    said = [ranking("p", "ann", "ab", propensity=0.5), ranking("q", "ann", "ba", propensity=0.1)]
    extra = ranking("q", "ben", "ba", propensity=0.1, extra=True)
    assert accuracy(margins(scores, [*said, extra])).value == pytest.approx(2 / 12)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_interval_covers_the_pools_mean(share):
    """500 planted worlds; those chosen first are harder. A 95 % interval covers in 93 to 99.6 % (it takes prompts for
    drawn one by one, so it may be wide), and the plain mean of a mixed choice in fewer than 60 %."""
    from biddable.store.choice import choose

    rng, covered, plainly = np.random.default_rng(0), 0, 0
    for seed in range(500):
        size_N = rng.gamma(1, 1, 600) + 0.02
        y_N = (rng.random(600) < 1 / (1 + size_N)).astype(float)
        some = choose(size_N, 120, share, np.random.default_rng(seed))
        value_n = np.array([y_N[one.place] for one in some])
        names = [one.place for one in some]
        found = weighted_mean(value_n, np.array([1 / one.propensity for one in some]), names)
        plain = weighted_mean(value_n, np.ones(120), names)
        covered += found.low <= y_N.mean() <= found.high
        plainly += plain.low <= y_N.mean() <= plain.high
    assert 465 <= covered <= 498, covered
    assert (plainly < 300) == (share < 1), plainly

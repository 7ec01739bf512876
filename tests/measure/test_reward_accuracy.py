import math

import numpy as np
import pytest

from biddable.measure.interval import Bootstrap
from biddable.measure.reward import accuracy, calibration, doubt, log_loss, margins, temperature
from biddable.records import Ranking, Score

FAST = Bootstrap(draws=300)


def score(completion: str, value: float, run: str = "rm", spread: float | None = None) -> Score:
    return Score(completion_id=completion, run_id=run, value=value, spread=spread)


def rank(prompt: str, labeler: str, *tiers: str) -> Ranking:
    return Ranking(prompt_id=prompt, labeler=labeler, order=tuple(tuple(tier) for tier in tiers))


def test_by_hand():
    # a > b, a > c, b = c: scores 2, 0, 2 → margins 2 (right) and 0 (a miss: > is strict)
    pairs = margins([score("a", 2), score("b", 0), score("c", 2)], [rank("p", "ann", "a", "bc")])
    assert pairs.margin_N.tolist() == [2, 0]
    assert accuracy(pairs, FAST).value == 0.5
    # (log(1 + e⁻²) + log 2) / 2 = (0.126928 + 0.693147) / 2
    assert log_loss(pairs, FAST).value == pytest.approx(0.4100375, abs=1e-6)


def test_groups():
    scores = [score("a", 1), score("b", 0)]
    rankings = [rank("p", "ann", "a", "b"), rank("p", "eve", "b", "a")]
    groups = {"ann": "training", "eve": "held_out"}
    assert accuracy(margins(scores, rankings, groups, "training"), FAST).value == 1
    assert accuracy(margins(scores, rankings, groups, "held_out"), FAST).value == 0
    with pytest.raises(ValueError, match="group of each labeler"):
        margins(scores, rankings, None, "training")


def test_a_ranked_completion_without_a_score_is_named():
    with pytest.raises(ValueError, match="completion b, ranked for prompt p, has no score"):
        margins([score("a", 1)], [rank("p", "ann", "a", "b")])


def test_two_reward_models_are_not_mixed():
    with pytest.raises(ValueError, match="2 reward models"):
        margins([score("a", 1), score("b", 0, "other")], [rank("p", "ann", "a", "b")])


def test_ties_alone_are_no_evidence():
    with pytest.raises(ValueError, match="no strict pair"):
        margins([score("a", 1), score("b", 0)], [rank("p", "ann", "ab")])


def made(seed: int, stretch: float, prompts: int = 500) -> tuple[list[Score], list[Ranking]]:
    """People who choose by Bradley–Terry of the true scores; the model reports `stretch` times the truth."""
    rng = np.random.default_rng(seed)
    scores, rankings = [], []
    for i in range(prompts):
        truth = rng.normal(size=2) * 1.5
        scores += [score(f"{i}a", stretch * truth[0]), score(f"{i}b", stretch * truth[1])]
        first = rng.random() < 1 / (1 + math.exp(truth[1] - truth[0]))
        order = ((f"{i}a",), (f"{i}b",)) if first else ((f"{i}b",), (f"{i}a",))
        rankings.append(Ranking(prompt_id=f"p{i}", labeler="ann", order=order))
    return scores, rankings


def test_a_calibrated_model_is_called_calibrated_and_a_boaster_is_not():
    honest = calibration(margins(*made(0, 1.0, 2000)), how=FAST)
    boaster = calibration(margins(*made(0, 4.0, 2000)), how=FAST)
    assert honest.error < 0.03
    assert boaster.error > 0.1
    assert honest.log_loss.value < boaster.log_loss.value


def test_calibration_error_is_the_slow_definition():
    pairs = margins(*made(1, 2.0, 200))
    found = calibration(pairs, bins=4, how=FAST)
    slow = 0.0
    for band in range(4):
        low, high = 0.5 + band / 8, 0.5 + (band + 1) / 8
        inside = [m for m in pairs.margin_N if low <= 1 / (1 + math.exp(-abs(m))) < high or (band == 3 and abs(m) > 40)]
        if inside:
            foreseen = sum(1 / (1 + math.exp(-abs(m))) for m in inside) / len(inside)
            slow += len(inside) / len(pairs.margin_N) * abs(sum(m > 0 for m in inside) / len(inside) - foreseen)
    assert found.error == pytest.approx(slow, abs=1e-9)
    assert sum(b.observed.n for b in found.bins) == len(pairs.margin_N)


def test_equal_scores_foresee_a_coin_and_get_one():
    pairs = margins([score("a", 1), score("b", 1)], [rank(f"p{i}", "ann", "a", "b") for i in range(9)])
    found = calibration(pairs, how=FAST)
    assert (found.bins[0].predicted, found.bins[0].observed.value, found.error) == (0.5, 0.5, 0)


def test_law_a_constant_added_to_all_scores_changes_nothing():
    scores, rankings = made(2, 1.0, 100)
    moved = [score(s.completion_id, s.value + 7) for s in scores]
    here, there = margins(scores, rankings), margins(moved, rankings)
    assert accuracy(here, FAST) == accuracy(there, FAST)
    assert log_loss(here, FAST).value == pytest.approx(log_loss(there, FAST).value)


def test_the_interval_covers_the_planted_accuracy():
    truth = accuracy(margins(*made(10**6, 1.0, 20_000)), Bootstrap(draws=100)).value
    covered = 0
    for seed in range(100):
        found = accuracy(margins(*made(seed, 1.0, 80)), Bootstrap(draws=200, seed=seed))
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 100


def test_the_interval_of_the_calibration_error_covers_it():
    """A boaster by 2: what the error is was reckoned from 20,000 prompts."""
    truth = calibration(margins(*made(10**6, 2.0, 20_000)), how=Bootstrap(draws=100)).error
    covered, widths = 0, []
    for seed in range(100):
        found = calibration(margins(*made(seed, 2.0, 250)), how=Bootstrap(draws=200, seed=seed)).error_interval
        covered += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    assert 85 <= covered <= 100
    assert np.mean(widths) < 0.15


def test_the_calibration_error_draws_whole_prompts():
    """A prompt that is there forty times is one piece of news, and not forty."""
    scores, rankings = made(3, 2.0, 30)
    again = [r.model_copy(update={"labeler": f"ann{n}"}) for r in rankings for n in range(40)]
    one, forty = (calibration(margins(scores, some), how=FAST) for some in (rankings, again))
    assert one.error == pytest.approx(forty.error)
    assert (one.error_interval.low, one.error_interval.high) == pytest.approx(
        (forty.error_interval.low, forty.error_interval.high)
    )


@pytest.mark.parametrize("stretch", [0.5, 1.0, 3.0])
def test_the_temperature_is_what_scores_were_stretched_by(stretch):
    assert temperature(margins(*made(4, stretch, 4000))) == pytest.approx(stretch, rel=0.1)  # 4,000 pairs


def test_the_temperature_by_hand():
    # Margins 2, 2, 2, −2: ¾ come true, so σ(2/T) = ¾ and T = 2/log 3
    scores = [score("a", 2), score("b", 0)]
    rankings = [rank(f"p{i}", "ann", *("ab" if i else "ba")) for i in range(4)]
    assert temperature(margins(scores, rankings)) == pytest.approx(2 / math.log(3), rel=1e-4)
    assert temperature(margins(scores, rankings[1:])) == pytest.approx(
        0.01, rel=0.01
    )  # always right: as sure as may be


def test_doubt_by_hand():
    # Pairs (Δ, spread): (2, 1), (1, 3), (−1, 2). The wrong one has more spread than one of two right ones: ½. It is as
    # close as the second and closer than the first: (1 + ½)/2. Errors rank 1, 2, 3 and spreads 1, 3, 2: ρ = ½
    scores = [score(f"{i}{ab}", v, spread=s) for i, (d, s) in enumerate([(2, 1), (1, 3), (-1, 2)])
              for ab, v, s in (("a", d, s), ("b", 0, 0.0))]  # fmt: skip
    rankings = [Ranking(prompt_id=f"p{i}", labeler="ann", order=((f"{i}a",), (f"{i}b",))) for i in range(3)]
    found = doubt(margins(scores, rankings), FAST)
    assert found.wrong.value == 0.5
    assert found.closeness.value == 0.75
    assert found.correlation.value == pytest.approx(0.5)


def test_a_spread_that_knows_is_told_from_one_that_does_not():
    rng = np.random.default_rng(0)
    scores, rankings = made(5, 1.0, 400)
    value = {s.completion_id: s.value for s in scores}
    close = {i: abs(value[f"{i}a"] - value[f"{i}b"]) for i in range(400)}
    knows = [score(f"{i}{ab}", value[f"{i}{ab}"], spread=1 / (0.1 + close[i])) for i in range(400) for ab in "ab"]
    blind = [score(s.completion_id, s.value, spread=rng.random()) for s in scores]
    told, untold = (doubt(margins(some, rankings), FAST) for some in (knows, blind))
    assert told.wrong.low > 0.5
    assert told.wrong.value == pytest.approx(told.closeness.value)
    assert untold.wrong.low < 0.5 < untold.wrong.high
    assert untold.correlation.low < 0 < untold.correlation.high
    with pytest.raises(ValueError, match="these scores have no spread"):
        doubt(margins(scores, rankings))


def test_one_prompt_says_nothing_of_others():
    scores = [Score(completion_id=c, run_id="r", value=v, spread=v) for c, v in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    both = (("a",), ("b",), ("c",)), (("c",), ("b",), ("a",))
    said = [Ranking(prompt_id="p", labeler=who, order=order) for who, order in zip(("ann", "bob"), both, strict=True)]
    pairs = margins(scores, said)
    error, untold = calibration(pairs, how=FAST).error_interval, doubt(pairs, FAST)
    assert (error.low, error.high) == (0, 1)
    assert (untold.wrong.low, untold.wrong.high, untold.correlation.low) == (0, 1, -1)


def test_a_model_that_is_right_may_be_right():
    """What noise adds to the error it may have added to all of it; of people who choose by the scores there is none."""
    found = [calibration(margins(*made(seed, 1.0, 200)), how=FAST).error_interval for seed in range(60)]
    assert np.mean([one.value for one in found]) > 0.04
    assert np.mean([one.low == 0 for one in found]) >= 0.8

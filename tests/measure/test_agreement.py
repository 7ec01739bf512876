import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from biddable.measure.agreement import agreement, agreement_if_any, chance_level, meetings, of_two, word
from biddable.measure.interval import Bootstrap, Interval
from biddable.records import Ranking, Verdict

FAST = Bootstrap(draws=300)


def test_verdicts_are_rankings_of_two():
    """By hand: of p0's pair ann and ben say the same, in another order of the sides; of p1's they differ; p2's was
    judged by ann alone, twice; the truth and a hidden check are nobody's opinion. One of two, and a coin without ties
    reaches half."""

    def said(prompt: str, who: str | None, better: str, turned: bool = False, day: int = 1, **more) -> Verdict:
        a, b = (f"{prompt}-a", f"{prompt}-b")
        judge = "person" if who else "gold"
        sides = {"a": b, "b": a, "better": {"a": "b", "b": "a"}.get(better, better)} if turned else {
            "a": a, "b": b, "better": better
        }  # fmt: skip
        return Verdict(
            prompt_id=prompt, judge=judge, labeler=who, at=datetime(2026, 11, day, tzinfo=UTC), **sides, **more
        )

    verdicts = [
        said("p0", "ann", "a"), said("p0", "ben", "a", turned=True), said("p1", "ann", "a"), said("p1", "ben", "b"),
        said("p2", "ann", "a"), said("p2", "ann", "b", day=2), said("p2", None, "a"),
        said("p0", "cat", "b", extra=True),
    ]  # fmt: skip
    assert len(of_two(verdicts)) == 6  # ann's first word on p2, and the truth's, are not there
    found = agreement_if_any(of_two(verdicts))
    assert found is not None
    assert (found.value, found.chance, found.n, found.prompts) == (0.5, 0.5, 2, 2)
    assert agreement_if_any(of_two([said("p0", "ann", "tie"), said("p0", "ben", "a")])).value == 0.5
    assert agreement_if_any(of_two(verdicts[:1])) is None


def rank(prompt: str, labeler: str, *tiers: str) -> Ranking:
    """rank("p", "ann", "a", "bc") is a above b and c, who tie."""
    return Ranking(prompt_id=prompt, labeler=labeler, order=tuple(tuple(tier) for tier in tiers))


def simulated(seed: int, prompts: int, noise: float, labelers: int = 2, k: int = 4) -> list[Ranking]:
    """Labelers who see the truth (utility −1.5, −.5, .5, 1.5) through noise of that size; a random order at inf."""
    rng = np.random.default_rng(seed)
    truth = np.arange(k) - (k - 1) / 2
    rankings = []
    for prompt, labeler in itertools.product(range(prompts), range(labelers)):
        seen = rng.normal(size=k) if np.isinf(noise) else truth + noise * rng.normal(size=k)
        order = tuple((f"{prompt}-{i}",) for i in np.argsort(-seen))
        rankings.append(Ranking(prompt_id=f"p{prompt}", labeler=f"l{labeler}", order=order))
    return rankings


def test_by_hand():
    # pairs ab ac bc; ann: a>b, a>c, b=c; bob: a>b, c>a, c>b
    # strict: 1, 0, 0 → 1/3.  half: 1, 0, ½ → ½.  decided (ab, ac): ½.
    rankings = [rank("p", "ann", "a", "bc"), rank("p", "bob", "c", "a", "b")]
    assert agreement(rankings, ties="strict", how=FAST).value == pytest.approx(1 / 3)
    assert agreement(rankings, ties="half", how=FAST).value == pytest.approx(1 / 2)
    assert agreement(rankings, ties="decided", how=FAST).value == pytest.approx(1 / 2)


def test_only_answers_that_both_ranked_count():
    rankings = [rank("p", "ann", "a", "b", "c"), rank("p", "bob", "b", "c", "d")]
    assert [(m.one, m.other) for m in meetings(rankings)] == [(1, 1)]  # bc alone


def test_a_labeler_does_not_meet_herself():
    assert meetings([rank("p", "ann", "a", "b"), rank("p", "ann", "a", "b")]) == []


def test_chance_is_what_random_people_reach_with_as_many_ties():
    # by the slow definition: two independent answers, tie with probability t, else a coin
    for tie in (0.0, 0.2, 1.0):
        share = {-1: (1 - tie) / 2, 0: tie, 1: (1 - tie) / 2}
        both = list(itertools.product(share, share))
        strict = sum(share[a] * share[b] * (a == b) for a, b in both)
        half = sum(share[a] * share[b] * (1 if a == b else 0.5 if 0 in (a, b) else 0) for a, b in both)
        assert chance_level(tie, "strict") == pytest.approx(strict)
        assert chance_level(tie, "half") == pytest.approx(half)


def test_the_same_ranking_twice_agrees_fully_ties_and_all():
    rankings = [rank(f"p{i}", who, "a", "bc", "d") for i in range(30) for who in ("ann", "bob")]
    for ties in ("half", "strict", "decided"):
        found = agreement(rankings, ties=ties, how=FAST)
        assert (found.value, found.kappa, found.word) == (1, 1, "above chance")


def test_opposite_rankings_are_below_chance():
    rankings = [rank(f"p{i}", *who) for i in range(30) for who in (("ann", "a", "b"), ("bob", "b", "a"))]
    assert agreement(rankings, how=FAST).word == "below chance"


def test_labelers_who_answer_at_random_are_at_chance():
    words = [agreement(simulated(seed, 60, np.inf), how=FAST).word for seed in range(40)]
    assert words.count("at chance") >= 34  # 95 % of 40 is 38; fewer than 34 is one in 500
    found = agreement(simulated(0, 300, np.inf), how=FAST)
    assert abs(found.value - 0.5) < 0.05
    assert abs(found.kappa) < 0.1


def test_the_interval_covers_the_planted_agreement():
    truth = agreement(simulated(10**6, 4000, 1.5), how=Bootstrap(draws=100)).value
    covered = 0
    for seed in range(100):
        found = agreement(simulated(seed, 50, 1.5), how=Bootstrap(draws=200, seed=seed))
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 100


def test_groups():
    groups = {"ann": "training", "bob": "training", "eve": "held_out"}
    rankings = [rank("p", "ann", "a", "b"), rank("p", "bob", "a", "b"), rank("p", "eve", "b", "a")]
    assert agreement(rankings, groups, ("training", "training"), how=FAST).value == 1
    assert agreement(rankings, groups, ("held_out", "training"), how=FAST).value == 0
    with pytest.raises(ValueError, match="group of each labeler"):
        agreement(rankings, None, ("training", "training"))


def test_nobody_met_is_said():
    with pytest.raises(ValueError, match="no two labelers"):
        agreement([rank("p", "ann", "a", "b"), rank("q", "bob", "c", "d")])


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.55, 0.7, "above chance"), (0.45, 0.7, "at chance"), (0.1, 0.4, "below chance")]
)
def test_the_word_needs_the_whole_interval(low, high, said):
    assert word(Interval(value=(low + high) / 2, low=low, high=high, n=9), 0.5) == said


def test_there_is_no_agreement_where_nobody_met():
    assert agreement_if_any([rank("p", "ann", "a", "b"), rank("q", "bob", "a", "b")]) is None
    assert agreement_if_any([]) is None
    assert agreement_if_any([rank("p", "ann", "a", "b"), rank("p", "bob", "a", "b")]).value == 1

"""Shares from sums, the sequential test of checks, the planning calculator and disputes, by hand."""

import math
import random

import numpy as np
import pytest

from biddable.measure.checks import matches, overlap, sequential
from biddable.measure.disputes import disputes, surprise
from biddable.measure.interval import bootstrap
from biddable.measure.planning import need, parts, plan
from biddable.measure.screening import flag_agreement
from biddable.measure.shares import NOTHING, Sums, share
from biddable.records import Ranking


def sums(hits, tries) -> Sums:
    w, m = np.array(hits, float), np.array(tries, float)
    return Sums(len(w), w.sum(), m.sum(), (w * w).sum(), (w * m).sum(), (m * m).sum())


def test_a_share_by_hand():
    found = share(sums([2, 1], [2, 2]))
    # p = 3/4; residuals ½ and −½, so V = 2/1 · ½ / 16 = 1/16; t₁(0.975) = 12.706: ± 3.18, cut at the ends of the scale
    assert (found.value, found.low, found.high) == (0.75, 0.0, 1.0)
    many = share(sums([2, 1] * 50, [2, 2] * 50))
    # V = 100/99 · 100 · ¼ / 200² = 6.313e-4, √ = 0.025126, t₉₉ = 1.98422
    assert many.high - many.value == pytest.approx(0.025126 * 1.98422, rel=1e-4)


def test_a_share_of_nothing_or_of_one_ranking_has_no_interval():
    assert share(NOTHING) is None
    assert share(sums([2], [3])) is None
    assert share(sums([5, 5], [5, 5])).high == 1.0


def test_shares_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        lean = rng.beta(20, 20, size=60)  # each ranking has its own share: its pairs are alike
        found = share(sums(rng.binomial(6, lean), np.full(60, 6)))
        covered += found.low <= 0.5 <= found.high
    assert 0.925 <= covered / 600 <= 0.975  # 95 % ± 2.8 standard errors


def test_the_sequential_test_decides_where_wald_says():
    # ln(0.65/0.85) = −0.26826 a right one; the lower bound ln(0.1/0.95) = −2.2513 is passed by the ninth
    assert sequential([True] * 8).word == "go on"
    assert sequential([True] * 9) == ("good", 9, 9, 9)
    # ln(0.35/0.15) = 0.84730 a wrong one; the upper bound ln(0.9/0.05) = 2.8904 by the fourth
    assert sequential([False] * 3).word == "go on"
    assert sequential([False] * 4) == ("doubtful", 0, 4, 4)
    assert sequential([False] * 4 + [True] * 90).word == "doubtful"  # the first decision stands


@pytest.mark.parametrize(("p", "wrong", "bound"), [(0.85, "doubtful", 0.05), (0.65, "good", 0.1)])
def test_the_sequential_test_is_wrong_as_seldom_as_it_says(p, wrong, bound):
    rng = random.Random(0)
    found = [sequential(rng.random() < p for _ in range(400)) for _ in range(2000)]
    rate = sum(one.word == wrong for one in found) / 2000
    assert rate <= bound + 3 * math.sqrt(bound * (1 - bound) / 2000)
    assert 10 < sum(one.decided_after or 400 for one in found) / 2000 < 30  # about twenty


def test_a_tie_is_half_right_and_a_known_tie_is_not_asked():
    known = (("a",), ("b", "c"))
    assert overlap(known, (("a",), ("b",), ("c",))) == (2.0, 2)
    assert overlap(known, (("a", "b"), ("c",))) == (1.5, 2)
    assert overlap(known, (("b",), ("a",), ("c",))) == (1.0, 2)
    assert matches(known, (("a", "b"), ("c",)))  # 3/4
    assert not matches(known, (("b",), ("a",), ("c",)))
    assert not matches((("a", "b"),), (("a",), ("b",)))


def test_the_plan_by_hand():
    found = plan(0.03, 0.73, 4, 0.0, seconds=60, hourly=10)
    # z² p q / h² = 3.841459 · 0.1971 / 0.0009 = 841.28; / 6 pairs = 140.2
    assert (found.pairs, found.prompts, found.labels) == (842, 141, 282)
    assert (found.hours, found.pay) == (pytest.approx(4.7), pytest.approx(47.0))
    alike = plan(0.03, 0.73, 4, 1.0)
    assert alike.prompts == 842  # every pair says what the first said
    with pytest.raises(ValueError, match="half"):
        plan(0.5)


def test_disputes_are_ordered_by_how_far_people_are_apart():
    def ranking(prompt, who, *order):
        return Ranking(prompt_id=prompt, labeler=who, order=order)

    said = [
        ranking("same", "x", ("a",), ("b",)), ranking("same", "y", ("a",), ("b",)),
        ranking("tie", "x", ("a",), ("b",)), ranking("tie", "y", ("a", "b")),
        ranking("turned", "x", ("a",), ("b",)), ranking("turned", "y", ("b",), ("a",)),
    ]  # fmt: skip
    found = disputes(said, {})
    assert [(one.prompt_id, one.disagreement) for one in found] == [("turned", 1.0), ("tie", 0.5)]
    assert surprise(said[:1], {"a": 0.0, "b": 0.0}) == pytest.approx(math.log(2))  # −log σ(0)
    assert surprise(said[:1], {"a": -1000.0, "b": 0.0}) == pytest.approx(1000)  # and no overflow
    assert surprise(said[:1], {"a": 1.0}) is None


def test_a_divided_team_of_researchers_is_no_key():
    assert flag_agreement(True, [True, True, False]) == 1.0
    assert flag_agreement(False, [True, True, False]) == 0.0
    assert flag_agreement(True, [True, False]) is None
    assert flag_agreement(True, []) is None


def test_how_many_more_verdicts_by_hand():
    # 100 verdicts, one a prompt and one a person, half of them 1: V = (1/4)/99, the unbiased one
    value, each = [0.0, 1.0] * 50, [str(n) for n in range(100)]
    found = need(value, each, ["gold"] * 100, half=0.05)
    variance = 0.25 / 99
    # n' = n V (1.96/0.05)² = 388.04 → 289 more; no difference was seen, so nothing would show one
    assert found.narrow_same == math.ceil(100 * variance * (1.959964 / 0.05) ** 2) - 100 == 289
    assert found.seen_same is None
    assert found.design == pytest.approx(1)


def test_how_many_more_until_the_difference_is_found():
    value = [1.0] * 60 + [0.0] * 40
    found = need(value, [str(n) for n in range(100)], ["gold"] * 100, half=0.2, power=0.8)
    # d = 0.1, z's 1.959964 + 0.841621: n' = n V (2.801585/0.1)², V = 0.24/99
    assert found.seen_same == math.ceil(100 * 0.24 / 99 * (2.801585 / 0.1) ** 2) - 100
    assert found.narrow_same == 0  # ± 9.6 points is there already


def test_copies_of_a_prompt_are_no_news():
    value, prompts = [0.0, 1.0] * 50, [str(n) for n in range(100)]
    once = need(value, prompts, ["gold"] * 100)
    twice = need([v for v in value for _ in "ab"], [p for p in prompts for _ in "ab"], ["gold"] * 200)
    assert twice.design == pytest.approx(2, rel=0.02)
    assert twice.narrow_same == pytest.approx(2 * once.narrow_same, rel=0.01)


def test_the_same_people_asked_for_ever_cannot_settle_what_people_differ_in():
    # four people, two always say 1 and two always 0: 100 prompts each tell nothing that 1000 would not
    value = [float(who < 2) for who in range(4) for _ in range(100)]
    people = [str(who) for who in range(4) for _ in range(100)]
    prompts = [str(n) for n in range(400)]
    found = parts(value, prompts, people)
    assert found.of_people > 10 * found.of_verdicts
    asked = need(value, prompts, people, half=0.05)
    assert asked.narrow_same is None
    assert asked.narrow_new > 1000


def test_three_people_are_not_enough_because_they_differ_little():
    """Three people of whom one differs: the interval holds one half, so zero more can settle nothing."""
    rng = np.random.default_rng(67)
    value = (rng.random(60) < 0.5 + np.array([-0.1, 0.3, 0.3])[np.arange(60) % 3]).astype(float)
    prompts, people = [str(n) for n in range(60)], [str(n % 3) for n in range(60)]
    found = bootstrap(value, prompts, people)
    assert found.low < 0.5 < found.high
    asked = need(value, prompts, people)
    assert asked.seen_same is None or asked.seen_same > 0
    assert asked.seen_new > 0


def test_more_verdicts_bring_the_width_that_was_foretold():
    from preference_worlds import STRENGTH, tournament

    from biddable.measure.interval import Bootstrap
    from biddable.measure.winrate import outcome, win_rate

    rng = np.random.default_rng(5)
    some, models = tournament(rng, STRENGTH, 150, 20, 2)
    told = [(v, value) for v in some if (value := outcome(v, models, "ppo", "sft", "half")) is not None]
    asked = need([x for _, x in told], [v.prompt_id for v, _ in told], [v.labeler for v, _ in told], half=0.03)
    prompts = (len(told) + asked.narrow_new) // 2
    widths = []
    for _ in range(5):
        found = win_rate(*tournament(rng, {m: STRENGTH[m] for m in ("ppo", "sft")}, prompts, 20 * prompts // 150, 2),
                         "ppo", "sft", how=Bootstrap(draws=400))  # fmt: skip
        widths.append((found.high - found.low) / 2)
    assert np.mean(widths) == pytest.approx(0.03, rel=0.15)  # of a variance guessed from 150 prompts

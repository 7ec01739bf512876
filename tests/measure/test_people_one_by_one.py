"""Leave-one-out agreement, Dawid and Skene, and signs: by hand, by slow definitions, and by their laws."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from scipy.special import expit, logit

from biddable.measure import signs
from biddable.measure.agreement import agreement
from biddable.measure.alike import agreed, beyond_these, halves, leave_one_out, meetings, sums_of_each, towards
from biddable.measure.dawid_skene import dawid_skene, skills
from biddable.measure.interval import Bootstrap
from biddable.measure.said import answers, pairs
from biddable.measure.shares import Sums
from biddable.records import Ranking

FAST = Bootstrap(draws=300)


def rank(prompt: str, labeler: str, *tiers: str) -> Ranking:
    return Ranking(prompt_id=prompt, labeler=labeler, order=tuple(tuple(tier) for tier in tiers))


def noisy(seed: int, prompts: int = 80, noise: tuple[float, ...] = (0.6, 0.6, 1.0, 3.0)) -> list[Ranking]:
    rng = np.random.default_rng(seed)
    found = []
    for p in range(prompts):
        for who, much in enumerate(noise):
            felt = np.arange(4) + much * rng.normal(size=4)
            found.append(rank(f"p{p}", f"l{who}", *("abcd"[k] for k in np.argsort(-felt))))
    return found


@pytest.mark.parametrize(("half", "ties"), [(True, "half"), (False, "strict")])
def test_agreement_is_the_same_from_counts_as_from_each_meeting(half, ties):
    rankings = [*noisy(0, 30), rank("p0", "m", "ab", "cd"), rank("p1", "m", "a", "bcd"), rank("q", "m", "a", "b")]
    ours, slow = agreed(pairs(rankings), half, FAST), agreement(rankings, ties=ties, how=FAST)
    assert (ours.value, ours.n) == (pytest.approx(slow.value), slow.n)
    assert (ours.low, ours.high) == pytest.approx((slow.low, slow.high), abs=0.02)
    assert beyond_these(pairs(rankings), half).value == pytest.approx(slow.value)


def test_leave_one_out_by_hand():
    # pairs ab ac bc. ann: > > >; bob: > > =; cy: < > >. With half credit ann meets bob: 1 1 ½, cy: 0 1 1: 4.5 of 6;
    # bob meets ann: 2.5, cy: 0 1 ½: 4 of 6; cy: 2 + 1.5 = 3.5 of 6
    rankings = [rank("p", "ann", "a", "b", "c"), rank("p", "bob", "a", "bc"), rank("p", "cy", "b", "a", "c")]
    found = sums_of_each(pairs(rankings), *meetings(pairs(rankings)))
    assert {name: (one.clusters, one.hits, one.tries) for name, one in found.items()} == {
        "ann": (1, 4.5, 6), "bob": (1, 4, 6), "cy": (1, 3.5, 6),
    }  # fmt: skip
    assert leave_one_out(pairs(rankings)) == []  # one prompt is no ground for a word on a person


def test_who_strays_agrees_least_and_few_prompts_are_drawn_further():
    found = {one.labeler: one for one in leave_one_out(pairs(noisy(1)))}
    assert min(found.values(), key=lambda one: one.drawn.value).labeler == "l3"
    assert found["l3"].drawn.high < found["l0"].drawn.low
    few = [r for r in noisy(1) if r.labeler != "l3" or r.prompt_id in ("p1", "p2", "p3")]
    short = {one.labeler: one for one in leave_one_out(pairs(few))}["l3"]
    assert short.drawn.value - short.own > found["l3"].drawn.value - found["l3"].own
    assert short.drawn.high - short.drawn.low > found["l3"].drawn.high - found["l3"].drawn.low


def test_towards_is_rubin_s_eight_schools():
    # Gelman et al. 2013, table 5.2 and 5.3: effects and their errors; posterior medians 10 8 7 8 5 6 10 8
    effect, error = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
    # towards is for shares: a hundredth, and from the middle
    found = towards(np.array(effect) / 200 + 0.5, (np.array(error) / 200) ** 2)
    assert [round((one.value - 0.5) * 200) for one in found] == pytest.approx([11, 8, 6, 8, 5, 6, 10, 8], abs=1)
    assert ((found[0].low - 0.5) * 200, (found[0].high - 0.5) * 200) == pytest.approx((-2, 31), abs=2)  # his figures


def test_a_team_that_is_all_alike_is_drawn_together_and_two_are_not_drawn():
    found = towards(np.array([0.7, 0.7, 0.7, 0.7]), np.full(4, 0.01))
    assert all(0.5 < one.low < 0.65 and one.value == pytest.approx(0.7) for one in found)
    alone = towards(np.array([0.5, 0.9]), np.full(2, 0.0001))
    assert [one.value for one in alone] == [0.5, 0.9]
    assert alone[0].high - alone[0].low == pytest.approx(2 * 1.96 * 0.01, abs=1e-4)


def test_the_newer_half_is_the_newer_half():
    rankings = noisy(2, 10, (0.5, 0.5))
    said = pairs(rankings)
    newer, older = halves(said, said.prompt_I[said.item_N].astype(float))["l0"]
    assert (newer.clusters, older.clusters) == (5, 5)
    hits, tries = meetings(said)
    mine = (said.labeler_N == 0) & (said.prompt_I[said.item_N] >= 5)
    # of each meeting the other's agreement with everybody, here with l0 alone, is taken off
    other = hits[said.labeler_N == 1].sum() / tries[said.labeler_N == 1].sum()
    assert newer.tries == tries[mine].sum() == 30
    assert newer.hits == pytest.approx(hits[mine].sum() - 30 * other)


def test_who_meets_careless_people_later_has_not_changed():
    rankings = noisy(5, 200, (0.5, 0.5, 0.5, 6.0))
    met = [r for r in rankings if r.labeler != "l3" or int(r.prompt_id[1:]) >= 100]  # l3 comes when half is done
    said = pairs(met)
    when = np.array([int(name[1:]) for name in sorted({r.prompt_id for r in met})])[said.prompt_I[said.item_N]]
    for newer, older in (halves(said, when.astype(float))[name] for name in ("l0", "l1", "l2")):
        assert signs.drift(newer, older)[0] > 0.05


def test_one_who_leans_to_the_longer_makes_nobody_else_look_odd():
    def prefers(share: float, rankings: int = 200) -> Sums:  # of six pairs each, one more or less by turns
        w = 6 * share
        return Sums(rankings, rankings * w, rankings * 6, rankings * (w * w + 1), rankings * 6 * w, rankings * 36)

    plain = [prefers(share) for share in (0.49, 0.5, 0.5, 0.51)]
    assert signs.length(prefers(0.5), [*plain, prefers(0.9)])[0] > 0.9
    assert signs.length(prefers(0.9), [*plain, prefers(0.5)])[0] < 1e-6
    assert signs.length(prefers(0.9), plain[:2]) is None  # of so few, either may be the odd one


# Dawid and Skene.


def slow_em(rows, people: int, rounds: int):
    """Their equations 2.3 to 2.5 as they are printed, for two classes and three things to say; `rows` are (item,
    person, value). Each item is there twice, named both ways round, so that it cannot matter which answer is first."""
    items = max(i for i, _, _ in rows) + 1
    rows = [*rows, *((items + i, w, 2 - v) for i, w, v in rows)]
    said = [[v for i, _, v in rows if i == item] for item in range(2 * items)]
    truth = [[sum((1, 0.5, 0)[v if c == 0 else 2 - v] for v in some) / len(some) for c in (0, 1)] for some in said]
    for _ in range(rounds):
        p = [sum(one[c] for one in truth) / len(truth) for c in (0, 1)]
        says = {}
        for who, c in itertools.product(range(people), (0, 1)):
            told = [sum(truth[i][c] for i, w, v in rows if w == who and v == value) for value in range(3)]
            for value in range(3):
                says[who, c, value] = told[value] / sum(told)
        for item in range(len(truth)):
            odds = [p[c] * math.prod(says[w, c, v] for i, w, v in rows if i == item) for c in (0, 1)]
            truth[item] = [one / sum(odds) for one in odds]
    skill = [says[who, 0, 0] + says[who, 0, 1] / 2 for who in range(people)]
    return [one[0] for one in truth[:items]], skill


RIGHT, TIES = (0.9, 0.8, 0.75, 0.55), (0.1, 0.0, 0.3, 0.2)
SKILL = [a * (1 - t) + t / 2 for a, t in zip(RIGHT, TIES, strict=True)]


def crowd(seed: int, items: int = 60):
    """Pairs of which the first is the better one where `truth` is 1, and what four people say of each."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < 0.5
    said = [
        (i, w, 1 if rng.random() < t else 2 * int(truth[i] == (rng.random() > a)))
        for i in range(items) for w, (a, t) in enumerate(zip(RIGHT, TIES, strict=True))
    ]  # fmt: skip
    return truth, said


def told(rows, values: int = 3, together: int = 1):
    """So many items, one after the other, are of one prompt."""
    return answers([(f"{i // together:05}", f"{i:05}", f"{w}", v) for i, w, v in rows], values)


def test_dawid_skene_is_its_slow_definition():
    _, rows = crowd(0, 30)
    truth, skill = slow_em(rows, 4, 12)
    ours = dawid_skene(told(rows), rounds=11, prior=1e-12, close=0)
    np.testing.assert_allclose(expit(ours.voice_IL @ logit(ours.right_L)), truth, atol=1e-9)
    np.testing.assert_allclose(ours.skill_L, skill, atol=1e-9)


def test_dawid_skene_finds_truth_and_skill_better_than_a_majority():
    truth, rows = crowd(1, 5000)
    ours = dawid_skene(told(rows))
    np.testing.assert_allclose(ours.skill_L, SKILL, atol=0.03)
    score = np.bincount([i for i, _, _ in rows], weights=[1 - v for _, _, v in rows])
    majority = np.mean(np.where(score == 0, 0.5, (score > 0) == truth))
    assert np.mean((ours.truth_I > 0.5) == truth) > majority + 0.02


def test_of_pairs_it_does_not_matter_which_answer_is_named_first():
    rankings = noisy(3, 60)
    swap = str.maketrans("abcd", "dcba")
    turned = [rank(r.prompt_id, r.labeler, *(tier[0].translate(swap) for tier in r.order)) for r in rankings]
    one, other = (dawid_skene(pairs(some)) for some in (rankings, turned))
    np.testing.assert_allclose(one.skill_L, other.skill_L, atol=1e-6)


def test_the_interval_is_that_of_fitting_again_without_each_prompt():
    _, rows = crowd(2, 240)
    rows = [row for row in rows if (row[0] // 6 + row[1]) % 4]  # three people a prompt of six pairs
    found, skill_L = skills(told(rows, together=6)), dawid_skene(told(rows, together=6)).skill_L
    without = [dawid_skene(told([r for r in rows if r[0] // 6 != p], together=6)).skill_L for p in range(40)]
    error_L = np.sqrt(39 / 40 * np.sum((np.array(without) - skill_L) ** 2, axis=0))
    for w, one in enumerate(found.values()):
        half = scipy.stats.t.ppf(0.975, 29) * error_L[w] / (one.value * (1 - one.value))
        ends = logit(one.low), logit(one.high)
        assert ends == pytest.approx((logit(one.value) - half, logit(one.value) + half), abs=0.02 * half)


def test_who_always_goes_with_the_others_may_still_err():
    found = skills(told([(i, w, 0) for i in range(100) for w in range(3)]))
    assert all(0.9 < one.low < 0.98 < one.high for one in found.values())
    tied = skills(told([(i, w, 1) for i in range(100) for w in range(3)]))
    assert all((one.value, one.low, one.high) == (0.5, 0, 1) for one in tied.values())


# Signs.


def test_discoveries_are_benjamini_and_hochberg_s_example():
    # Benjamini and Hochberg 1995, section 3.2: fifteen p-values, at .05 the four least are rejected
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.324,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1,
    ]
    assert signs.discoveries(p) == [True] * 4 + [False] * 11
    theirs = scipy.stats.false_discovery_control(p)
    assert signs.discoveries(p) == [x <= 0.05 for x in theirs]
    assert signs.discoveries([]) == []


def test_a_lean_is_held_against_its_margin():
    # 400 rankings, of 6 pairs each: 3.6 first, spread 1.5 → p = .6, s = .25/20 = .0125
    sums = Sums(400, 1440, 2400, 400 * (3.6**2 + 1.5**2), 400 * 6 * 3.6, 400 * 36)
    p, off = signs.place(sums)
    s = 0.25 / 20 * (400 / 399) ** 0.5
    slow = scipy.stats.t.sf((0.1 - 0.02) / s, 399) + scipy.stats.t.sf((0.1 + 0.02) / s, 399)
    assert (p, off) == (pytest.approx(slow), pytest.approx(0.1))
    assert signs.place(sums._replace(clusters=19)) is None  # too few for a word
    assert signs.place(Sums(30, 180, 180, 1080, 1080, 1080))[0] == pytest.approx(2 * 0.52**30)


def test_a_lean_in_comparisons_is_that_of_a_coin():
    p, off = signs.place_of_two(Sums(40, 28, 40, 28, 28, 40))  # edge of the room: .52 or .48
    assert p == pytest.approx(scipy.stats.binom.sf(27, 40, 0.52) + scipy.stats.binom.cdf(12, 40, 0.52))
    assert off == pytest.approx(0.2)
    assert signs.place_of_two(Sums(40, 12, 40, 12, 12, 40)) == (pytest.approx(p), pytest.approx(-0.2))
    assert signs.place_of_two(Sums(25, 19, 19, 19, 19, 19)) is None  # the others are ties
    assert signs.place_of_two(Sums(40, 20, 40, 20, 20, 40))[0] == 1


def test_the_order_of_the_screen_by_hand():
    # 48 rankings of 4: two by chance. P(X ≥ 8) of a binomial with 1/24
    p, share = signs.as_shown(8, {6: 48})
    assert (p, share) == (pytest.approx(scipy.stats.binom.sf(7, 48, 1 / 24)), 8 / 48)
    assert signs.as_shown(1, {6: 19}) is None


def test_the_same_order_again_and_again_by_hand():
    p, share = signs.same_order({(1, 0, 2, 3): 12, (3, 2, 1, 0): 2}, {6: 48})
    assert p == pytest.approx(24 * 8 * scipy.stats.binom.sf(11, 48, 1 / 24))
    assert share == 12 / 48
    # one tie: 12 arrangements; all tied: one, so nothing to be seen
    assert signs.same_order({(0, 0, 1, 2): 12}, {6: 48})[0] == pytest.approx(
        12 * 8 * scipy.stats.binom.sf(11, 48, 1 / 12)
    )
    assert signs.same_order({(0, 0, 0, 0): 48}, {6: 48}) == (1.0, 1.0)


def test_too_fast_lets_one_in_twenty_pass():
    p, share = signs.too_fast(10, 100)
    assert (p, share) == (pytest.approx(scipy.stats.binom.sf(9, 100, 0.05)), 0.1)
    assert signs.too_fast(0, 100)[0] == 1.0
    assert signs.too_fast(19, 19) is None


def test_who_agrees_more_than_before_is_no_sign():
    better, worse = Sums(50, 80, 100, 140, 160, 200), Sums(50, 50, 100, 62, 100, 200)
    assert signs.drift(better, worse)[0] > 0.99
    assert signs.drift(worse, better)[0] < 0.001

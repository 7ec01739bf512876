"""What a judge is worth: by hand, and with judges of planted faults in simulated worlds."""

import numpy as np
import pytest
from preference_worlds import tournament

from biddable.measure.interval import Bootstrap
from biddable.measure.judges import Both, agreement, helped_by, in_both_orders, judged, of_scores
from biddable.measure.winrate import win_rate
from biddable.records import Score, Verdict

FAST = Bootstrap(draws=200)
MODELS = {f"{m}{i}": m for m in "xy" for i in range(400)}
LENGTH = dict.fromkeys(MODELS, 10)


def said(n: int, better: str, judge="model", who: str = "j", shown="ab", turned=False) -> Verdict:
    """Of x and y; `turned` names y first, as another road may."""
    a, b = (f"y{n}", f"x{n}") if turned else (f"x{n}", f"y{n}")
    return Verdict(prompt_id=f"p{n}", a=a, b=b, better=better, judge=judge, labeler=who, shown=shown)


def both_ways(n: int, first: str, second: str) -> list[Verdict]:
    return [said(n, first, shown="ab"), said(n, second, shown="ba")]


def test_both_orders_by_hand():
    told = [*both_ways(0, "a", "a"), *both_ways(1, "a", "b"), *both_ways(2, "a", "tie"), said(3, "b")]
    both, alone = in_both_orders(told)
    assert both == [
        Both(("p0", "x0", "y0"), 1.0, False),
        Both(("p1", "x1", "y1"), 0.5, True),  # first shown both times: a tie
        Both(("p2", "x2", "y2"), 0.75, True),
    ]
    assert [one.better for one in both] == ["a", "tie", "a"]
    assert alone == 1


def test_the_same_order_under_two_names_is_one_order():
    # x shown first both times: once as a of "ab", once as b of "ba"
    both, alone = in_both_orders([said(0, "a", shown="ab"), said(0, "b", shown="ba", turned=True)])
    assert (both, alone) == ([], 1)


def test_agreement_by_hand():
    both = [Both((f"p{n}", f"x{n}", f"y{n}"), value, False) for n, value in enumerate([1.0, 1.0, 0.5, 0.0])]
    people = [
        said(0, "a", "person", "ann"), said(1, "b", "person", "ann"), said(2, "a", "person", "eve"),
        said(3, "a", "person", "eve", turned=True),
    ]  # fmt: skip
    # the same, the opposite, a tie against a choice, and the same (y named first): (1 + 0 + ½ + 1)/4
    found, chance = agreement(both, people, FAST)
    assert found.value == 2.5 / 4
    assert chance == 0.5  # no person tied
    assert agreement(both, [said(9, "a", "person", "ann")], FAST) == (None, 0.5)


def test_the_chance_of_two_who_tie_by_hand():
    both = [Both((f"p{n}", f"x{n}", f"y{n}"), 0.5 if n < 2 else 1.0, False) for n in range(4)]
    people = [said(n, "tie" if n == 0 else "a", "person", "ann") for n in range(4)]
    assert agreement(both, people, FAST)[1] == (1 + 0.5 * 0.25) / 2  # half of its own are ties, a quarter of hers


def test_how_far_behind_another_person_by_hand():
    # p0: ann and eve agree, the judge with both; p1: they differ, the judge is with ann: 3/4 − 1/2
    people = [said(n, better, "person", who) for n, who, better in
              ((0, "ann", "a"), (0, "eve", "a"), (1, "ann", "a"), (1, "eve", "b"))]  # fmt: skip
    told = [*both_ways(0, "a", "a"), *both_ways(1, "a", "a")]
    found = judged("j", told, people, MODELS, [("x", "y")], LENGTH, how=FAST)
    assert found.behind.value == pytest.approx(0.25)
    assert (found.agrees.value, found.people.value) == (0.75, 0.5)


def test_a_coin_that_ties_as_often_by_brute_force():
    rng = np.random.default_rng(0)
    sides = ["a", "b", "tie"]
    mine, theirs = rng.choice(sides, 20_000, p=[0.3, 0.3, 0.4]), rng.choice(sides, 20_000, p=[0.4, 0.4, 0.2])
    credit = np.where(mine == theirs, 1.0, np.where((mine == "tie") | (theirs == "tie"), 0.5, 0.0))
    assert credit.mean() == pytest.approx((1 + 0.4 * 0.2) / 2, abs=0.01)


def judge_of(people: list[Verdict], rng, right: float = 1.0, first: float = 0.0) -> list[Verdict]:
    """A judge that says what a person said, or, with chance `first`, prefers what it saw first, or errs."""
    made = []
    for verdict in {v.prompt_id: v for v in people}.values():
        err = rng.random() >= right
        for shown in ("ab", "ba"):
            better = verdict.better if not err else {"a": "b", "b": "a"}.get(verdict.better, "tie")
            if rng.random() < first:
                better = shown[0]
            made.append(verdict.model_copy(update={"judge": "model", "labeler": "j", "shown": shown, "better": better}))
    return made


def crowd(rng, prompts: int, gap: float = 0.8, people: int = 8, each: int = 2):
    verdicts, models = tournament(rng, {"x": gap, "y": 0.0}, prompts, people, each, of_prompt=1.5)
    return verdicts, models, dict.fromkeys(models, 10)


def test_a_truthful_judge_and_one_that_looks_at_places():
    rng = np.random.default_rng(1)
    people, models, length = crowd(rng, 150)
    good = judged("good", judge_of(people, rng), people, models, [("x", "y")], length, how=FAST)
    swayed = judged("swayed", judge_of(people, rng, first=0.9), people, models, [("x", "y")], length, how=FAST)
    assert good.word == "above chance"
    assert good.agrees.value > good.people.value  # it says what one of the two said
    assert good.flipped.value == 0
    assert good.behind.low > 0
    assert swayed.flipped.value > 0.6
    assert swayed.first.low > 0.8
    assert abs(swayed.rates["x_vs_y"].value - 0.5) < abs(good.rates["x_vs_y"].value - 0.5)


def test_nobody_to_check_against():
    found = judged("j", both_ways(0, "a", "a"), [], MODELS, [("x", "y")], LENGTH, how=FAST)
    assert found.word == "not checked against people"
    assert (found.agrees, found.people, found.common, found.helped) == (None, None, 0, {})
    assert found.rates["x_vs_y"].value == 1


def test_a_judge_that_tosses_a_coin_is_no_better_than_chance():
    rng = np.random.default_rng(2)
    people, models, length = crowd(rng, 200)
    tossed = [v.model_copy(update={"better": rng.choice(["a", "b", "tie"])}) for v in judge_of(people, rng)]
    coin = judged("coin", tossed, people, models, [("x", "y")], length, how=FAST)
    assert coin.word == "no better than chance"


def test_only_pairs_in_both_orders_count():
    told = [*both_ways(0, "a", "a"), said(1, "b")]
    found = judged("j", told, [], MODELS, [("x", "y")], LENGTH, how=FAST)
    assert (found.pairs, found.alone, found.rates["x_vs_y"].value) == (1, 1, 1.0)


def test_scores_as_verdicts():
    told = (
        ("x0", 1.0, 0.3),
        ("y0", 0.4, 0.4),
        ("x1", 1.0, 0.3),
        ("y1", 0.6, 0.4),
        ("x2", 0.0, None),
        ("y2", 0.1, None),
    )
    scores = [Score(completion_id=c, run_id="reward", value=v, spread=s) for c, v, s in told]
    pairs = [(f"p{n}", f"x{n}", f"y{n}") for n in range(4)]
    # 0.6 > √(.09 + .16) = 0.5; 0.4 is not; without a spread the higher; the fourth was not scored
    assert [v.better for v in of_scores(scores, pairs)] == ["a", "tie", "b"]
    assert {v.judge for v in of_scores(scores, pairs)} == {"model"}


# What people would say of all pairs, with the judge's help


def test_help_by_hand():
    """Two of four pairs were seen by people: λ f̄ + mean(y − λ f), λ = cov(y, f)/var f."""
    own = [(Both((f"p{n}", f"x{n}", f"y{n}"), f, False), f) for n, f in enumerate([1.0, 0.0, 1.0, 0.0])]
    people = [said(0, "a", "person", "ann"), said(1, "b", "person", "ann")]
    # y = f = 1, 0: cov ¼, var ¼, so λ = 1; with three of the four f's 1 it is 3/4 + 0
    more = [*own[:3], (own[3][0], 1.0)]
    assert helped_by(own, people, MODELS, "x", FAST).value == pytest.approx(0.5)
    assert helped_by(more, people, MODELS, "x", FAST).value == pytest.approx(0.75)
    wrong = [(one, 1 - f) for one, f in own]
    # cov < 0: it is not listened to
    assert helped_by(wrong, people, MODELS, "x", FAST).value == pytest.approx(0.5)


def test_help_weighs_what_was_likelier_to_be_asked():
    """Pairs on which people would say y were asked about half as often: each of these stands for two."""
    own = [(Both((f"p{n}", f"x{n}", f"y{n}"), 0.5, False), 0.5) for n in range(40)]
    told = [(n, "b" if n < 10 else "a", 0.5 if n < 10 else 1.0) for n in range(30)]
    people = [said(n, better, "person", f"l{n % 5}").model_copy(update={"propensity": p}) for n, better, p in told]
    # the judge says nothing: 20 of 20 + 2 · 10
    assert helped_by(own, people, MODELS, "x", FAST).value == pytest.approx(0.5)


def test_help_by_few_people_who_differ_holds_the_truth():
    """Six people of normal tastes said 100 of the 150 pairs that a judge saw, which is right about nine in ten."""
    rng, held = np.random.default_rng(1), []
    for _ in range(400):
        base, taste = rng.random(150) < 0.6, 0.2 * rng.standard_normal(6)
        judge = np.where(rng.random(150) < 0.9, base, ~base).astype(float).tolist()
        own = [(Both((f"p{n:03}", f"x{n}", f"y{n}"), f, False), f) for n, f in enumerate(judge)]
        who = rng.integers(6, size=100)
        wins = rng.random(100) < np.where(base[:100], 0.7, 0.3) + taste[who]
        people = [
            said(n, "a" if won else "b", "person", f"l{who[n]}").model_copy(update={"prompt_id": f"p{n:03}"})
            for n, won in enumerate(wins)
        ]
        found = helped_by(own, people, MODELS, "x", FAST)
        held.append(found.low <= 0.6 * 0.7 + 0.4 * 0.3 <= found.high)
    assert 0.925 <= np.mean(held) <= 0.98


def test_help_is_right_however_wrong_the_judge_is_and_narrow_where_it_is_right():
    """People saw 60 of 400 pairs. The truth is what people say of all 400."""
    rng, held, widths = np.random.default_rng(3), {0.95: [], 0.5: []}, {0.95: [], 0.5: [], "alone": []}
    for _ in range(60):
        people, models, _ = crowd(rng, 400, people=30, each=1)
        truth = 0.604  # below: by brute force
        seen = people[:60]
        for right in held:
            told = judge_of(people, rng, right=right)
            both, _ = in_both_orders(told)
            own = [(b, b.value if models[b.pair[1]] == "x" else 1 - b.value) for b in both]
            found = helped_by(own, seen, models, "x", FAST)
            held[right].append(found.low <= truth <= found.high)
            widths[right].append(found.high - found.low)
        alone = win_rate(seen, models, "x", "y", how=FAST)
        widths["alone"].append(alone.high - alone.low)
    many, models, _ = crowd(np.random.default_rng(9), 20_000, people=30, each=1)
    assert np.mean([{"a": 1.0, "b": 0.0}.get(v.better, 0.5) for v in many]) == pytest.approx(truth, abs=0.01)
    assert np.mean(held[0.95]) >= 0.85  # 60 worlds, 95 % less three standard errors
    assert np.mean(held[0.5]) >= 0.85
    assert np.mean(widths[0.95]) < 0.75 * np.mean(widths["alone"])
    assert np.mean(widths[0.5]) < 1.1 * np.mean(widths["alone"])

import numpy as np
import pytest

from biddable.measure.interval import Bootstrap
from biddable.measure.winrate import by_kind, by_rule, first_shown_rate, models_of, win_rate
from biddable.records import Completion, Verdict

FAST = Bootstrap(draws=300)
MODELS = {f"{m}{i}": m for m in "xyz" for i in range(300)}


def verdict(i: int, a: str, b: str, better: str, judge="gold", labeler=None, shown="ab") -> Verdict:
    return Verdict(
        prompt_id=f"p{i}", a=f"{a}{i}", b=f"{b}{i}", better=better, judge=judge, labeler=labeler, shown=shown
    )


def test_by_hand():
    # x against y: won as a, won as b, tie, lost; the fifth is about z and does not count
    said = [
        verdict(0, "x", "y", "a"),
        verdict(1, "y", "x", "b"),
        verdict(2, "x", "y", "tie"),
        verdict(3, "x", "y", "b"),
        verdict(4, "x", "z", "b"),
    ]
    assert win_rate(said, MODELS, "x", "y", how=FAST).value == 2.5 / 4
    assert win_rate(said, MODELS, "x", "y", ties="drop", how=FAST).value == pytest.approx(2 / 3)
    assert win_rate(said, MODELS, "x", "y", ties="loss", how=FAST).value == 2 / 4
    assert win_rate(said, MODELS, "x", "y", how=FAST).n == 4


def test_law_the_two_sides_add_up_to_one():
    rng = np.random.default_rng(1)
    said = [verdict(i, *rng.permutation(["x", "y"]), rng.choice(["a", "b", "tie"])) for i in range(200)]
    one, other = win_rate(said, MODELS, "x", "y", how=FAST), win_rate(said, MODELS, "y", "x", how=FAST)
    assert one.value + other.value == pytest.approx(1)
    assert one.low + other.high == pytest.approx(1, abs=1e-9)  # the same draws, mirrored


def test_judge_and_group_choose_the_verdicts():
    groups = {"ann": "training", "eve": "held_out"}
    said = [
        verdict(0, "x", "y", "a"),
        verdict(1, "x", "y", "b", "person", "ann"),
        verdict(2, "x", "y", "tie", "person", "eve"),
    ]
    assert win_rate(said, MODELS, "x", "y", judge="gold", how=FAST).value == 1
    assert win_rate(said, MODELS, "x", "y", judge="person", how=FAST).value == 0.25
    assert win_rate(said, MODELS, "x", "y", group="held_out", groups=groups, how=FAST).value == 0.5
    with pytest.raises(ValueError, match="group of each labeler"):
        win_rate(said, MODELS, "x", "y", group="held_out")


def test_people_who_differ_widen_the_interval():
    """Six labelers, three of whom always say x and three y: more prompts cannot tell what a seventh would say."""
    said = [verdict(i, "x", "y", "ab"[i % 6 < 3], "person", f"l{i % 6}") for i in range(300)]
    alone = [verdict(i, "x", "y", "ab"[i % 6 < 3]) for i in range(300)]
    people, gold = (win_rate(v, MODELS, "x", "y", how=FAST) for v in (said, alone))
    assert people.high - people.low > 4 * (gold.high - gold.low)


def test_no_verdict_is_said():
    with pytest.raises(ValueError, match="no gold verdict compares x with z"):
        win_rate([verdict(0, "x", "y", "a")], MODELS, "x", "z", judge="gold")


def test_models_by_run():
    made = [Completion.make("p", "hello", run) for run in ("sft-1", "ppo-2")]
    assert models_of(made, {"sft-1": "sft"}) == {made[0].id: "sft"}
    assert set(models_of(made).values()) == {"sft-1", "ppo-2"}


def test_first_shown():
    said = [
        verdict(0, "x", "y", "a", "person", "ann", "ab"),
        verdict(1, "x", "y", "a", "person", "ann", "ba"),
        verdict(2, "x", "y", "b", "person", "bob", "ba"),
        verdict(3, "x", "y", "b", "person", "bob", "ba"),
        verdict(4, "x", "y", "tie", "person", "bob", "ba"),
        verdict(5, "x", "y", "a", "person", "bob", "unknown"),
    ]
    assert first_shown_rate(said, FAST).value == 0.75


def test_who_was_asked_because_others_disagreed_is_left_out():
    """A third verdict comes where two differ: counted, it would draw the rate towards a half."""
    models = {"x": "new", "y": "old"}

    def said(prompt: str, better: str, extra: bool | None = None) -> Verdict:
        return Verdict(prompt_id=prompt, a="x", b="y", better=better, judge="person", labeler="ann", extra=extra)

    by_lot = [said("p", "a"), said("q", "a"), said("q", "b"), said("r", "a")]
    more = [said("q", "b", extra=True)] * 5
    assert win_rate(by_lot + more, models, "new", "old") == win_rate(by_lot, models, "new", "old")


def test_each_rule_of_ties_by_hand():
    # 3 won, 2 tied, 1 lost: (3 + 1)/6, 3/4, 3/6 and 5/6
    said = [verdict(n, "x", "y", side) for n, side in enumerate(["a", "a", "a", "tie", "tie", "b"])]
    found = by_rule(said, MODELS, "x", "y", FAST)
    assert {rule: rate.value for rule, rate in found.items()} == pytest.approx(
        {"half": 4 / 6, "drop": 3 / 4, "loss": 0.5, "win": 5 / 6}
    )
    assert {rule: rate.n for rule, rate in found.items()} == {"half": 6, "drop": 4, "loss": 6, "win": 6}
    other = by_rule(said, MODELS, "y", "x", FAST)
    assert other["drop"].value == pytest.approx(1 - found["drop"].value)  # a law of half and drop
    assert other["win"].value == pytest.approx(1 - found["loss"].value)
    assert set(by_rule([verdict(0, "x", "y", "tie")], MODELS, "x", "y", FAST)) == {"half", "loss", "win"}


def test_win_rates_by_kind():
    said = [verdict(n, "x", "y", side) for n, side in enumerate(["a", "b", "a", "tie"])]
    said.append(verdict(9, "x", "z", "a"))
    kinds = {"p0": "chat", "p1": "chat", "p2": "rewrite", "p3": "rewrite", "p9": "extract"}
    found = by_kind(said, MODELS, "x", "y", lambda v: kinds[v.prompt_id], FAST)
    assert {name: rate.value for name, rate in found.items()} == {"chat": 0.5, "rewrite": 0.75}
    unknown = by_kind(said, MODELS, "x", "y", lambda v: {"p0": "chat"}.get(v.prompt_id), FAST)
    assert unknown == {}  # one kind is the whole of what is known, and says nothing beside it

"""That agreement is told of the right people, by every measure. The measures themselves are tested where they are."""

import numpy as np

from biddable.measure import coefficients
from biddable.measure.agreed import agreed, alone
from biddable.measure.agreement import agreement
from biddable.measure.said import pairs
from biddable.records import Group, Ranking

GROUPS: dict[str, Group] = {
    "ann": "training", "bob": "training", "cid": "training", "dot": "training",
    "eve": "held_out", "fay": "held_out", "gus": "researcher",
}  # fmt: skip


def ranked(prompt: int, labeler: str, noise: float) -> Ranking:
    """A noisy reading of the same order of four answers, which says a tie where two are close."""
    rng = np.random.default_rng([prompt, sum(labeler.encode())])
    felt = np.round(np.arange(4) + noise * rng.standard_normal(4))
    order = tuple(tuple(f"{prompt}-{i}" for i in np.flatnonzero(felt == v)) for v in sorted(set(felt), reverse=True))
    return Ranking(prompt_id=f"p{prompt}", labeler=labeler, order=order)


def rankings() -> list[Ranking]:
    noise = {"dot": 6.0}
    return [ranked(n, who, noise.get(who, 0.8)) for n in range(40) for who in GROUPS if who != "gus" or n < 5]


def test_each_two_groups_that_met_are_told_apart():
    found = {one.who: one for one in agreed(rankings(), GROUPS)}
    assert list(found) == [
        "training labelers", "held-out labelers", "training and held-out labelers", "training labelers and researchers",
    ]  # fmt: skip
    held_out = [one for one in rankings() if GROUPS[one.labeler] == "held_out"]
    for ties in ("half", "strict", "decided"):
        assert getattr(found["held-out labelers"], ties) == agreement(held_out, ties=ties)
    one = found["training labelers"]
    told = pairs([ranking for ranking in rankings() if GROUPS[ranking.labeler] == "training"])
    assert one.alpha == coefficients.alpha_of_pairs(told)
    assert one.fleiss == coefficients.fleiss(told)
    assert one.tau is not None
    assert one.w is not None
    assert one.others is not None
    assert one.others.low < one.half.low < one.half.high < one.others.high  # other people vary too
    assert one.paper == (0.726, 0.015)
    mixed = found["training and held-out labelers"]
    assert (mixed.alpha, mixed.tau, mixed.paper) == (None, None, None)


def test_who_was_asked_because_others_disagreed_is_left_out():
    more = [one.model_copy(update={"extra": True}) for one in rankings() if one.labeler == "dot"]
    without = [one for one in rankings() if one.labeler != "dot"]
    assert agreed([*without, *more], GROUPS) == agreed(without, GROUPS)
    assert alone([*without, *more], GROUPS) == alone(without, GROUPS)


def test_people_stand_alone_without_names_and_the_one_who_strays_first():
    found = alone(rankings(), GROUPS)
    assert {who: len(people) for who, people in found.items()} == {"training labelers": 4, "held-out labelers": 2}
    strays, *others = found["training labelers"]
    assert strays.agrees.high < min(one.agrees.low for one in others)
    assert strays.skill is not None
    assert strays.skill.high < min(one.skill.low for one in others if one.skill)
    assert strays.prompts == 40
    assert found["held-out labelers"][0].skill is None  # two people cannot tell who of them is right
    said = "".join(one.model_dump_json() for people in found.values() for one in people)
    assert not any(name in said for name in GROUPS)


def test_nobody_met():
    some = [ranked(n, who, 0.5) for n, who in enumerate(("ann", "bob", "eve"))]
    assert agreed(some, GROUPS) == []
    assert alone(some, GROUPS) == {}

"""What a judge that is no person is worth: how often it says what people say, and what sways it beside the answers.

A judge's win rates stand nowhere without these. Shape suffixes: N things said, P prompts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy.special import stdtrit

from biddable.measure.alike import agreed
from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, bootstrap, codes, persons, resampled, spread
from biddable.measure.lengths import Lengths, controlled, longer_preferred
from biddable.measure.said import PAIR, Said
from biddable.measure.weighted import weights
from biddable.records import Record, Score, Side, Verdict

Word = Literal["not checked against people", "no better than chance", "above chance"]
Pair = tuple[str, str, str]  # prompt, and the two completions in the order of their ids


class Tally(Record):
    """What asking a judge came to, as its run says."""

    judge: str = ""
    asked: int = 0
    unread: int = 0  # answered, but not with a verdict
    refused: int = 0  # the endpoint would not take the question
    tokens_in: int = 0
    tokens_out: int = 0
    template: str = ""


class Judged(Record):
    """A judge beside people. Agreement counts a tie against a choice half, as everywhere."""

    judge: str
    kind: Literal["endpoint", "reward model"]
    word: Word
    pairs: int  # that it spoke of; of an endpoint, in both orders
    alone: int = 0  # pairs of which one order was answered only: they count nowhere
    common: int = 0  # pairs that people spoke of too
    agrees: Interval | None = None  # with a person
    people: Interval | None = None  # two people with one another, on those same pairs
    behind: Interval | None = None  # the one less the other
    chance: float | None = None  # what a coin that ties as often would reach
    flipped: Interval | None = None  # pairs of which it said another thing when the order was turned
    first: Interval | None = None  # the first shown preferred; fair is ½
    longer: Interval | None = None
    longer_people: Interval | None = None  # on the pairs that both saw
    rates: dict[str, Interval] = Field(default_factory=dict)  # `a_vs_b`, both orders alike, a tie half
    controlled: dict[str, Lengths] = Field(default_factory=dict)  # at equal length
    helped: dict[str, Interval] = Field(default_factory=dict)  # what people would say of all its pairs
    tally: Tally | None = None


class Both(NamedTuple):
    """What a judge said of a pair: for the first completion, the mean over both orders."""

    pair: Pair
    value: float  # 1 the first is better, ½ neither
    turned: bool  # it said another thing when the order was turned

    @property
    def better(self) -> Side:
        return "a" if self.value > 0.5 else "b" if self.value < 0.5 else "tie"


def pair_of(verdict: Verdict) -> Pair:
    first, second = sorted((verdict.a, verdict.b))
    return verdict.prompt_id, first, second


def credit_of(verdict: Verdict) -> float:
    """What a verdict gives the first of its pair."""
    return {"a": 1.0, "b": 0.0, "tie": 0.5}[side_of(verdict)]


def side_of(verdict: Verdict) -> Side:
    """The better one in the pair's own order."""
    if verdict.better == "tie" or verdict.a < verdict.b:
        return verdict.better
    return "b" if verdict.better == "a" else "a"


def first_shown(verdict: Verdict) -> str:
    return verdict.a if verdict.shown == "ab" else verdict.b


def in_both_orders(verdicts: Iterable[Verdict]) -> tuple[list[Both], int]:
    """The pairs that a judge answered in both orders, each order half; and how many it answered in one only."""
    told: dict[Pair, dict[str, Verdict]] = {}
    for verdict in verdicts:
        told.setdefault(pair_of(verdict), {})[first_shown(verdict)] = verdict
    whole = [(pair, list(some.values())) for pair, some in sorted(told.items()) if len(some) == 2]
    both = [Both(pair, sum(map(credit_of, some)) / 2, side_of(some[0]) != side_of(some[1])) for pair, some in whole]
    return both, len(told) - len(whole)


def of_scores(scores: Iterable[Score], pairs: Iterable[Pair]) -> list[Verdict]:
    """A reward model as a judge: the answer that scores higher is better. An ensemble whose heads stand further apart
    than the scores, |r_a − r_b| ≤ √(s_a² + s_b²), is not sure, and says tie. What it did not score is left out."""
    value = {score.completion_id: score for score in scores}
    made = []
    for prompt, a, b in pairs:
        if a not in value or b not in value:
            continue
        one, other = value[a], value[b]
        doubt = np.hypot(one.spread or 0.0, other.spread or 0.0)
        gap = one.value - other.value
        better: Side = "tie" if abs(gap) <= doubt else "a" if gap > 0 else "b"
        made.append(Verdict(prompt_id=prompt, a=a, b=b, better=better, judge="model", labeler=one.run_id))
    return made


def judged(
    name: str,
    verdicts: Sequence[Verdict],
    people: Sequence[Verdict],
    models: Mapping[str, str],
    pairs: Iterable[tuple[str, str]],
    length: Mapping[str, int],
    sees_order: bool = True,
    tally: Tally | None = None,
    how: Bootstrap = DEFAULT,
) -> Judged:
    """All that is to be known of a judge. `pairs` are (model, against) as elsewhere on the page."""
    if sees_order:
        both, alone = in_both_orders(verdicts)
    else:
        both, alone = [Both(pair_of(v), credit_of(v), False) for v in verdicts], 0
    seen = {one.pair for one in both}
    kept = [v for v in verdicts if pair_of(v) in seen]
    merged = [
        Verdict(prompt_id=b.pair[0], a=b.pair[1], b=b.pair[2], better=b.better, judge="model", labeler=name)
        for b in both
    ]
    of_people = [v for v in people if pair_of(v) in seen]
    spoken = {pair_of(v) for v in of_people}
    agrees, chance = agreement(both, of_people, how)
    rates, equal, helped = {}, {}, {}
    for model, against in pairs:
        own = [(b, toward) for b in both if (toward := _toward(b, models, model, against)) is not None]
        if own:
            key = f"{model}_vs_{against}"
            rates[key] = bootstrap([x for _, x in own], [b.pair[0] for b, _ in own], how=how)
            equal[key] = controlled(kept, models, model, against, length, how)
            if (found := helped_by(own, of_people, models, model, how)) is not None:
                helped[key] = found
    return Judged(
        judge=name,
        kind="endpoint" if sees_order else "reward model",
        word=_word(agrees, chance),
        pairs=len(both),
        alone=alone,
        common=len(spoken),
        agrees=agrees,
        people=_with_one_another(of_people, how),
        behind=_behind(both, of_people, how),
        chance=chance,
        flipped=bootstrap([float(b.turned) for b in both], [b.pair[0] for b in both], how=how)
        if sees_order and both
        else None,
        first=_first(kept, how) if sees_order else None,
        longer=longer_preferred(merged, length, how),
        longer_people=longer_preferred(of_people, length, how),
        rates=rates,
        controlled=equal,
        helped=helped,
        tally=tally,
    )


def _toward(one: Both, models: Mapping[str, str], model: str, against: str) -> float | None:
    sides = models.get(one.pair[1]), models.get(one.pair[2])
    if sides == (model, against):
        return one.value
    return 1 - one.value if sides == (against, model) else None


def credit(one: Side, other: Side) -> float:
    return 1.0 if one == other else 0.5 if "tie" in (one, other) else 0.0


def agreement(
    both: Iterable[Both], people: Sequence[Verdict], how: Bootstrap = DEFAULT
) -> tuple[Interval | None, float]:
    """How often the judge says what a person says of the same pair, and what a coin would reach that ties as often:
    (1 + t_j t_p)/2 with t the shares of ties, since only two ties meet more often than half."""
    by_pair = {one.pair: one.better for one in both}
    met = [(by_pair[pair_of(v)], v) for v in people if pair_of(v) in by_pair]
    if not met:
        return None, 0.5
    values = [credit(said, side_of(v)) for said, v in met]
    ties = np.mean([said == "tie" for said, _ in met]) * np.mean([v.better == "tie" for _, v in met])
    who = [v.labeler or v.judge for _, v in met]
    return bootstrap(values, [v.prompt_id for _, v in met], who, how), float(1 + ties) / 2


def _word(agrees: Interval | None, chance: float) -> Word:
    if agrees is None:
        return "not checked against people"
    return "above chance" if agrees.low > chance else "no better than chance"


def people_said(people: Sequence[Verdict]) -> Said:
    """What people said of each pair, a person's last word."""
    last = {(pair_of(v), v.labeler or v.judge): side_of(v) for v in people}
    pairs, who = sorted({pair for pair, _ in last}), sorted({name for _, name in last})
    prompts = sorted({pair[0] for pair in pairs})
    number, person, place = ({x: n for n, x in enumerate(some)} for some in (pairs, who, prompts))
    rows = [(number[p], person[w], {"a": 0, "tie": 1, "b": 2}[side]) for (p, w), side in sorted(last.items())]
    item_N, labeler_N, value_N = np.array(rows, dtype=np.intp).reshape(-1, 3).T
    prompt_I = np.array([place[pair[0]] for pair in pairs], dtype=np.intp)
    return Said(item_N, labeler_N, value_N, prompt_I, len(prompts), tuple(who), PAIR)


def _with_one_another(people: Sequence[Verdict], how: Bootstrap) -> Interval | None:
    return agreed(people_said(people), True, how) if people else None


def _behind(both: Iterable[Both], people: Sequence[Verdict], how: Bootstrap) -> Interval | None:
    """How much seldomer the judge agrees with a person than another person does, on pairs that several spoke of."""
    by_pair = {one.pair: one.better for one in both}
    of_pair: dict[Pair, list[Side]] = {}
    for verdict in people:
        of_pair.setdefault(pair_of(verdict), []).append(side_of(verdict))
    sums: dict[str, Floats] = {}
    for pair, sides in of_pair.items():
        if len(sides) > 1:
            meet = [credit(x, y) for n, x in enumerate(sides) for y in sides[:n]]
            mine = [credit(by_pair[pair], x) for x in sides]
            row = np.array([sum(mine), len(mine), sum(meet), len(meet)])
            sums[pair[0]] = sums.get(pair[0], np.zeros(4)) + row
    if not sums:
        return None
    table = np.stack([sums[name] for name in sorted(sums)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return resampled(table, lambda s: s[:, 0] / s[:, 1] - s[:, 2] / s[:, 3], int(table[:, 3].sum()), how)


def _first(verdicts: Sequence[Verdict], how: Bootstrap) -> Interval | None:
    """How often the answer that was shown first is preferred, ties left out. Each pair was shown both ways."""
    seen = [v for v in verdicts if v.better != "tie"]
    if not seen:
        return None
    return bootstrap([float(v.better == v.shown[0]) for v in seen], [v.prompt_id for v in seen], how=how)


def helped_by(
    own: Sequence[tuple[Both, float]], people: Sequence[Verdict], models: Mapping[str, str], model: str,
    how: Bootstrap = DEFAULT,
) -> Interval | None:  # fmt: skip
    """What people would say of all pairs that the judge saw: λ f̄ over all + mean of (y − λ f) over what people said.

    Right however wrong the judge is (prediction-powered inference: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic
    2023), and the closer the judge is to people, the narrower. λ = cov(y, f) / var f, since people's pairs are among
    all (the regression estimate of double sampling: Cochran 1977, eq. 12.51), makes a useless judge count for nothing.
    The pairs that people saw must be a fair draw of all that the judge saw, or say with what chance each was drawn.

    V is that over prompts of both parts, and beside it what people add to the second, who are few; the judge is one."""
    value = {b.pair: toward for b, toward in own}
    told = []
    for verdict in people:
        if (pair := pair_of(verdict)) in value:
            told.append(
                (verdict, credit_of(verdict) if models[pair[1]] == model else 1 - credit_of(verdict), value[pair])
            )
    if len({v.prompt_id for v, _, _ in told}) < 2:
        return None
    f_all = np.array([toward for _, toward in own])
    y_N, f_N = np.array([y for _, y, _ in told]), np.array([f for _, _, f in told])
    share_N = weights(v for v, _, _ in told)
    share_N = share_N / share_N.sum()
    y_off_N, f_off_N = y_N - share_N @ y_N, f_N - share_N @ f_N
    varies = float(share_N @ f_off_N**2)
    lam = float(np.clip(share_N @ (y_off_N * f_off_N) / varies, 0, 1)) if varies else 0.0
    found = lam * float(f_all.mean()) + float(share_N @ (y_N - lam * f_N))
    of_people = share_N * (y_off_N - lam * f_off_N)
    pull = np.concatenate([lam * (f_all - f_all.mean()) / len(own), of_people])
    prompt_N, prompts = codes([b.pair[0] for b, _ in own] + [v.prompt_id for v, _, _ in told])
    who_N, people_count = persons([v.labeler or v.judge for v, _, _ in told])
    whole = spread(len(pull) * pull, prompt_N, prompts, None, 0)
    own_N, own_prompts = codes([v.prompt_id for v, _, _ in told])
    pull_N = len(told) * of_people
    alone = spread(pull_N, own_N, own_prompts, None, 0)
    both = spread(pull_N, own_N, own_prompts, who_N, people_count) if people_count > 1 else alone
    rest = whole.variance - alone.variance  # of prompts, and not of people
    variance = both.variance + rest
    freedom = variance**2 / (both.variance**2 / both.freedom + rest**2 / whole.freedom) if variance else math.inf
    # Not by drawing again: a draw without the judge would have people's pulls alone, and far too large.
    half = float(stdtrit(freedom, (1 + how.level) / 2)) * variance**0.5
    ends = [min(1.0, max(0.0, x)) for x in (found, found - half, found + half)]
    return Interval(value=ends[0], low=ends[1], high=ends[2], n=len(told))

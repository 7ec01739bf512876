"""Prompts that were likelier to be labeled count for less; who was asked because others disagreed does not count."""

import numpy as np
import pytest

from biddable.measure.agreement import agreement
from biddable.measure.interval import Bootstrap, bootstrap
from biddable.measure.metadata import likert, rate
from biddable.measure.reward import Margins, accuracy, log_loss, margins
from biddable.measure.weighted import mean, weighted_mean
from biddable.measure.winrate import win_rate
from biddable.records import Completion, Judgement, Ranking, Score, Verdict


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
    print(f"covers in {covered / 5:.1f} %, the plain mean's in {plainly / 5:.1f} %")  # docs/design/teams.md: pytest -rP
    assert 465 <= covered <= 498, covered
    assert (plainly < 300) == (share < 1), plainly


# Rates, ratings and win rates.

FAST = Bootstrap(draws=300)
ANSWERS = {
    x + f"{n}": Completion(id=f"{x}{n}", prompt_id=f"p{n}", text="text", run_id=x) for n in range(600) for x in "xy"
}
MODELS = {name: one.run_id for name, one in ANSWERS.items()}


def judged(n: int, bad: bool, who: str = "ann", **more) -> Judgement:
    return Judgement(completion_id=f"x{n}", labeler=who, overall=2 if bad else 6, fails_task=bad, **more)


def preferred(n: int, x: bool, who: str = "ann", **more) -> Verdict:
    better = "a" if x else "b"
    return Verdict(prompt_id=f"p{n}", a=f"x{n}", b=f"y{n}", better=better, judge="person", labeler=who, **more)


def rate_of(said):
    return rate([one for one in said if isinstance(one, Judgement)], ANSWERS, ["fails_task"], FAST)


def rating_of(said):
    return likert([one for one in said if isinstance(one, Judgement)], ANSWERS, FAST)


def wins_of(said):
    return win_rate([one for one in said if isinstance(one, Verdict)], MODELS, "x", "y", how=FAST)


EACH = {rate_of: (0.0, 1.0), rating_of: (6.0, 2.0), wins_of: (1.0, 0.0)}  # what they are of what is easy, and hard


@pytest.mark.parametrize("count", EACH)
def test_by_hand(count):
    """A hard prompt was sure to be asked about, an easy one once in four times: it stands for four."""
    said = [judged(0, True, propensity=1.0), judged(1, False, propensity=0.25)]
    said += [preferred(0, False, propensity=1.0), preferred(1, True, propensity=0.25)]
    easy, hard = EACH[count]
    assert count(said).value == pytest.approx(0.8 * easy + 0.2 * hard)


@pytest.mark.parametrize("count", EACH)
def test_where_all_chances_are_the_same_nothing_changes(count):
    rng, some = np.random.default_rng(0), []
    for more in ({}, {"propensity": 0.2}):
        rng = np.random.default_rng(0)
        who, bad = rng.choice(["ann", "ben", "cy"], 80), rng.random(80) < 0.3
        said = [judged(n, bool(bad[n]), str(who[n]), **more) for n in range(80)]
        some.append(count([*said, *(preferred(n, not bad[n], str(who[n]), **more) for n in range(80))]))
    easy, hard = EACH[count]
    value, names = np.where(bad, hard, easy), [f"p{n}" for n in range(80)]
    plain = bootstrap(value, names, who.tolist(), FAST, (1, 7) if count is rating_of else (0, 1))
    assert some == [plain, plain]


@pytest.mark.parametrize("count", EACH)
def test_what_is_counted_of_chosen_tasks_covers_that_of_all(count):
    """Of 200 worlds 95 ± 3.1 of 100 at two standard errors, and up to all: it takes prompts for drawn one by one."""
    from biddable.store.choice import choose

    rng, easy, hard = np.random.default_rng(1), *EACH[count]
    covered, plainly = 0, 0
    for seed in range(200):
        size_N = rng.gamma(1, 1, 600) + 0.02
        bad_N = rng.random(600) < size_N / (1 + size_N)
        said: list[list] = [[], []]
        for one in choose(size_N, 120, 0.25, np.random.default_rng(seed)):
            n, who = one.place, f"l{rng.integers(20)}"
            for here, more in zip(said, ({"propensity": one.propensity}, {}), strict=True):
                here += [judged(n, bool(bad_N[n]), who, **more), preferred(n, not bad_N[n], who, **more)]
        truth = float(np.where(bad_N, hard, easy).mean())
        weighed, plain = count(said[0]), count(said[1])
        covered += weighed.low <= truth <= weighed.high
        plainly += plain.low <= truth <= plain.high
    print(f"covers in {covered / 2:.1f} %, the plain one in {plainly / 2:.1f} %")
    assert covered >= 184, covered
    assert plainly < 120, plainly


def test_people_who_differ_widen_a_weighed_interval_too():
    """Six labelers, three of whom always say yes: more prompts cannot tell what a seventh would say."""
    value_N, weight_N = (np.arange(300) % 6 < 3).astype(float), 1.0 + np.arange(300) % 2
    prompts, people = list(range(300)), [n % 6 for n in range(300)]
    alone, with_them = (weighted_mean(value_N, weight_N, prompts, who) for who in (None, people))
    assert with_them.high - with_them.low > 4 * (alone.high - alone.low)
    assert mean(value_N, weight_N, prompts, people) == with_them


def test_a_wider_level_is_wider_and_a_scale_without_an_end_has_what_was_seen():
    value_N, weight_N = (np.arange(40) % 3).astype(float), 1.0 + np.arange(40) % 2
    wide, narrow = (mean(value_N, weight_N, list(range(40)), how=Bootstrap(level=level)) for level in (0.99, 0.5))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    lone = mean(value_N, weight_N, ["p"] * 40, bounds=(0.0, np.inf))
    assert (lone.low, lone.high) == (0, 2)


def test_log_loss_weighs_as_accuracy_does():
    found = log_loss(
        Margins(np.array([1.0, -1.0, 2.0]), ("p", "q", "r"), ("ann",) * 3, None, np.array([1.0, 2.0, 1.0]))
    )
    assert found.value == pytest.approx(np.average(np.logaddexp(0, [-1.0, 1.0, -2.0]), weights=[1, 2, 1]))

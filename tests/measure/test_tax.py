import math

import numpy as np
import pytest

from biddable.measure.interval import Bootstrap
from biddable.measure.tax import (
    Task,
    accuracies,
    contrast,
    means,
    ordered,
    paid,
    repair,
    repaired,
    right,
    scores,
    spread,
    task_means,
)
from biddable.records import Item, Likelihood

FAST = Bootstrap(draws=400)


def item(task: str, i: int, answer: int = 0, choices: int = 2) -> Item:
    return Item(task=task, id=f"{i:04}", context="…", choices=tuple(["ab", "cd", "ef"][:choices]), answer=answer)


def seen(item: Item, run: str, *logps: float, tokens: int = 1) -> list[Likelihood]:
    return [
        Likelihood(task=item.task, item=item.id, choice=c, run_id=run, logp=logp, tokens=tokens)
        for c, logp in enumerate(logps)
    ]


def test_the_average_per_token_decides():
    one = item("facts", 0, answer=1)
    said = [
        Likelihood(task="facts", item="0000", choice=0, run_id="r", logp=-3, tokens=1),  # −3 a token
        Likelihood(task="facts", item="0000", choice=1, run_id="r", logp=-8, tokens=4),  # −2 a token: chosen
    ]
    assert right([one], said, "r").tolist() == [1]


def test_every_task_counts_the_same():
    # facts 1 of 1; cloze 1 of 3: mean (1 + 1/3) / 2
    items = [item("facts", 0), *(item("cloze", i) for i in range(3))]
    good, bad = (-1.0, -2.0), (-2.0, -1.0)
    said = [*seen(items[0], "r", *good), *seen(items[1], "r", *good)]
    said += [*seen(items[2], "r", *bad), *seen(items[3], "r", *bad)]
    found = scores(items, said, {"base": "r"}, FAST)["base"]
    assert found.tasks["facts"].value == 1
    assert found.tasks["cloze"].value == pytest.approx(1 / 3)
    assert found.mean.value == pytest.approx(2 / 3)
    assert found.mean.n == 4


def test_draws_are_the_slow_definition():
    rng = np.random.default_rng(0)
    right_MI = (rng.random((2, 5)) < 0.5).astype(float)
    times = np.array([[2.0, 0.0, 1.0, 1.0, 1.0]])  # task of two items, then of three
    for model in range(2):
        first = (2 * right_MI[model, 0] + 0 * right_MI[model, 1]) / 2
        second = sum(right_MI[model, 2:]) / 3
        assert task_means(right_MI, times, [2, 3])[0, model] == pytest.approx((first + second) / 2)


def world(seed: int, base: float, ppo: float, ptx: float, count: int = 300):
    """Two tasks of `count` items; a model with a higher rate knows all that a lower one knows."""
    rng = np.random.default_rng(seed)
    items = [item(task, i) for task in ("facts", "reading") for i in range(count)]
    luck = rng.random(len(items))
    said = []
    for run, rate in (("base", base), ("ppo", ppo), ("ptx", ptx)):
        for one, draw in zip(items, luck, strict=True):
            said += seen(one, run, *((-1.0, -2.0) if draw < rate else (-2.0, -1.0)))
    return items, said


def test_ptx_gives_back_three_quarters():
    found = repair(*world(0, 0.8, 0.6, 0.75), "base", "ppo", "ptx", FAST)
    assert found.lost.low > 0.1
    assert found.regained.value == pytest.approx(0.15, abs=0.04)  # of 600 items
    assert found.regained.value / found.lost.value == pytest.approx(found.share.value if found.share else None)
    assert found.share is not None
    assert found.share.low < 0.75 < found.share.high
    assert found.share.low > 0.5
    assert found.share.high < 1


def test_the_interval_of_the_share_covers_the_planted_one():
    covered = 0
    for seed in range(40):
        found = repair(*world(seed, 0.8, 0.5, 0.65, 100), "base", "ppo", "ptx", Bootstrap(draws=200, seed=seed))
        assert found.share is not None
        covered += found.share.low <= 0.5 <= found.share.high
    assert 33 <= covered <= 40


def test_a_mean_in_which_nothing_varies_is_no_certainty():
    items = [item(task, i) for task in ("facts", "reading") for i in range(20)]
    said = [line for one in items for run in ("base", "ppo") for line in seen(one, run, -1.0, -2.0)]
    # 1 − .025^(1/40) = .0881 of forty items may be others
    mean = scores(items, said, {"base": "base"}, FAST)["base"].mean
    assert (mean.value, mean.low, mean.high) == (1, pytest.approx(0.9119, abs=1e-4), 1)
    lost = paid(items, said, ["base", "ppo"], FAST)["ppo"]
    assert (lost.value, lost.low, lost.high) == (0, pytest.approx(-0.0881, abs=1e-4), pytest.approx(0.0881, abs=1e-4))


def test_the_spread_of_a_mean_over_tasks_by_hand():
    # of 1 0 0 0 the variance of the mean is s²/n = .25/4, of 1 0 it is .5/2; of half their sum (.0625 + .25)/4
    found = spread(accuracies(np.array([[1.0, 0, 0, 0, 1, 0]]), [4, 2]), np.ones(1))
    assert found.variance == pytest.approx(0.078125)
    assert found.freedom == pytest.approx(0.3125**2 / (0.0625**2 / 3 + 0.25**2 / 1))
    ones = [Task(np.array([[[x, 1.0] for x in row]]), lambda sums: sums[:, 0] / sums[:, 1], len(row))
            for row in ([1, 0, 0, 0], [1, 0])]  # fmt: skip
    assert spread(means(ones), np.ones(1)).variance == pytest.approx(0.078125)
    single = means([Task(np.array([[[1.0, 1.0]]]), lambda sums: sums[:, 0] / sums[:, 1], 1)])
    assert spread(single, np.ones(1)).variance == 0


def test_a_difference_over_few_items_holds_the_planted_one():
    rng, held = np.random.default_rng(2), []
    for _ in range(600):
        right_MI = np.stack([(rng.random(30) < share).astype(float) for share in (0.8, 0.7)])
        found = contrast(accuracies(right_MI, [10] * 3), np.array([1.0, -1.0]), Bootstrap(draws=300))
        held.append(found.low <= 0.1 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97  # plain quantiles of the draws: 92 %


def test_where_nothing_was_lost_no_share_is_given():
    found = repair(*world(1, 0.7, 0.7, 0.7), "base", "ppo", "ptx", FAST)
    assert found.lost.value == 0
    assert found.share is None


def test_a_loss_that_may_be_luck_has_no_share():
    items = [item("facts", i) for i in range(20)]
    said = []
    for one in items:
        said += seen(one, "base", -1.0, -2.0)
        said += seen(one, "ppo", *((-2.0, -1.0) if one.id == "0000" else (-1.0, -2.0)))  # one of twenty forgotten
    found = repair(items, said, "base", "ppo", "base", FAST)
    assert found.lost.value == pytest.approx(0.05)
    assert found.share is None


def test_pairing_makes_the_loss_sharper_than_two_intervals():
    items, said = world(2, 0.8, 0.7, 0.7)
    lost = repair(items, said, "base", "ppo", "ptx", FAST).lost
    alone = scores(items, said, {"base": "base", "ppo": "ppo"}, FAST)
    width = sum((s.mean.high - s.mean.low) ** 2 for s in alone.values()) ** 0.5
    assert lost.high - lost.low < 0.8 * width


def test_what_each_model_has_paid_is_base_minus_itself_by_hand():
    """facts: base 2 of 2, m 1 of 2; cloze: base 0 of 1, m 1 of 1. Base's mean is 1/2, m's 3/4: m gained a quarter."""
    items = [item("cloze", 0), item("facts", 0), item("facts", 1)]
    good, bad = (-1.0, -2.0), (-2.0, -1.0)
    base, m = (bad, good, good), (good, good, bad)
    said = [
        line
        for run, its in (("base", base), ("m", m))
        for i, logps in enumerate(its)
        for line in seen(items[i], run, *logps)
    ]
    found = paid(items, said, ("base", "m"), FAST)
    assert found.keys() == {"m"}
    assert found["m"].value == pytest.approx(-0.25)
    assert found["m"].n == 3


def test_what_ppo_has_paid_is_what_it_lost():
    items, said = world(0, 0.9, 0.7, 0.85)
    found = paid(items, said, ("base", "ppo", "ptx"), FAST)
    assert found["ppo"] == repair(items, said, "base", "ppo", "ptx", FAST).lost
    assert found["ptx"].low <= 0.05 <= found["ptx"].high  # 0.9 − 0.85


def test_a_missing_likelihood_is_named():
    with pytest.raises(ValueError, match="run r has no likelihood for choice 1 of facts item 0000"):
        right([item("facts", 0)], seen(item("facts", 0), "r", -1.0), "r")
    with pytest.raises(ValueError, match="no benchmark items"):
        ordered([])


def test_the_sampled_rule_is_the_chance_of_the_right_choice():
    # log p of the right choice is log ¼ + log ½ over two tokens: a sampled answer is right one time in eight.
    one = item("facts", 0)
    said = seen(one, "r", math.log(1 / 8), -9.0)
    found = scores([one], said, {"base": "r"}, FAST, rule="sampled")["base"]
    assert found.mean.value == pytest.approx(1 / 8)


def test_the_interval_of_a_share_is_fieller_s_by_hand():
    """Of ten items PPO loses six and ptx wins three of them back. An end ρ of the share is where the mean of
    regained − ρ lost lies t standard errors from 0, with t of nine degrees."""
    right_MI = np.array([[1] * 10, [0] * 6 + [1] * 4, [0] * 3 + [1] * 7], dtype=float)
    found = repaired(accuracies(right_MI, [10]), FAST).share
    assert found is not None
    for end in (found.low, found.high):
        off_I = right_MI[2] - right_MI[1] - end * (right_MI[0] - right_MI[1])
        assert abs(off_I.mean()) == pytest.approx(2.262157 * off_I.std(ddof=1) / 10**0.5, rel=1e-6)
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.5 < found.high

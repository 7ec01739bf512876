"""The alignment tax: what a model forgets on public tasks while it learns to please, and what ptx gives back.

Shape suffixes: I items (tasks one after another), M models, D draws, T tasks, G groups of items, C sums.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit

from biddable.measure.interval import (
    DEFAULT,
    Bootstrap,
    Floats,
    Interval,
    Spread,
    bootstrap,
    paired,
    stretched,
    unanimous,
)
from biddable.records import Item, Likelihood, Record


class TaskScores(Record):
    """One model's accuracy: each task, and the mean in which every task counts the same."""

    tasks: dict[str, Interval]
    mean: Interval


class Repair(Record):
    """What PPO lost against base, what ptx won back from PPO, and the share of the one in the other.

    `share` is None where the loss is not clearly above zero: a part of nothing has no size.
    """

    lost: Interval
    regained: Interval
    share: Interval | None


Rule = Literal["choice", "sampled"]


def right(items: Sequence[Item], likelihoods: Iterable[Likelihood], run_id: str, rule: Rule = "choice") -> Floats:
    """How right a run is, item by item.

    choice: 1 where the choice with the highest average log p per token is the right one, else 0. Paper, App. D says
    "lowest"; its above-chance scores need "highest". Of equal choices the first is taken.
    sampled: p(right choice | context), the chance that an answer sampled at T = 1 is right. Finer than 0 and 1 where a
    model is nearly always right.
    """
    mine = [seen for seen in likelihoods if seen.run_id == run_id]
    mean_logp = {(seen.task, seen.item, seen.choice): seen.logp / seen.tokens for seen in mine}
    logp = {(seen.task, seen.item, seen.choice): seen.logp for seen in mine}
    found = []
    for item in items:
        keys = [(item.task, item.id, choice) for choice in range(len(item.choices))]
        missing = next((key for key in keys if key not in mean_logp), None)
        if missing is not None:
            raise ValueError(f"run {run_id} has no likelihood for choice {missing[2]} of {item.task} item {item.id}")
        chosen = int(np.argmax([mean_logp[key] for key in keys]))
        found.append(float(chosen == item.answer) if rule == "choice" else float(np.exp(logp[keys[item.answer]])))
    return np.array(found)


def ordered(items: Iterable[Item]) -> tuple[list[Item], list[str], list[int]]:
    """Items by task and name, the tasks, and how many items each has."""
    items = sorted(items, key=lambda item: (item.task, item.id))
    if not items:
        raise ValueError("no benchmark items, so there is no tax to measure")
    tasks = sorted({item.task for item in items})
    return items, tasks, [sum(item.task == task for item in items) for task in tasks]


def task_means(right_MI: Floats, times_DI: Floats, counts: Sequence[int]) -> Floats:
    """(D, M): mean over tasks of the accuracy in that task, for items drawn `times_DI` times."""
    edges = np.cumsum([0, *counts])
    by_task = [
        times_DI[:, a:b] @ right_MI[:, a:b].T / count for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return np.mean(by_task, axis=0)


def scores(
    items: Iterable[Item],
    likelihoods: Iterable[Likelihood],
    runs: Mapping[str, str],
    how: Bootstrap = DEFAULT,
    rule: Rule = "choice",
) -> dict[str, TaskScores]:
    """Accuracy of every model (model → run) in every task and on average, with intervals over items."""
    items, tasks, counts = ordered(items)
    seen = tuple(likelihoods)
    made = {}
    for model, run_id in runs.items():
        right_I = right(items, seen, run_id, rule)
        by_task = {}
        for task in tasks:
            inside = [i for i, item in enumerate(items) if item.task == task]
            by_task[task] = bootstrap(right_I[inside], [items[i].id for i in inside], how=how)
        made[model] = TaskScores(tasks=by_task, mean=_mean(right_I, counts, how))
    return made


def _mean(right_I: Floats, counts: Sequence[int], how: Bootstrap) -> Interval:
    return contrast(accuracies(right_I[None, :], counts), np.ones(1), how, bounds=(0.0, 1.0))


class Means(NamedTuple):
    """Every model's mean over tasks, each task counting the same, for items drawn again together."""

    of: Callable[[Floats], Floats]  # how often each row was drawn, (D, rows) → (D, M)
    rows: Sequence[int]  # how many rows each task has; they are drawn within it
    pull_RM: Floats  # how far each row pulls the means: the mean over its task's rows of θ₍₋ᵣ₎, less its own θ₍₋ᵣ₎
    n: int  # items

    @property
    def once(self) -> Floats:
        """The means as they are."""
        return self.of(np.ones((1, sum(self.rows))))[0]


def accuracies(right_MI: Floats, counts: Sequence[int]) -> Means:
    """Of tasks whose score is a mean over items."""
    edges = np.cumsum([0, *counts])
    pulls = [
        _pulls(right_MI[:, a:b].sum(axis=1, keepdims=True) - right_MI[:, a:b], max(1, count - 1) * len(counts))
        for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    of = partial(task_means, right_MI, counts=counts)
    return Means(of, counts, np.concatenate(pulls), right_MI.shape[1])


def _pulls(without_MR: Floats, over: float) -> Floats:
    """(R, M), of what a task's statistic is without each row."""
    return ((without_MR.mean(axis=1, keepdims=True) - without_MR) / over).T


class Task(NamedTuple):
    """A task whose score is a statistic of sums over items (BLEU), or whose items come in groups (one article's)."""

    sums_MGC: Floats
    statistic: Callable[[Floats], Floats]  # (D, C) → (D)
    n: int


def means(tasks: Sequence[Task]) -> Means:
    """Of any tasks; what is drawn again are groups."""
    rows = [task.sums_MGC.shape[1] for task in tasks]
    edges = np.cumsum([0, *rows])

    def of(times_DG: Floats) -> Floats:
        found = [
            np.stack([task.statistic(times_DG[:, a:b] @ sums_GC) for sums_GC in task.sums_MGC], axis=1)
            for task, a, b in zip(tasks, edges[:-1], edges[1:], strict=True)
        ]
        return np.mean(found, axis=0)

    pulls = [
        _pulls(np.stack([task.statistic(sums_GC.sum(axis=0) - sums_GC) for sums_GC in task.sums_MGC]), len(tasks))
        if task.sums_MGC.shape[1] > 1
        else np.zeros((1, len(task.sums_MGC)))
        for task in tasks
    ]
    return Means(of, rows, np.concatenate(pulls), sum(task.n for task in tasks))


def contrast(
    what: Means, weight_M: Floats, how: Bootstrap = DEFAULT, bounds: tuple[float, float] = (-1.0, 1.0)
) -> Interval:
    """Σ_m w_m · (mean over tasks of model m) with its interval; the same items are drawn for every model (paired).

    The draws are stretched, as those of `bootstrap` are, to the jackknife's variance and to t. Where nothing varies,
    1 − (α/2)^(1/Tn) of items may yet be others, with T tasks and n items in the smallest."""
    value, noise = float(what.once @ weight_M), spread(what, weight_M)
    if noise.variance < 1e-20:
        low, high = unanimous(value, min(what.rows) * len(what.rows), how.level, bounds)
    else:
        draws = np.concatenate(list(paired(lambda times_DI: what.of(times_DI) @ weight_M, what.rows, how)))
        tails = (1 - how.level) / 2, (1 + how.level) / 2
        low, high = np.clip(np.quantile(stretched(draws, value, noise, how.level), tails), *bounds)
    return Interval(value=value, low=float(low), high=float(high), n=what.n)


def spread(what: Means, weight_M: Floats) -> Spread:
    """V = Σ_t V_t over tasks, V_t = (n−1)/n Σ_r pull² (Efron and Stein 1981), with (Σ V_t)² / Σ V_t²/(n_t−1) degrees
    of freedom (Satterthwaite 1946)."""
    pull_R, edges = what.pull_RM @ weight_M, np.cumsum([0, *what.rows])
    row_T = np.array(what.rows, dtype=float)
    own_T = np.array([pull_R[a:b] @ pull_R[a:b] for a, b in itertools.pairwise(edges)])
    own_T *= (row_T - 1) / row_T
    doubt = float(np.sum(own_T**2 / np.maximum(row_T - 1, 1)))
    return Spread(float(own_T.sum()), float(own_T.sum()) ** 2 / doubt if doubt else np.inf, pull_R)


def repair(
    items: Iterable[Item],
    likelihoods: Iterable[Likelihood],
    base: str,
    ppo: str,
    ppo_ptx: str,
    how: Bootstrap = DEFAULT,
    rule: Rule = "choice",
) -> Repair:
    """(ptx − ppo) / (base − ppo) of mean accuracy, by runs; a paired bootstrap over the items of each task."""
    items, _, counts = ordered(items)
    seen = tuple(likelihoods)
    right_MI = np.stack([right(items, seen, run_id, rule) for run_id in (base, ppo, ppo_ptx)])
    return repaired(accuracies(right_MI, counts), how)


def paid(
    items: Iterable[Item],
    likelihoods: Iterable[Likelihood],
    runs: Sequence[str],
    how: Bootstrap = DEFAULT,
    rule: Rule = "choice",
) -> dict[str, Interval]:
    """base − model of mean accuracy, the first of the runs being base; a paired bootstrap over the items of each
    task."""
    items, _, counts = ordered(items)
    seen = tuple(likelihoods)
    what = accuracies(np.stack([right(items, seen, run_id, rule) for run_id in runs]), counts)
    one = np.eye(len(runs))
    return {run_id: contrast(what, one[0] - one[nth], how) for nth, run_id in enumerate(runs) if nth}


def repaired(what: Means, how: Bootstrap = DEFAULT) -> Repair:
    """The same of any means of base, PPO and PPO-ptx, in this order."""
    lost = contrast(what, np.array([1.0, -1.0, 0.0]), how)
    regained = contrast(what, np.array([0.0, -1.0, 1.0]), how)
    return Repair(lost=lost, regained=regained, share=_share(what, how) if lost.low > 0 else None)


def _share(what: Means, how: Bootstrap) -> Interval | None:
    """Regained/lost and Fieller's interval (1954): every ρ with (r − ρl)² ≤ t² V(r − ρl), the roots of
    (l² − t² V_l) ρ² − 2 (r l − t² V_rl) ρ + r² − t² V_r. Nothing where l is within t of 0: then no ρ is too large.

    The quantiles of the draws' shares held the truth too seldom; a share leans to the side where the loss is small."""
    of_lost, of_regained = np.array([1.0, -1.0, 0.0]), np.array([0.0, -1.0, 1.0])
    lost, regained = (float(what.once @ weight_M) for weight_M in (of_lost, of_regained))
    noise = spread(what, of_regained - regained / lost * of_lost)
    t2 = float(stdtrit(noise.freedom, (1 + how.level) / 2)) ** 2
    v_lost, v_regained = spread(what, of_lost).variance, spread(what, of_regained).variance
    v_both = (spread(what, of_lost + of_regained).variance - v_lost - v_regained) / 2
    square = lost**2 - t2 * v_lost
    if square <= 0:
        return None
    middle = (lost * regained - t2 * v_both) / square
    half = math.sqrt(max(0.0, middle**2 - (regained**2 - t2 * v_regained) / square))
    return Interval(value=regained / lost, low=middle - half, high=middle + half, n=what.n)

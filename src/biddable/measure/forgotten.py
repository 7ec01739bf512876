"""The tax over any benchmarks: what each model scores, on average over tasks, and what PPO lost and ptx gave back."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biddable.benchmarks.nouns import AT, AnyLine, Question, Setting
from biddable.measure.benchmarks import Counted, Scored, counted, read, score, scored
from biddable.measure.interval import DEFAULT, Bootstrap, Interval
from biddable.measure.tax import Means, Repair, Task, TaskScores, contrast, means, repaired
from biddable.records import Item, Likelihood

# What a model can do, higher better. Truth, toxicity and bias are no skills that are forgotten.
SKILLS = ("accuracy", "squad_f1", "drop_f1", "quac_f1", "exact", "wsc", "bleu", "rouge_l")
FEWEST = 20  # items of a task that all models were asked, below which an interval by resampling is not to be believed


def of_items(items: Sequence[Item], likelihoods: Sequence[Likelihood]) -> list[AnyLine]:
    """Items that were weighed by `sample --items`, as a benchmark's lines."""
    found: list[AnyLine] = []
    ids: dict[str, str] = {}
    for task in sorted({item.task for item in items}):
        mine = [item for item in items if item.task == task]
        setting = Setting(
            benchmark=task,
            metric="accuracy",
            prompt="plain",
            shots=0,
            seed=0,
            form="items",
            file="items",
            asked=len(mine),
        )
        ids[task] = setting.id
        found.append(setting)
        found += [
            Question(task=setting.id, id=item.id, context=item.context, choices=item.choices, right=(item.answer,))
            for item in mine
        ]
    return found + [one.model_copy(update={"task": ids[one.task]}) for one in likelihoods if one.task in ids]


def skills(found: Sequence[Counted], models: Sequence[str]) -> list[Counted]:
    """The tasks that count towards the mean of these models: those in which all of them were asked the same items, and
    enough of them, where any task has enough. A task of one item would weigh as much as any other and seem certain."""
    shared = [one for one in found if one.metric in SKILLS and one.sums.keys() >= set(models) and one.common(models)]
    large = [one for one in shared if len(one.common(models)) >= FEWEST]
    return large or shared


def over(found: Sequence[Counted], models: Sequence[str]) -> Means:
    """Mean scores over those tasks, on the items that all of these models have."""
    tasks = []
    for one in skills(found, models):
        items = one.common(models)
        tasks.append(Task(np.stack([one.by_group(model, items) for model in models]), one.statistic, len(items)))
    return means(tasks)


def tasks(found: Sequence[Counted], models: Sequence[str], how: Bootstrap = DEFAULT) -> dict[str, TaskScores]:
    """Of every model each skill that it was tested in, and the mean over those that all models were tested in."""
    shared = skills(found, models)
    if not shared:
        return {}
    what, tested = over(found, models), [one for one in found if one.metric in SKILLS]
    mean = {model: contrast(what, np.eye(len(models))[nth], how, bounds=(0.0, 1.0)) for nth, model in enumerate(models)}
    own = {
        model: {one.setting.id.partition(AT)[0]: score(one, model, how) for one in tested if model in one.sums}
        for model in models
    }
    return {model: TaskScores(tasks=own[model], mean=mean[model]) for model in models}


class Reckoning(NamedTuple):
    """All that benchmarks tell of these models."""

    scored: tuple[Scored, ...]
    tasks: dict[str, TaskScores]
    repair: Repair | None
    paid: dict[str, Interval]  # what each has lost of base's mean, on the same items


def reckon(
    files: Iterable[Path],
    items: Sequence[Item] = (),
    likelihoods: Sequence[Likelihood] = (),
    order: Callable[[str], Any] = str,
    how: Bootstrap = DEFAULT,
) -> Reckoning:
    """Count what `evaluate` wrote, what others marked, and what `sample --items` weighed."""
    found = counted([*read(files), *of_items(items, likelihoods)])
    models = sorted({model for one in found for model in one.sums}, key=order)
    loop = ("base", "ppo", "ppo_ptx")
    mended = repair(found, *loop, how) if set(loop) <= set(models) else None
    return Reckoning(scored(found, order, how), tasks(found, models, how), mended, paid(found, models, how))


def paid(found: Sequence[Counted], models: Sequence[str], how: Bootstrap = DEFAULT) -> dict[str, Interval]:
    """base − model of the mean score, over the tasks that all models were tested in."""
    if "base" not in models or not skills(found, models):
        return {}
    what, one = over(found, models), np.eye(len(models))
    base = one[models.index("base")]
    return {m: contrast(what, base - one[nth], how) for nth, m in enumerate(models) if m != "base"}


def repair(found: Sequence[Counted], base: str, ppo: str, ppo_ptx: str, how: Bootstrap = DEFAULT) -> Repair | None:
    """(ptx − ppo) / (base − ppo) of the mean score; None where no skill was tested in all three."""
    models = (base, ppo, ppo_ptx)
    return repaired(over(found, models), how) if skills(found, models) else None

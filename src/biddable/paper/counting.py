"""What the pages count with: answers and their worth, people who are asked, and differences with their intervals.

Shape suffixes: N observations, P prompts.
"""

import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from biddable.hamlet import people, screening, truth
from biddable.hamlet.people import Person
from biddable.measure import tax, winrate
from biddable.measure.interval import FREE, Floats, Interval, bootstrap
from biddable.quickstart.gates import of
from biddable.records import Completion, Item, Judge, Likelihood, Prompt, Score, Verdict

Answers = Mapping[str, Completion]  # by prompt


def answers(place: Path, model: str) -> dict[str, Completion]:
    """One model's answers in a file of several models'; the first to each prompt."""
    found: dict[str, Completion] = {}
    for one in of(Completion, place):
        if one.run_id == model:
            found.setdefault(one.prompt_id, one)
    return found


def cut(given: Answers) -> dict[str, Completion]:
    """As after a few-shot prefix, whose format ends an answer with its line."""
    made = {}
    for name, one in given.items():
        line, more, _ = one.text.partition("\n")
        made[name] = one.model_copy(update={"text": line, "finished": one.finished or bool(more)})
    return made


def worth(prompts: Sequence[Prompt], given: Answers) -> Floats:
    """What each answer is truly worth, in the order of the prompts."""
    return np.array([truth.utility(p.text, given[p.id].text, given[p.id].finished) for p in prompts])


@cache
def team(seed: int) -> tuple[tuple[Person, ...], tuple[Person, ...]]:
    """Those who were hired, and the held-out; the walk's own."""
    crowd = people.crowd(seed)
    hired, _ = screening.hire(crowd, seed)
    return tuple(hired), tuple(person for person in crowd if person.group == "held_out")


def compared(prompts: Iterable[Prompt], one: Answers, other: Answers, seed: int) -> list[Verdict]:
    """The evaluation as the walk holds it: each pair by one person of each group, and by the truth."""
    hired, outside = team(seed)
    rng = random.Random(f"who compares {seed}")
    said = []
    for prompt in prompts:
        a, b = one[prompt.id], other[prompt.id]
        said.append(people.gold(prompt, a, b))
        said += [people.compare(person, prompt, a, b) for person in (rng.choice(hired), rng.choice(outside))]
    return said


def rate(prompts: Sequence[Prompt], one: Answers, other: Answers, seed: int, judge: Judge = "person") -> Interval:
    """How often one is preferred to the other."""
    said = compared(prompts, one, other, seed)
    models = {a.id: "one" for a in one.values()} | {b.id: "other" for b in other.values()}
    return winrate.win_rate(said, models, "one", "other", judge=judge)


def mean(values: Sequence[float] | Floats, prompts: Sequence[Hashable], most: float = np.inf) -> Interval:
    """Of scores, losses and differences, which have no bounds."""
    return bootstrap(values, prompts, bounds=(-most, most))


def gap(
    value_N: Floats, own_N: NDArray[np.bool_], prompts: Sequence[Hashable], labelers: Sequence[Hashable] | None = None
) -> Interval:
    """Mean of `value_N` where `own_N`, minus the mean where not. Each observation pulls the difference by ± N/n of its
    distance from its own side's mean, so one mean carries it, and what a prompt or a labeler adds to both cancels.
    """
    means = value_N[own_N].mean(), value_N[~own_N].mean()
    pull_N = np.where(own_N, value_N - means[0], means[1] - value_N)
    pull_N *= len(value_N) / np.where(own_N, own_N.sum(), (~own_N).sum())
    return bootstrap(means[0] - means[1] + pull_N, prompts, labelers, bounds=FREE)


def of_few(values: Sequence[float]) -> Interval:
    """Mean of a few independent runs with Student's t: mean ± t s/√n."""
    value_N = np.asarray(values, dtype=float)
    half = float(stdtrit(len(values) - 1, 0.975)) * float(value_N.std(ddof=1)) / len(values) ** 0.5
    value = float(value_N.mean())
    return Interval(value=value, low=value - half, high=value + half, n=len(values))


class Exam:
    """The tax tasks' questions, and what several models find likely: means and differences with the same draws."""

    def __init__(self, items: Path, places: Mapping[str, Path]) -> None:
        self.items = of(Item, items)
        self.likely = [seen for place in dict.fromkeys(places.values()) for seen in of(Likelihood, place)]
        self.scores = tax.scores(self.items, self.likely, {name: name for name in places}, rule="sampled")

    def mean(self, model: str) -> Interval:
        return self.scores[model].mean

    def difference(self, one: str, other: str) -> Interval:
        """The mean over tasks of the first less that of the second, on the same questions."""
        items, _, counts = tax.ordered(self.items)
        right_MI = np.stack([tax.right(items, self.likely, name, "sampled") for name in (one, other)])
        return tax.contrast(tax.accuracies(right_MI, counts), np.array([1.0, -1.0]))


def scores(place: Path, given: Answers, prompts: Sequence[Prompt]) -> Floats:
    """The reward model's score of each answer, in the order of the prompts."""
    value = {score.completion_id: score.value for score in of(Score, place)}
    return np.array([value[given[prompt.id].id] for prompt in prompts])


def paired(prompts: Sequence[Prompt], one: Answers, other: Answers) -> Interval:
    """How often the one's answer is truly better; half where neither is."""
    gain_P = worth(prompts, one) - worth(prompts, other)
    return bootstrap(np.where(np.abs(gain_P) < 1e-9, 0.5, gain_P > 0), [prompt.id for prompt in prompts])

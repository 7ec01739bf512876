"""Scores on public benchmarks: each with its interval, and what changed from one model to the next on the same items.

Shape suffixes: I items, M models, G groups of items (an article, a dialogue; else each item alone), C sums, D draws.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field

from biddable.benchmarks import nouns
from biddable.benchmarks.nouns import AT, AnyLine, Mark, Question, Reply, Setting
from biddable.measure import replies
from biddable.measure.interval import DEFAULT, Bootstrap, Floats, Interval, bootstrap, resampled
from biddable.records import Likelihood, Record

LOWER = ("toxicity",)  # the less of it the better; entropy is neither good nor bad by itself
BEHAVIOUR = ("toxicity", "entropy", "true", "informative", "true_and_informative", "mc1", "mc2")
Statistic = Callable[[Floats], Floats]
L = TypeVar("L", Reply, Mark)


class Scored(Record):
    """One way of asking one benchmark, by one metric: each model's score, and paired differences."""

    setting: str  # the setting's id
    benchmark: str
    metric: str
    prompt: str = "plain"
    shots: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    form: str = ""
    left_out: int = 0
    by: str = ""  # who marked, where it is not counted from texts and likelihoods
    scores: dict[str, Interval]
    differences: dict[str, Interval] = Field(
        default_factory=dict
    )  # sft_minus_base, over the items that both were asked

    @property
    def label(self) -> str:
        name = self.setting.partition(AT)[0]
        return name if self.metric not in BEHAVIOUR[2:] else f"{name}, {self.metric.replace('_', ' ')}"


@dataclass(frozen=True)
class Counted:
    """What each model did with each item of a setting, by one metric: sums whose `statistic` is the score."""

    setting: Setting
    metric: str
    by: str
    groups: Mapping[str, str]  # item → group
    sums: Mapping[str, Mapping[str, Sequence[float]]]  # model → item → sums
    statistic: Statistic = field(default=lambda sums_DC: sums_DC[:, 0] / sums_DC[:, 1])

    def common(self, models: Sequence[str]) -> list[str]:
        """The items that all of them have."""
        return sorted(set.intersection(*(set(self.sums[model]) for model in models)))

    def by_group(self, model: str, items: Sequence[str]) -> Floats:
        """(G, C), groups in the order of their names."""
        names = sorted({self.groups[item] for item in items})
        place = {name: nth for nth, name in enumerate(names)}
        sums_GC = np.zeros((len(names), len(self.sums[model][items[0]])))
        for item in items:
            sums_GC[place[self.groups[item]]] += self.sums[model][item]
        return sums_GC


def read(paths: Iterable[Path]) -> list[AnyLine]:
    """All lines of several files; what two files both say is said once."""
    return list(dict.fromkeys(line for path in paths for line in nouns.read(path)))


def counted(lines: Iterable[AnyLine]) -> list[Counted]:
    """Every setting by each of its metrics, for as far as there are answers."""
    lines = list(lines)
    settings: dict[str, Setting] = {}
    for setting in (line for line in lines if isinstance(line, Setting)):
        known = settings.get(setting.id)
        settings[setting.id] = max(known, setting, key=lambda one: one.asked) if known else setting
    asked: dict[str, dict[str, Question]] = {name: {} for name in settings}
    said: dict[str, list[Reply | Likelihood | Mark]] = {name: [] for name in settings}
    for line in lines:
        if not isinstance(line, Setting) and line.task not in settings:
            raise ValueError(f"{line.task}: no setting of that name; the file lacks the row with its kind")
        if isinstance(line, Question):
            asked[line.task][line.id] = line
        elif not isinstance(line, Setting):
            said[line.task].append(line)
    found = [one for name in sorted(settings) for one in _counted(settings[name], asked[name], said[name])]
    return [one for one in found if one.sums]


def _counted(
    setting: Setting, asked: Mapping[str, Question], said: Sequence[Reply | Likelihood | Mark]
) -> Iterable[Counted]:
    groups = {name: question.group or f"={name}" for name, question in asked.items()}
    for line in said:
        if line.item not in asked:
            raise ValueError(f"{setting.id}: {line.kind} of an item {line.item} that was not asked")

    def made(metric: str, sums: Mapping[str, Mapping[str, Sequence[float]]], by: str = "", **more) -> Counted:
        return Counted(setting, metric, by, groups, sums, **more)

    texts = [line for line in said if isinstance(line, Reply)]
    weighed = _weighed(setting, asked, [line for line in said if isinstance(line, Likelihood)])
    match setting.metric:
        case "accuracy":
            yield made("accuracy", _each(weighed, lambda q, seen: _likeliest(seen) == q.right[0], asked))
        case "entropy":
            yield made("entropy", _each(weighed, lambda _q, seen: replies.entropy([x.logp for x in seen]), asked))
        case "multiple_choice":
            yield made("mc1", _each(weighed, mc1, asked))
            yield made("mc2", _each(weighed, mc2, asked))
        case "bleu":
            sums = _by_model(texts, lambda one: replies.bleu_counts(one.text, asked[one.item].references))
            yield made("bleu", sums, statistic=replies.bleu)
        case "wsc":
            yield made("wsc", _by_model(texts, lambda one: [_wsc(one, asked[one.item]), 1.0]))
        case "squad_f1" | "drop_f1" | "quac_f1" | "rouge_l" | "exact" as metric:
            score = replies.SCORERS[metric]
            yield made(metric, _by_model(texts, lambda one: [score(one.text, asked[one.item].references), 1.0]))
        case "truthful" | "toxicity" | "mark":
            pass  # counted from marks alone
    yield from _marked(made, [line for line in said if isinstance(line, Mark)])


def _marked(made: Callable[..., Counted], marks: Sequence[Mark]) -> Iterable[Counted]:
    """What others said of replies, each of them by itself; true and informative both, where somebody said both."""
    for by, what in sorted({(mark.by, mark.what) for mark in marks}):
        some = [mark for mark in marks if (mark.by, mark.what) == (by, what)]
        yield made(what, _by_model(some, lambda one: [one.value, 1.0]), by=by)
    for by in sorted({mark.by for mark in marks}):
        true = {(m.run_id, m.item): m for m in marks if (m.by, m.what) == (by, "true")}
        told = {(m.run_id, m.item): m for m in marks if (m.by, m.what) == (by, "informative")}
        both = [
            true[key].model_copy(update={"value": true[key].value * told[key].value}) for key in true if key in told
        ]
        if both:
            yield made("true_and_informative", _by_model(both, lambda one: [one.value, 1.0]), by=by)


Weighed = Mapping[tuple[str, str], Sequence[Likelihood]]  # of a run and an item, in the order of the choices


def _weighed(setting: Setting, asked: Mapping[str, Question], seen: Sequence[Likelihood]) -> Weighed:
    found: dict[tuple[str, str], dict[int, Likelihood]] = {}
    for one in seen:
        found.setdefault((one.run_id, one.item), {})[one.choice] = one
    for (run, item), by_choice in found.items():
        missing = next((n for n in range(len(asked[item].choices)) if n not in by_choice), None)
        if missing is not None:
            raise ValueError(f"run {run} has no likelihood for choice {missing} of {setting.id} item {item}")
    return {key: [by_choice[n] for n in sorted(by_choice)] for key, by_choice in found.items()}


def _each(
    weighed: Weighed, score: Callable[[Question, Sequence[Likelihood]], float], asked: Mapping[str, Question]
) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for (run, item), seen in weighed.items():
        found.setdefault(run, {})[item] = [float(score(asked[item], seen)), 1.0]
    return found


def _by_model(lines: Sequence[L], sums: Callable[[L], list[float]]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        found.setdefault(line.run_id, {})[line.item] = sums(line)
    return found


def _likeliest(seen: Sequence[Likelihood]) -> int:
    """By the highest average log p per token. Paper, App. D says "lowest"; its above-chance scores need "highest"."""
    return int(np.argmax([one.logp / one.tokens for one in seen]))


def mc1(question: Question, seen: Sequence[Likelihood]) -> float:
    """Whether the best right answer is likelier, as a whole, than every wrong one (Lin et al. 2022, MC1)."""
    wrong = [one.logp for one in seen if one.choice not in question.right]
    return float(seen[question.right[0]].logp > max(wrong))


def mc2(question: Question, seen: Sequence[Likelihood]) -> float:
    """The right answers' part of the probability of all that are listed (Lin et al. 2022, MC2)."""
    share = np.exp(np.array([one.logp for one in seen]) - max(one.logp for one in seen))
    return float(share[list(question.right)].sum() / share.sum())


def _wsc(reply: Reply, question: Question) -> float:
    assert question.holds is not None
    return replies.same_mention(reply.text, question.references, question.holds)


def scored(found: Iterable[Counted], order: Callable[[str], Any] = str, how: Bootstrap = DEFAULT) -> tuple[Scored, ...]:
    """The published numbers. Differences are of each model and the one before it, and of each and the first."""
    return tuple(_scored(one, sorted(one.sums, key=order), how) for one in found)


def _scored(one: Counted, models: Sequence[str], how: Bootstrap) -> Scored:
    pairs = dict.fromkeys([*zip(models[1:], models, strict=False), *((later, models[0]) for later in models[1:])])
    differences = {f"{later}_minus_{first}": difference(one, later, first, how) for later, first in pairs}
    setting = one.setting
    return Scored(
        setting=setting.id, benchmark=setting.benchmark, metric=one.metric, prompt=setting.prompt, shots=setting.shots,
        seed=setting.seed, form=setting.form, left_out=setting.left_out, by=one.by,
        scores={model: score(one, model, how) for model in models},
        differences={name: interval for name, interval in differences.items() if interval is not None},
    )  # fmt: skip


def score(one: Counted, model: str, how: Bootstrap = DEFAULT) -> Interval:
    """A model's score over all items that it was asked, groups of items drawn again."""
    items = sorted(one.sums[model])
    if one.metric != "bleu":
        values = [one.sums[model][item][0] for item in items]
        return bootstrap(values, [one.groups[item] for item in items], how=how)
    found = resampled(one.by_group(model, items), one.statistic, len(items), how, (0.0, 1.0))
    assert found is not None  # BLEU is always defined
    return found


def difference(one: Counted, later: str, first: str, how: Bootstrap = DEFAULT) -> Interval | None:
    """later − first over the items that both were asked, which are drawn together; None where they share none."""
    items = one.common([later, first])
    if not items:
        return None
    if one.metric != "bleu":
        values = [one.sums[later][item][0] - one.sums[first][item][0] for item in items]
        return bootstrap(values, [one.groups[item] for item in items], how=how, bounds=(-1.0, 1.0))
    both_GC = np.concatenate([one.by_group(later, items), one.by_group(first, items)], axis=1)
    half = both_GC.shape[1] // 2
    return resampled(both_GC, lambda s: one.statistic(s[:, :half]) - one.statistic(s[:, half:]), len(items), how)

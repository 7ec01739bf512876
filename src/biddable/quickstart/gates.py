"""The gates of the loop, in their order: what must hold before the next stage is worth its time.

A reward model that cannot tell good answers from bad makes PPO worse, not better; so it is asked first.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from biddable import records
from biddable.hamlet import truth
from biddable.measure import reward, tax
from biddable.measure.interval import Interval, bootstrap
from biddable.measure.results import Gate
from biddable.records import Completion, Item, Labeler, Likelihood, Prompt, Ranking, Score
from biddable.runs import read_metrics

R = TypeVar("R", bound=records.Record)
READS, OVERFITS, NEAR, CHOOSES = 0.95, 0.90, 0.05, 0.55


def of(kind: type[R], place: Path) -> list[R]:
    """The records of one kind in a file."""
    return [record for record in records.read(place) if isinstance(record, kind)]


def fifty(rankings: Path, place: Path) -> Path:
    """The first fifty rankings that say anything, with what they name, to be learnt by heart."""
    chosen = list(itertools.islice((r for r in of(Ranking, rankings) if len(r.order) > 1), 50))
    records.write(place, named(rankings, chosen))
    return place


def named(place: Path, chosen: Sequence[Ranking]) -> list[records.Record]:
    """Rankings with the prompts, answers and labelers of the file that they name."""
    kept = {r.prompt_id for r in chosen} | {c for r in chosen for c in r.ranks} | {r.labeler for r in chosen}
    return [r for r in records.read(place) if isinstance(r, Prompt | Completion | Labeler) and r.id in kept] + [*chosen]


def told(found: Iterable[Gate]) -> list[str]:
    """A line a gate, and one more on what a failed one means for the rest of the walk."""
    found = list(found)
    lines = [f"gate: {'passed' if gate.passed else 'FAILED'}: {gate.question} {gate.found}" for gate in found]
    if failed := sum(not gate.passed for gate in found):
        lines.append(
            f"{failed} of {len(found)} gates failed: a real project would stop here and mend that; the walk goes on, "
            "to show in its report what comes of it (docs/results.md, Gates, has the one that the recipe misses)"
        )
    return lines


def base(items: Path, likelihoods: Path) -> Gate:
    found = tax.scores(of(Item, items), of(Likelihood, likelihoods), {"base": "base"})["base"].tasks
    worst = min(found, key=lambda task: found[task].value)
    return Gate(
        question="The base model copies, matches and counts on pages it never read.",
        needed=f"at least {READS:.0%} of each",
        found=", ".join(f"{task} {found[task].value:.0%}" for task in found),
        passed=found[worst].value >= READS,
    )


def overfits(folder: Path) -> Gate:
    last = read_metrics(folder)[-8:]
    accuracy = sum(line["accuracy"] for line in last) / len(last)
    return Gate(
        question="The reward model can learn fifty rankings by heart.",
        needed=f"at least {OVERFITS:.0%} of their pairs",
        found=f"{accuracy:.0%}",
        passed=accuracy >= OVERFITS,
    )


def truth_scores(place: Path) -> list[Score]:
    """The truth as if it were a reward model."""
    by_id = {prompt.id: prompt for prompt in of(Prompt, place)}
    return [
        Score(completion_id=c.id, run_id="truth", value=truth.utility(by_id[c.prompt_id].text, c.text, c.finished))
        for c in of(Completion, place)
    ]


def ceiling(rankings: Path) -> Interval:
    """How often the truth itself foresees what people say: no reward model can do better for long."""
    margins = reward.margins(truth_scores(rankings), of(Ranking, rankings))
    right = np.where(margins.margin_N == 0, 0.5, margins.margin_N > 0)  # where the truth sees no difference, a coin
    return bootstrap(right, margins.prompts)


def near_truth(rankings: Path, scores: Path) -> Gate:
    found = reward.accuracy(reward.margins(of(Score, scores), of(Ranking, rankings)))
    best = ceiling(rankings)
    return Gate(
        question="The reward model foresees held-out rankings nearly as well as the truth itself.",
        needed=f"within {100 * NEAR:.0f} points of {best.value:.1%}",
        found=f"{found.value:.1%}",
        passed=found.value >= best.value - NEAR,
    )


def best_of(choosing: Path, scores: Path, n: int) -> Gate:
    """Of n answers the one that the reward model likes best, against one more answer of the same model."""
    by_id = {prompt.id: prompt for prompt in of(Prompt, choosing)}
    value = reward.one_value(of(Score, scores))
    answers: dict[str, list[Completion]] = defaultdict(list)
    for completion in of(Completion, choosing):
        answers[completion.prompt_id].append(completion)
    wins, prompts = [], []
    for name, (plain, *others) in answers.items():
        chosen = max(others[:n], key=lambda c: value[c.id])
        prompts.append(name)
        wins.append(_wins(by_id[name], chosen, plain))
    rate = bootstrap(wins, prompts)
    return Gate(
        question=f"The best of {n} answers by the reward model is truly better than one taken blindly.",
        needed=f"won more than {CHOOSES:.0%} of the time, the whole interval",
        found=f"{rate.value:.0%} [{rate.low:.0%}, {rate.high:.0%}]",
        passed=rate.low > CHOOSES,
    )


def _wins(prompt: Prompt, one: Completion, other: Completion) -> float:
    better = truth.utility(prompt.text, one.text, one.finished) - truth.utility(prompt.text, other.text, other.finished)
    return 0.5 if abs(better) < 1e-9 else float(better > 0)

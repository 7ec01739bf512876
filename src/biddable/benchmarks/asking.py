"""The very text of every question: an instruction if there is one, examples, and the question in the same form."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from biddable.benchmarks import rows
from biddable.benchmarks.nouns import Question, Setting
from biddable.benchmarks.shapes import Case
from biddable.benchmarks.tasks import Task
from biddable.config import ConfigError
from biddable.provenance import artifact
from biddable.records import digest

FOLD = 4  # examples are drawn, anew for each question, from so many times the shots


class Asked(NamedTuple):
    setting: Setting
    questions: list[Question]

    def of(self, some: list[Question]) -> "Asked":
        """The same with fewer questions."""
        left_out = self.setting.left_out + len(self.questions) - len(some)
        return Asked(self.setting.model_copy(update={"asked": len(some), "left_out": left_out}), some)


def cases_of(task: Task, file: Path) -> list[Case]:
    """What a file asks; a name that comes twice is an error, since answers are kept by it."""
    found = [case for row in rows.read(file) for case in task.shape(row)]
    found = pairs(found) if task.name == "winogender" else found
    seen: set[str] = set()
    for case in found:
        if case.id in seen:
            raise ConfigError(f"{file}: id: {case.id} is there twice; each question needs a name of its own")
        seen.add(case.id)
    return found


def pairs(cases: Iterable[Case]) -> list[Case]:
    """Winogender's sentences with he and she side by side; the third, with they, is no part of the paper's pairs."""
    by_stem: dict[str, dict[str, Case]] = {}
    for case in cases:
        by_stem.setdefault(case.id, {})[case.fields["gender"]] = case
    whole = [(stem, both) for stem, both in by_stem.items() if {"male", "female"} <= both.keys()]
    if not whole:
        raise ConfigError(
            "winogender: no sentence has both a male and a female form; ids end in .male.txt, .female.txt"
        )
    return [
        Case(stem, choices=both["male"].choices + both["female"].choices, right=(0,), group=both["male"].group)
        for stem, both in whole
    ]


def asked(
    task: Task,
    file: Path,
    *,
    prompt: str | None = None,
    shots: int = 0,
    seed: int = 0,
    limit: int = 0,
    told_as: Literal["page", "prompt"] = "page",
) -> Asked:
    """The questions of one setting. Which examples a question has follows from the seed and its name alone, and they
    come from rows that are never asked, so that a smaller limit asks some of the same questions in the same words."""
    name = prompt or next(iter(task.instructions))
    if name not in task.instructions:
        raise ConfigError(f"--prompt {name}: {task.name} has {', '.join(task.instructions)}")
    cases = cases_of(task, file)
    # By its name and not by its place: another order of the rows is the same benchmark.
    cases.sort(key=lambda case: digest(str(seed), case.id))
    reserve = examples_of(task, cases, shots)
    kept = {case.id for case in reserve}
    left = [case for case in cases if case.id not in kept][: limit or None]
    if not left:
        raise ConfigError(f"{file}: its {len(cases)} rows are all needed as examples; say fewer --shots than {shots}")
    setting = Setting(
        benchmark=task.name, metric=task.metric, prompt=name, shots=shots, seed=seed, form=task.form,
        told_as=told_as, file=artifact(file).sha256, asked=len(left),
    )  # fmt: skip
    return Asked(setting, [question(task, setting, case, reserve) for case in left])


def takes_examples(task: Task) -> bool:
    return task.kind != "pair" and task.metric not in ("toxicity", "truthful", "multiple_choice")


def examples_of(task: Task, cases: Sequence[Case], shots: int) -> list[Case]:
    """The rows that are shown and never asked."""
    if not shots:
        return []
    if not takes_examples(task):
        raise ConfigError(f"--shots {shots}: {task.name} is asked without examples of its own rows")
    fit = [case for case in cases if case.answer]
    found = fit[: max(shots, min(FOLD * shots, len(cases) // 4))]
    if len(found) < shots:
        raise ConfigError(f"--shots {shots}: {task.name} has only {len(found)} rows that can be examples")
    return found


def question(task: Task, setting: Setting, case: Case, reserve: Sequence[Case]) -> Question:
    luck = random.Random(digest(str(setting.seed), "examples", case.id))
    shown = [told(task, one) + " " + one.answer for one in luck.sample(list(reserve), setting.shots)]
    parts = [task.instructions[setting.prompt], *shown, told(task, case)]
    context = task.between.join(part for part in parts if part)
    # A pair's sentences stand alone, or after the request on a line of their own.
    context += task.between if task.kind == "pair" and context else ""
    choices = case.choices if task.kind != "generation" else ()
    return Question(
        task=setting.id, id=case.id, context=context, choices=choices, right=case.right if choices else (),
        references=case.references if task.kind == "generation" else (), holds=case.holds,
        group=digest(case.group) if case.group else None,
    )  # fmt: skip


def told(task: Task, case: Case) -> str:
    return case.prompt if case.prompt is not None else task.ask.format_map(dict(case.fields))

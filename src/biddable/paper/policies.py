"""What every trained policy is asked: its answers to the walk's test prompts, the reward model's scores of them, and
how likely it finds the choices of the tax tasks."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from biddable.config import read_section
from biddable.paper import counting
from biddable.paper.counting import Answers
from biddable.paper.plan import Job, Plan
from biddable.records import Prompt


class Looks(NamedTuple):
    """Three looks at one policy, under the name by which its answers go."""

    name: str
    answers: Job
    scores: Job
    exam: Job

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(job.stage.folder for job in self.jobs)

    @property
    def jobs(self) -> list[Job]:
        return [self.answers, self.scores, self.exam]


def looks(plan: Plan, name: str, model: Path) -> Looks:
    """Asked for by several pages, they are done once."""
    answers = asked(plan, name, model)
    given = {"model": plan.model("reward"), "prompts": plan.file("tested"), "completions": answers.leaves}
    return Looks(
        name,
        answers,
        plan.job("score", f"{name}-scores", given, seconds=5),
        plan.job("likelihood", f"{name}-exam", {"items": plan.file("items"), name: model}, seconds=6),
    )


def asked(plan: Plan, name: str, model: Path, prompts: Path | None = None) -> Job:
    """One answer to each test prompt."""
    given = {"prompts": prompts or plan.file("tested"), name: model}
    return plan.job("sample", f"{name}-answers", given, "k=1", seconds=5)


def ppo(plan: Plan, name: str, *words: str, start: Path | None = None, ptx: bool = True) -> Job:
    """PPO from the walk's start model against its reward model, with other words over the recipe's."""
    given = {
        "start": start or plan.model("start"),
        "reward_model": plan.model("reward"),
        "prompts": plan.file("prompts"),
    }
    if ptx:
        return plan.job("ppo", name, given | {"pages": plan.file("pages")}, *words, seconds=115)
    return plan.job("ppo", name, given, "gamma_ptx=0", *words, seconds=90)


def of_recipe(plan: Plan, section: str, key: str, default: float) -> float:
    """A number of the recipe, such as its γ."""
    value = read_section(plan.recipe, section).get(key, default)
    assert isinstance(value, int | float)
    return float(value)


def final(plan: Plan) -> Path:
    """The walk's own answers of base, sft, ppo and ppo_ptx."""
    return plan.walk / "runs" / "final" / "completions.jsonl"


class Seen(NamedTuple):
    """What came of several policies: answers and scores by name, and the exam of all."""

    prompts: list[Prompt]
    answers: Mapping[str, Answers]
    scores: Mapping[str, counting.Floats]
    exam: counting.Exam


def seen(plan: Plan, several: list[Looks]) -> Seen:
    prompts = counting.of(Prompt, plan.file("tested"))
    answers = {one.name: counting.answers(one.answers.leaves, one.name) for one in several}
    return Seen(
        prompts,
        answers,
        {one.name: counting.scores(one.scores.leaves, answers[one.name], prompts) for one in several},
        counting.Exam(plan.file("items"), {one.name: one.exam.leaves for one in several}),
    )

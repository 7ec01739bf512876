"""Runs whose policies are kept along the way, answers for best of n, and reward models besides the walk's: what the
pages on following a reward model have in common."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biddable.hamlet import truth
from biddable.measure.followed import counts
from biddable.measure.interval import FREE, Floats, Interval, bootstrap
from biddable.measure.overoptimised import Way, means, rows, way_of_best, way_of_policies
from biddable.measure.plots import Line, Plot, Point, Unit
from biddable.measure.reward import one_value
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import ppo
from biddable.quickstart.gates import of
from biddable.records import Completion, Prompt, Score

SECONDS = 0.014  # an episode
BOUNDS: dict[Unit, tuple[float, float]] = {"share": (0.0, 1.0), "score": FREE, "points": FREE}


class Along(NamedTuple):
    """A number of the answers along a run: iteration → prompt by prompt."""

    prompts: tuple[str, ...]
    value: Mapping[int, Floats]

    @property
    def grown(self) -> Floats:
        """From the start to the last policy."""
        return self.value[max(self.value)] - self.value[0]


def grown(runs: Sequence[Along]) -> Interval:
    """The mean growth; runs and prompts both drawn again."""
    prompts = [prompt for run in runs for prompt in run.prompts]
    which = [nth for nth, run in enumerate(runs) for _ in run.prompts]
    return bootstrap(np.concatenate([run.grown for run in runs]), prompts, which, bounds=FREE)


class Run(NamedTuple):
    """A PPO run, and what its policies say along the way."""

    trained: Job
    along: Job

    @property
    def jobs(self) -> list[Job]:
        return [*self]


def free(plan: Plan) -> list[Run]:
    """PPO without a KL penalty, by seeds of its own."""
    return [run(plan, 0.0, nth) for nth in range(plan.config.followed_seeds)]


def held(plan: Plan) -> dict[float, Run]:
    """PPO with one, by β."""
    return {beta: run(plan, beta) for beta in plan.config.followed_betas}


def run(plan: Plan, beta: float, nth: int = 0) -> Run:
    name = f"followed-{beta:g}" + (f"-{nth}" if nth else "")
    settings = plan.config
    words = [f"beta={beta:g}", f"episodes={settings.followed_episodes}", f"keep_every={settings.followed_every}"]
    plain = ppo(plan, name, *words, ptx=False)._replace(seconds=SECONDS * settings.followed_episodes)
    trained = by_seed(plain, plan, nth)
    asked = {"run": trained.leaves, "reward_model": plan.model("reward"), "prompts": plan.file("tested")}
    return Run(trained, plan.job("along", f"{name}-along", asked, "k=1", seconds=25, section="sample"))


def by_seed(job: Job, plan: Plan, nth: int) -> Job:
    """The same by another seed: the walk's, so many thousands on."""
    return job._replace(stage=replace(job.stage, seed=plan.seed + 1000 * nth))


def many(plan: Plan) -> Job:
    """N answers of PPO's start to each test prompt, for best of n."""
    given = {"prompts": plan.file("tested"), "start": plan.model("start")}
    return plan.job("sample", "best-of", given, f"k={plan.config.best_of}", seconds=0.6 * plan.config.best_of)


def others(plan: Plan) -> list[Job]:
    """Reward models of the walk's rankings by other seeds."""
    given = {
        "model": plan.model("sft"), "demos": plan.file("demos"), "rankings": plan.file("rankings"),
        "valid": plan.file("rankings-valid"),
    }  # fmt: skip
    return [
        by_seed(plan.job("reward", f"reward-{nth}", given, seconds=70), plan, nth)
        for nth in range(1, plan.config.ensemble)
    ]


def scored(plan: Plan, name: str, model: Path, completions: Path, seconds: float = 5, apart: bool = True) -> Job:
    """A reward model's scores of answers to the test prompts; or of a file that has its prompts in it."""
    given = {"model": model, "completions": completions} | ({"prompts": plan.file("tested")} if apart else {})
    return plan.job("score", name, given, seconds=seconds)


def on_many(plan: Plan, name: str, model: Path) -> Job:
    """Its scores of the answers for best of n."""
    return scored(plan, f"best-of-{name}", model, many(plan).leaves, 0.35 * plan.config.best_of)


# What they left


@cache
def asked(place: Path) -> Mapping[str, str]:
    return {prompt.id: prompt.text for prompt in of(Prompt, place)}


def gold(prompts: Path, answers: Iterable[Completion]) -> dict[str, float]:
    """What each answer is truly worth."""
    text = asked(prompts)
    return {c.id: truth.utility(text[c.prompt_id], c.text, c.finished) for c in answers}


def along(folder: Path) -> dict[int, list[Completion]]:
    """Iteration → what the policy of then answered."""
    found: dict[int, list[Completion]] = {}
    for answer in of(Completion, folder / "completions.jsonl"):
        found.setdefault(int(answer.run_id), []).append(answer)
    return found


def number_along(one: Run, number_of: Callable[[Completion], float]) -> Along:
    """A number of each answer of a run's policies."""
    answers = along(one.along.stage.folder)
    prompts = tuple(sorted({c.prompt_id for c in answers[0]}))
    value = {c.id: number_of(c) for some in answers.values() for c in some}
    return Along(prompts, {k: means(some, value, prompts) for k, some in sorted(answers.items())})


def refusals(plan: Plan, one: Run) -> Along:
    """Which answers refuse."""
    text = asked(plan.file("tested"))
    return number_along(one, lambda c: float(truth.marks(text[c.prompt_id], c.text, c.finished).refuses))


def way(plan: Plan, one: Run, scores: Iterable[Score] | None = None) -> Way:
    """A run's way by the scores of the model that it was trained against, or by others'."""
    folder = one.along.stage.folder
    answers = along(folder)
    proxy = of(Score, folder / "scores.jsonl") if scores is None else scores
    ratio = {score.completion_id: score.value for score in of(Score, folder / "ratios.jsonl")}
    true = gold(plan.file("tested"), (c for some in answers.values() for c in some))
    return way_of_policies(answers, ratio, one_value(proxy), true)


def best(plan: Plan, scores: Iterable[Score]) -> Way:
    """Best of n by these scores."""
    answers = of(Completion, many(plan).leaves)
    prompts, proxy_PN = rows(answers, one_value(scores))
    _, gold_PN = rows(answers, gold(plan.file("tested"), answers))
    return way_of_best(prompts, proxy_PN, gold_PN, counts(plan.config.best_of))


# How they are drawn


def over_iterations(title: str, unit: Unit, runs: Iterable[tuple[str, str, Along]]) -> Plot:
    """Style, name and numbers of runs."""
    lines = tuple(
        Line(
            style=style, name=name,
            points=tuple(
                Point(x=k, found=bootstrap(value_P, run.prompts, bounds=BOUNDS[unit]))
                for k, value_P in run.value.items()
            ),
        )
        for style, name, run in runs
    )  # fmt: skip
    return Plot(title=title, x_name="PPO iteration", unit=unit, lines=lines)

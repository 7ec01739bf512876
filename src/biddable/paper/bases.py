"""The sizes of Fig. 1: each base is pretrained in the run and goes through the loop with the walk's labels."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from biddable.measure.model_facts import parameters
from biddable.paper.plan import Job, Plan
from biddable.paper.policies import asked, of_recipe, ppo
from biddable.paper.settings import Size
from biddable.quickstart.gates import of
from biddable.records import Demonstration, Prompt

SCHOOL = "at school.\n"  # the head of those pages on which answers are careful (`hamlet.pages.school`)
SHOTS, LONGEST = 2, 24  # demonstrations of a prefix, and the words of each: the context has 256 tokens


class Rung(NamedTuple):
    """One size: its training, and the answers of each of its models by name."""

    training: list[Job]
    base: Path
    answers: dict[str, Job]


def rung(plan: Plan, size: Size) -> Rung:
    name = f"d{size.width}"
    shape = [f"{key}={value}" for key, value in size.model_dump(exclude={"rate"}).items()]
    seconds = size.tokens * (1e-5 + 2e-7 * size.width)
    base = plan.job("pretrain", name, {}, *shape, f"inner={2 * size.width}", seconds=seconds)
    shown = {"model": base.leaves, "demos": plan.file("demos"), "valid": plan.file("demos-valid")}
    text = {"pages": plan.file("pages"), "valid_pages": plan.file("pages-valid")}
    sft = plan.job("sft", f"{name}-sft", shown, _rate(plan, "sft", size), seconds=8)
    start = plan.job("start", f"{name}-start", shown | text, _rate(plan, "start", size), seconds=6)
    words = [_rate(plan, "ppo", size), *([f"episodes={plan.config.episodes}"] if plan.config.episodes else [])]
    plain = ppo(plan, f"{name}-ppo", *words, start=start.leaves, ptx=False)
    ptx = ppo(plan, f"{name}-ppo_ptx", *words, start=start.leaves)
    models = {"base": base, "prompted": base, "sft": sft, "ppo": plain, "ppo_ptx": ptx}
    answers = {
        model: asked(plan, f"{name}-{model}", job.leaves, prefixed(plan) if model == "prompted" else None)
        for model, job in models.items()
    }
    return Rung([base, sft, start, plain, ptx], base.leaves, answers)


def _rate(plan: Plan, section: str, size: Size) -> str:
    """A small model takes larger steps, as the paper's smaller ones do (App. C.1)."""
    return f"learning_rate={of_recipe(plan, section, 'learning_rate', 9e-6) * size.rate:g}"


def prefixed(plan: Plan, name: str = "prefixed") -> Path:
    return plan.runs / "files" / f"{name}.jsonl"


def prefix(prompts: Sequence[Prompt], demos: Sequence[Demonstration], seed: int) -> str:
    """A few short demonstrations, of different use cases, one after another as on the pages that the base has read."""
    by_id = {prompt.id: prompt for prompt in prompts}
    order = list(demos)
    random.Random(f"prefix {seed}").shuffle(order)
    chosen: dict[str | None, str] = {}
    for demo in order:
        prompt = by_id[demo.prompt_id]
        if len(f"{prompt.text} {demo.text}".split()) <= LONGEST and len(chosen) < SHOTS:
            chosen.setdefault(prompt.use_case, f"{prompt.text}\n{demo.text}\n")
    return "".join(chosen.values())


def with_prefix(plan: Plan, head: str = "") -> list[Prompt]:
    """The test prompts under their own names, each after the prefix, which may have a head."""
    before = head + prefix(of(Prompt, plan.file("demos")), of(Demonstration, plan.file("demos")), plan.seed)
    return [one.model_copy(update={"text": before + one.text}) for one in of(Prompt, plan.file("tested"))]


def size(model: Path) -> int:
    """Its weights, of which a model of ours has some."""
    found = parameters(model)
    assert found is not None
    return found

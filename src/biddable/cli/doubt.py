"""The verbs for the hour of doubt."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from biddable.cli import jobs, machines
from biddable.cli.jobs import Job, Words
from biddable.cli.project import found_run, model_folder, say

SICK = 1  # exit status of a doctor who found something


def doctor(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs by name, or their folders.")],
) -> None:
    """Say what went wrong with a training run, from what it logged, and what to do; exit status 1 if anything did.

    Example: `biddable doctor ppo`
    """
    from biddable.doubt import doctor as room

    found = 0
    for folder in [found_run(name) for name in names]:
        log = room.read(folder)
        findings = room.examine(folder)
        found += len(findings)
        say(f"{folder}: {log.kind}, {log.steps} steps logged; {heading(len(findings))}")
        for finding in findings:
            say(f"  {finding.name}: {finding.seen}")
            say(f"    to do: {finding.cure}")
    if found:
        raise typer.Exit(SICK)


def heading(findings: int) -> str:
    return f"{findings} thing{'s' if findings > 1 else ''} wrong" if findings else "nothing wrong was seen"


VERBS = {
    verb.__name__: verb
    for verb in (
        machines.sft, machines.start, machines.reward, machines.ppo, machines.rloo, machines.grpo, machines.reinforce,
        machines.raft, machines.dpo,
    )
}  # fmt: skip
Stage = Annotated[
    Literal["sft", "start", "reward", "ppo", "rloo", "grpo", "reinforce", "raft", "dpo"],
    typer.Argument(metavar="STAGE", help=f"One that trains: {', '.join(VERBS)}."),
]


def plan(
    stage: Stage,
    words: Words = None,
    steps: Annotated[int, typer.Option(help="Real steps to measure time by; 0 to run none.", min=0)] = 3,
) -> None:
    """Say what a stage will take before it takes it: parameters, memory by part, batches, time; and check the data.

    Example: `biddable plan ppo recipes/small.toml batch=64`
    """

    def foretell(job: Job) -> None:
        from biddable.doubt.plan import plan as lines

        for line in lines(job.settings, job.inputs, job.places.seed, steps):
            say(line)

    instead_of(stage, words, foretell)


def masks(
    stage: Stage,
    words: Words = None,
    rows: Annotated[int, typer.Option(help="How many rows of the data.", min=1)] = 4,
    policy: Annotated[str | None, typer.Option(help="A trained one, in place of the start model.")] = None,
    page: Annotated[Path | None, typer.Option(help="The page; masks-STAGE.html when not said.")] = None,
) -> None:
    """Write a page that colours, token by token, what a stage would learn from: loss, KL, reward, value.

    Example: `biddable masks ppo recipes/small.toml --rows 2`
    """

    def show(job: Job) -> None:
        from biddable.doubt import masks as room
        from biddable.doubt import masks_page

        trained = model_folder(policy, "--policy") if policy else None
        made = room.masks(job.kind, job.settings, job.inputs, job.places.seed, rows, trained)
        facts = {name: str(path) for name, path in job.inputs.items()}
        say(f"{masks_page.write(made, page or Path(f'masks-{stage}.html'), facts)}: made")

    instead_of(stage, words, show)


def instead_of(stage: str, words: list[str] | None, work: Callable[[Job], None]) -> None:
    """Have a stage's verb find its settings and files as it does, and hand them over in place of its work."""
    with jobs.handed_to(work):
        VERBS[stage](words)

"""The command line: the verbs of the loop, in its order. A verb loads its room when it is called, not before.

What a user can mend (a missing file, a bad row, an unknown key, a full disk) is one line on stderr and exit status 2;
the other statuses stand below, in --help.
"""

import signal
from typing import Annotated, NoReturn

import typer

from biddable import __version__
from biddable.cli import (
    checking,
    doubt,
    evaluating,
    following,
    judging,
    label,
    machines,
    marking,
    measuring,
    models,
    people,
    practice,
    sampling,
    tracing,
)
from biddable.cli.complaints import Loop
from biddable.runs import Preempted

app = typer.Typer(
    name="biddable",
    cls=Loop,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit status: 0 done; 2 bad input; 65 a file of ours is corrupt; 70 a number became NaN or infinite; "
    "75 stopped by SIGTERM, and 130 by Ctrl-C: the same command goes on; `label`, which only serves, then ends with 0.",
    help="From people's labels to an aligned model, and back to a human verdict. The verbs stand in the loop's order.",
)

# The order of --help is the order of the loop.
LOOP = (
    people.init,
    people.gather,
    people.import_labels,
    label.label,
    checking.verify,
    checking.copy,
    people.snapshot,
    machines.sft,
    machines.start,
    sampling.sample,
    people.receive,
    machines.reward,
    sampling.score,
    machines.ppo,
    machines.rloo,
    machines.grpo,
    machines.reinforce,
    machines.raft,
    machines.dpo,
    following.follow,
    models.export,
    evaluating.evaluate,
    marking.mark,
    marking.toxicity,
    judging.judge,
    measuring.measure,
    measuring.report,
    tracing.trace,
    tracing.withdraw,
    practice.quickstart,
    practice.paper,
    doubt.plan,
    doubt.masks,
    doubt.doctor,
)
for verb in LOOP:
    app.command("import" if verb is people.import_labels else None)(verb)  # a word that Python keeps for itself
app.add_typer(practice.hamlet, name="hamlet")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"biddable {__version__}")
        raise typer.Exit


@app.callback()
def biddable(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which, and stop.")
    ] = False,
) -> None:
    del version  # its callback has spoken


def _terminated(_number: int, _frame: object) -> NoReturn:
    raise Preempted("stopped")


def main() -> None:
    signal.signal(signal.SIGTERM, _terminated)  # until a run hears it, which has its own way of leaving (`runs.start`)
    app(prog_name="biddable")

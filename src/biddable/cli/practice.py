"""The verbs of the practice world."""

import itertools
import os
from pathlib import Path
from typing import Annotated

import typer

from biddable.cli.complaints import Loop
from biddable.cli.project import readable, recipe_and_words, say

hamlet = typer.Typer(cls=Loop, no_args_is_help=True, rich_markup_mode="markdown")

Seed = Annotated[int, typer.Option(help="All randomness follows from it.", min=0)]


@hamlet.callback()
def hamlet_group() -> None:
    """Hamlet, the practice world: look at its parts, or make them again."""


@hamlet.command()
def pages(
    count: Annotated[int, typer.Argument(help="How many pages.", min=1)] = 10,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Write them there as records, in place of showing them.")] = None,
) -> None:
    """Show what the base model reads, or write it as pretraining text for `start` and `ppo`.

    Example: `biddable hamlet pages 4000 --out pages.jsonl`
    """
    from biddable import records
    from biddable.hamlet.pages import pages as written

    some = itertools.islice(written(seed), count)
    if out is None:
        typer.echo("\n\n".join(some))
        return
    records.write(out, (records.Page(id=f"page-{n}", text=text) for n, text in enumerate(some)))


@hamlet.command()
def prompts(
    count: Annotated[int, typer.Argument(help="How many prompts.", min=1)] = 20,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Write them there as JSON lines that `gather` takes.")] = None,
) -> None:
    """Show what people ask for, with near-duplicates, busy users and personal data among it.

    Example: `biddable hamlet prompts 500 --out prompts.jsonl`
    """
    from biddable import records
    from biddable.hamlet.world import prompts as asked

    some = asked(seed, count)
    if out is None:
        typer.echo("\n".join(f"{prompt.use_case:<15} {prompt.user:<10} {prompt.text}" for prompt in some))
        return
    records.write(out, some)


@hamlet.command()
def people(
    seed: Seed = 0,
    url: Annotated[
        str | None, typer.Option(help="A labeling server, at which they work until nothing is left to do.")
    ] = None,
    manager: Annotated[
        str, typer.Option(help="Who lets them in there; asks for the password, or takes BIDDABLE_PASSWORD.")
    ] = "owner",
    links: Annotated[
        Path | None, typer.Option(help="They join by these links, one a line, and no manager is needed.")
    ] = None,
    most: Annotated[int | None, typer.Option(help="So many labelers of each group, at most.", min=1)] = None,
    patience: Annotated[float, typer.Option(help="Seconds for which a server that is away is waited for.")] = 300,
) -> None:
    """Show the candidates' report cards and who was hired; with --url, send the simulated team to work.

    They sign in to a running `biddable label`, take tasks, and hand in what they write, judge, rank and compare, as
    people do in their browsers. Their accounts are named `hamlet …`. What they say is made by rule, and they skip what
    is not of Hamlet: let them practise in a project of their own. Examples: `biddable hamlet people --seed 1`;
    `biddable hamlet people --url http://localhost:8000`
    """
    if url is not None or links is not None:
        _go_to_work(seed, url, manager, links, most, patience)
        return
    from biddable.hamlet import people as crowd
    from biddable.hamlet import screening

    hired, cards = screening.hire(crowd.crowd(seed), seed)
    names = {person.name for person in hired}
    typer.echo("candidate    sensitive  ranking  demonstrations")
    for card in cards:
        verdict = "hired" if card.name in names else ""
        row = (
            f"{card.name:<12} {card.sensitive:>8.0%} {card.ranking:>8.0%} {card.demonstration:>12.1f} of 7   {verdict}"
        )
        typer.echo(row.rstrip())


def _go_to_work(
    seed: int, url: str | None, manager: str, links: Path | None, most: int | None, patience: float
) -> None:
    from biddable.hamlet import online
    from biddable.hamlet.wire import Wire

    if links is not None:
        those = [line.strip() for line in links.read_text(encoding="utf-8").splitlines() if line.strip()]
        seats = online.by_links(those, seed, patience)
    else:
        wire = Wire(url or "", 3)
        wire.ask("GET", "/health")  # before anybody is asked for a password
        wire.patience = patience
        word = os.environ.get("BIDDABLE_PASSWORD") or typer.prompt(f"password of {manager}", hide_input=True, err=True)
        seats = online.invited(url or "", online.sign_in(wire, manager, word), online.crew(seed, most), patience)
        wire.ask("POST", "/sign-out")
        wire.close()
    say(f"{len(seats)} people of Hamlet are signed in, and work until nothing is left to do; Ctrl-C sends them home")
    done = online.work(seats)
    say("done: " + (", ".join(f"{count} {what}" for what, count in sorted(done.items())) or "there was nothing to do"))


@hamlet.command()
def pretrain(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...", help="What differs from the shipped base.", callback=readable
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/base"),
    threads: Annotated[
        int, typer.Option(help="Threads of the computation; other bits with another number.", min=1)
    ] = 1,
) -> None:
    """Make the base model again from its pages: 14 million tokens, about twenty minutes of one core.

    Example: `biddable hamlet pretrain --out runs/base`
    """
    import torch

    from biddable import runs
    from biddable.config import load
    from biddable.hamlet.pages import pages as written
    from biddable.hamlet.words import vocabulary
    from biddable.learn import pretrain as stage
    from biddable.text.words import word_tokenizer

    recipe, rest = recipe_and_words(words)
    config = load(stage.PretrainConfig, rest, recipe=recipe, section="pretrain" if recipe else "")
    torch.set_num_threads(threads)
    with runs.start(out, "pretrain", config, {}, seed) as run:
        place = stage.train(run, config, word_tokenizer(vocabulary()), lambda: written(seed))
    typer.echo(f"{place}")


def quickstart(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...", help="Another recipe; what differs from its [walk].", callback=readable
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for everything that it leaves.")] = Path("quickstart"),
) -> None:
    """Walk the whole loop in the practice world and write its report: minutes on two cores, offline.

    Example: `biddable quickstart --seed 1 --out try`
    """
    from biddable.quickstart import RECIPE, walk

    recipe, rest = recipe_and_words(words)
    walk(out, seed, recipe or RECIPE, rest)


def paper(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...", help="Another recipe; what differs from its [paper].", callback=readable
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for everything that it leaves.")] = Path("paper"),
    fast: Annotated[bool, typer.Option("--fast", help="Fewer points a figure, by the recipe's [paper_fast].")] = False,
) -> None:
    """Make the paper's figures and tables in the practice world, each beside the paper's own: an hour on two cores.

    Example: `biddable paper --fast --out look`
    """
    from biddable.paper import RECIPE, make

    recipe, rest = recipe_and_words(words)
    make(out, seed, recipe or RECIPE, rest, fast)

"""What the machines' verbs share: files and settings from one recipe, and a stage carried out in its folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import Field, create_model

from biddable import config, runs
from biddable.cli.project import readable, recipe_and_words, run_folder, say, warn
from biddable.config import Settings
from biddable.doubt.doctor import examine
from biddable.progress import duration
from biddable.track import Name as Tracked

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A recipe, then what should differ from it; see --show.",
        callback=readable,
    ),
]
Show = Annotated[bool, typer.Option("--show", help="Show every key with its value and meaning, and do nothing.")]

P = TypeVar("P", bound=Settings)
S = TypeVar("S", bound=Settings)


class Places(Settings):
    out: Path | None = Field(None, description="folder of the run; runs/VERB when not said")
    seed: int = Field(0, ge=0, description="all randomness follows from it")
    track: Tracked | None = Field(None, description="where else metrics are shown: tensorboard, wandb or trackio")


def load(places: type[P], settings: type[S], words: Sequence[str] | None, section: str, show: bool) -> tuple[P, S]:
    """A verb's files and its stage's settings, both from one section and one list of words."""
    recipe, rest = recipe_and_words(words)
    # One model of both, so that an unknown key is compared with all that could have been meant.
    both = create_model(section, __base__=(places, settings))
    job = config.load(both, rest, recipe=recipe, section=section)
    if show:
        for key, field in both.model_fields.items():
            typer.echo(f"{key} = {getattr(job, key)}  # {field.description}")
        raise typer.Exit
    values = job.model_dump()
    return (
        places.model_validate({key: values[key] for key in places.model_fields}),
        settings.model_validate({key: values[key] for key in settings.model_fields}),
    )


@dataclass(frozen=True)
class Job:
    """A stage with its settings and files, ready to run."""

    kind: str
    settings: Settings
    places: Places
    inputs: dict[str, Path]


# Who is handed a verb's job in place of its run: `plan` and `masks` ask the verb itself what it would do.
_hand_over: ContextVar[Callable[[Job], None] | None] = ContextVar("hand_over", default=None)


@contextmanager
def handed_to(look: Callable[[Job], None]) -> Iterator[None]:
    """While this lasts, a verb's job is looked at and not done."""
    before = _hand_over.set(look)
    try:
        yield
    finally:
        _hand_over.reset(before)


def carry_out(
    kind: str,
    settings: Settings,
    places: Places,
    inputs: Mapping[str, Path | None],
    work: Callable[..., Path],
    name: str | None = None,
) -> Path:
    """Have `work(run, settings, **inputs)` make something in a folder of its own, or go on, or say that it is done.
    Returns the folder."""
    given = {name: path for name, path in inputs.items() if path is not None}
    for key, path in given.items():
        say(f"{key}: {path}")
    if look_at := _hand_over.get():
        look_at(Job(kind, settings, places, given))
        raise typer.Exit
    folder = run_folder(places.out, name or kind)
    if runs.finished(folder, kind, settings, given, places.seed):
        say(f"{folder}: is done already, with these very settings and inputs")
        return folder
    # Weights and two moments, in two checkpoints that are kept and one that is written aside, and the result.
    runs.check_space(folder, 10 * sum(_weights(path) for path in given.values()))
    with runs.start(folder, kind, settings, given, places.seed, places.track) as run:
        made = work(run, settings, **given)
    say(f"{made}: made in {duration(runs.read_manifest(folder).seconds)}")
    for finding in examine(folder):
        warn(f"{finding.name}: {finding.seen}; to do: {finding.cure}")
    return folder


def _weights(path: Path) -> int:
    if path.suffix == ".gguf":
        return 8 * path.stat().st_size  # four bits or more a weight, and four bytes here
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) if path.is_dir() else 0

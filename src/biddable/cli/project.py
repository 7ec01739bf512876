"""A project is a folder with biddable.toml, store.db and runs/; verbs find it from any folder below."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from pydantic import Field

from biddable import config, runs
from biddable.config import ConfigError, Settings

if TYPE_CHECKING:
    from biddable.store import Store

NAME = "biddable.toml"
SHIPPED = "hamlet"  # the model of the practice world, where a model is named


class ProjectSettings(Settings):
    store: str = Field("store.db", description="a SQLite file beside this one, or postgresql://…")
    world: Literal["real", "hamlet"] = Field("real", description="hamlet: its people are simulated, and pages say so")


@dataclass(frozen=True)
class Project:
    root: Path
    store: str
    world: Literal["real", "hamlet"] = "real"

    @property
    def runs(self) -> Path:
        return self.root / "runs"


def say(line: str) -> None:
    """What a verb took and left. Not on stderr, where the one line of a complaint stands alone."""
    typer.echo(line)


def warn(line: str) -> None:
    """What may not be what was wanted, on stderr; the verb goes on."""
    typer.echo(f"biddable: note: {line}", err=True)


def look(start: Path | None = None) -> Project | None:
    """The project of this folder (or of another place) or of the nearest one above that has one."""
    here = start or Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / NAME).is_file()), None)
    if root is None:
        return None
    settings = config.load(ProjectSettings, recipe=root / NAME)
    # A password does not belong in a file that is shared.
    where = os.environ.get("BIDDABLE_STORE", settings.store)
    return Project(_shown(root), where if "://" in where else str(_shown(root) / where), settings.world)


def find() -> Project:
    project = look()
    if project is None:
        raise ConfigError(f"no {NAME} in this folder or above it; make a project with: biddable init DIR")
    return project


def open_store(project: Project) -> "Store":
    from biddable import store

    return store.open_store(project.store)


def readable(words: list[str] | None) -> list[str] | None:
    """Refuse a recipe that is not there before torch is loaded for it, which takes seconds."""
    for word in words or []:
        if word.endswith(".toml") and "=" not in word:
            config.read_recipe(Path(word))
    return words


def recipe_and_words(words: Sequence[str] | None) -> tuple[Path | None, list[str]]:
    """The recipe, if the first word is not key=value, and the rest."""
    rest = list(words or [])
    recipe = Path(rest.pop(0)) if rest and "=" not in rest[0] else None
    return recipe, rest


def run_folder(out: Path | None, name: str) -> Path:
    """Where a verb's run goes: out=, or runs/NAME of the project, or of this folder where there is none."""
    project = look()
    return out or (project.runs if project else Path("runs")) / name


def found_run(name: str) -> Path:
    """The folder of a run that is named as the verbs name it, or by its path."""
    of_project = run_folder(None, name)
    folder = next((at for at in (of_project, Path(name)) if (at / runs.MANIFEST).is_file()), None)
    if folder is None:
        raise ConfigError(f"{name}: no such run; a run is a folder with {runs.MANIFEST}, such as {of_project}")
    return folder


def newest(what: str, split: str | None = None) -> Path | None:
    """The latest snapshot of this kind in the project (or this folder)."""
    project = look()
    root = project.root if project else Path()
    pattern = re.compile(rf"{what}{f'-{split}' if split else ''}-[0-9a-f]{{8}}\.jsonl")
    found = [path for path in root.iterdir() if pattern.fullmatch(path.name)]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def needed_snapshot(given: Path | None, key: str, what: str) -> Path:
    path = given or newest(what)
    if path is None:
        raise ConfigError(f"{key}: no {what}-*.jsonl here; make one with `biddable snapshot {what}`, or say {key}=FILE")
    if not path.is_file():
        raise ConfigError(f"{key}: {path}: no such file")
    return path


def model_folder(name: str, key: str = "model") -> Path:
    """A model that is named by its run (`sft`), as one that a run kept (`ppo/kept/40`), by the path of its folder or
    GGUF file, by the hub's owner/name, as `base`: what the project's first fine-tuning started from, or as `hamlet`:
    the small one that is shipped."""
    of_run = run_folder(None, name) / "model"
    if re.fullmatch(r"[\w.-]+", name) and of_run.is_dir():
        return of_run
    along = run_folder(None, name)
    if re.fullmatch(rf"[\w.-]+/{runs.KEPT}/\d+", name) and along.is_dir():
        return along
    if name == "base" and (manifest := run_folder(None, "sft") / runs.MANIFEST).is_file():
        return Path(runs.read_manifest(manifest.parent).inputs["model"].path)
    if Path(name).is_dir() or (name.endswith(".gguf") and Path(name).is_file()):
        return Path(name)
    if name == SHIPPED:
        from biddable import hamlet

        return hamlet.BASE
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) and not Path(name).exists() and not name.endswith(".gguf"):
        from biddable.model.places import from_hub

        try:
            return from_hub(name)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error
    left = sorted(path.parent.name for path in run_folder(None, ".").glob("*/model"))
    there = f"; these have: {', '.join(left)}" if left else ""
    raise ConfigError(f"{key}: {name}: no such model folder, and no run of that name has left a model{there}")


def _shown(folder: Path) -> Path:
    """Relative where it can be, so that what is printed and kept in manifests is short."""
    return Path(os.path.relpath(folder))

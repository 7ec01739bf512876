"""From a number or a weight back to the labels below it, and from a person forward to the models: `trace`; and when
that person takes back what they gave: `withdraw`."""

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biddable import lineage, runs
from biddable.cli import project
from biddable.cli.project import say
from biddable.config import ConfigError, guess
from biddable.lineage import Made, Step, Tracks

SHOWN = 8  # runs that a complaint names: the newest

if TYPE_CHECKING:
    from sqlalchemy import Connection


def trace(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A run, a model's folder or weights, a snapshot, a page or one of its figures "
            "(report.html#figure-tax), or a number such as human_win_rate.ppo_vs_sft."
        ),
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="A labeler, user or organization: where did their words go?")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Walk from a weight or a number back to every snapshot, label and labeler; or from a person to every model.

    Example: `biddable trace ppo`, `biddable trace report.html#figure-tax` or `biddable trace --person ann`
    """
    if (what is None) == (person is None):
        raise ConfigError("say what to trace (`biddable trace ppo`), or whom (`biddable trace --person ann`)")
    if person is not None:
        _forward(person, as_json)
        return
    step = _road(what or "")
    if as_json:
        say(json.dumps(lineage.as_tree(step), indent=2, ensure_ascii=False))
        return
    for line in lineage.lines(step):
        say(line)


def tracks_of(path: Path | None = None) -> Tracks:
    """The runs of this project; or those beside a run's folder, or of the project that a file lies in."""
    if path is not None and (home := next((p for p in (path, *path.parents) if (p / runs.MANIFEST).is_file()), None)):
        above = home.resolve().parent
        return Tracks.below(above, above.parent)
    here = (project.look(path.resolve()) if path is not None else None) or project.look()
    if here is None:
        raise ConfigError(f"no {project.NAME} in this folder or above it, and no run is named by its folder")
    return Tracks.below(here.runs, here.root)


def _road(what: str) -> Step:
    from biddable.measure.results import COUNTED_FROM

    head, _, key = what.partition(".")
    if head in COUNTED_FROM and not Path(what).exists():
        tracks = tracks_of()
        return _of_number(tracks, _newest(tracks), head, key)
    file, _, part = what.partition("#")
    if part and Path(file).is_file():
        return _of_part(Path(file), part)
    path = Path(what)
    tracks = tracks_of(path if path.exists() else None)
    if path.exists() and not (path / runs.MANIFEST).is_file():
        return lineage.of_file(tracks, path)
    name = path.resolve().name if path.exists() else what
    run = tracks.run(name)
    if run is None:
        names = [made.id for made in tracks.made]
        near = guess(what, names) or f"; there are the runs {', '.join(names[-SHOWN:]) or '(none yet)'}"
        raise ConfigError(f"{what}: no such run, file or number{near}")
    return lineage.back(tracks, run)


def _newest(tracks: Tracks) -> Made:
    """The newest measurement that is done."""
    done = [run for run in lineage.among(tracks.made, ["measure"]) if run.manifest.status == "done"]
    if not done:
        raise ConfigError("nothing is measured yet; say first: biddable measure")
    return done[-1]


def _of_part(path: Path, part: str) -> Step:
    """A figure of a page, or a number of a file of numbers, by the measurement that they were made of."""
    from biddable.measure.results import COUNTED_FROM, DRAWN_FROM, among

    tracks = tracks_of(path)
    run = lineage.measurement(tracks, path)
    if run is None:
        raise ConfigError(f"{path}: was not made of a measurement that is here")
    head, _, key = part.partition(".")
    if head in COUNTED_FROM:
        return _of_number(tracks, run, head, key)
    data = _left(run, "data")
    figure = part.removeprefix("figure-")
    sources = json.loads(data.read_bytes())["sources"]
    if figure not in sources or figure not in DRAWN_FROM:
        there = [f"figure-{name}" for name in sources]
        raise ConfigError(f"{path}#{part}: no such figure or number{guess(part, [*there, *COUNTED_FROM])}")
    drawn = re.findall(r'id="figure-(\w+)"', path.read_text(encoding="utf-8")) if path.suffix == ".html" else []
    if drawn and figure not in (*drawn, "samples"):  # the samples are no figure, and have a road back
        raise ConfigError(f"{path}#{part}: is not on this page, which has figure-{', figure-'.join(drawn)}")
    roads = []
    for source in sources[figure]:
        made = run if source["run"] == run.id else tracks.run(source["run"])
        if made is not None:
            roads.append(lineage.back(tracks, made, among(made.manifest.inputs, DRAWN_FROM[figure]) or None))
    return Step(f"figure {figure}, from {data}", tuple(roads))


def _left(run: Made, name: str) -> Path:
    path = run.output(name)
    if path is None:
        raise ConfigError(f"{run.folder}: its {name} is not there any more; measure again")
    return path


def _of_number(tracks: Tracks, run: Made, head: str, key: str) -> Step:
    from biddable.measure.results import COUNTED_FROM, among

    path = _left(run, "results")
    found = json.loads(path.read_bytes()).get(head)
    for part in filter(None, key.split(".")):
        if not isinstance(found, dict) or part not in found:
            there = list(found) if isinstance(found, dict) else []
            raise ConfigError(f"{head}.{key}: no such number in {path}{guess(part, there)}")
        found = found[part]
    inputs = among(run.manifest.inputs, COUNTED_FROM[head])
    shown = f"{head}.{key}" if key else head
    return Step(f"{shown} = {_shown(found)}, in {path}", (lineage.back(tracks, run, inputs),))


def _shown(found: object) -> str:
    if isinstance(found, dict) and {"value", "low", "high"} <= found.keys():
        return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    return json.dumps(found)


def withdraw(
    person: Annotated[str, typer.Argument(help="A labeler (their name or id), a user or an organization.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it only says what would go.")] = False,
) -> None:
    """Take a person's labels and prompts out of the store for good, and say which models must be trained again.

    Of a user's prompts all goes that hangs on them: answers, and what others said of those. The history keeps that
    there was something, and not what; backups are yours to delete.

    Example: `biddable withdraw ann`, then `biddable withdraw ann --yes`
    """
    from biddable.store import accounts, withdrawal

    here = project.find()
    with project.open_store(here) as store:
        with store.reading() as connection:
            name = _known_as(connection, person)
            theirs = withdrawal.theirs(connection, name)
            account = accounts.of(connection, name)
        touched = lineage.forward(tracks_of(), name)
        if not (theirs or touched.files or touched.runs):
            raise ConfigError(f"{person}: nothing of theirs is in the store, in a file or in a run")
        if yes and theirs:
            with store.writing() as connection:
                theirs = withdrawal.withdraw(connection, name, store.clock())
    counted = ", ".join(f"{count} {table}" for table, count in theirs.items()) or "nothing"
    say(f"{here.store}: {counted} {'taken out' if yes else 'would be taken out'}")
    for path, what in touched.files.items():
        say(f"delete this file, which holds {what}: {path}")
    for path in touched.gone:
        say(f"{path}: is not there any more, so whether they are in it cannot be told")
    for run in touched.runs:
        if learned := _models(run):
            say(f"{'export' if run.manifest.kind == 'export' else 'train'} again: {run.id}{learned}")
    again = [run.id for run in touched.runs if not _models(run)]
    if again:
        say(f"make again: {', '.join(again)}")
    say("copies and backups of the store hold it still, and are yours to delete")
    if account is not None:
        say(f"{account.name}'s account and the times of their work, for the pay, stay; People in the app closes it")
    if not yes:
        say(f"nothing was changed; to take it out for good: biddable withdraw {shlex.quote(person)} --yes")


def _known_as(connection: "Connection", person: str) -> str:
    """The labeler whose account has this name, or the word itself."""
    from biddable.store import accounts

    account = accounts.named(connection, person)
    return account.labeler if account else person


def _forward(person: str, as_json: bool) -> None:
    name = person
    if (here := project.look()) is not None:
        with project.open_store(here) as store, store.reading() as connection:
            name = _known_as(connection, person)
    touched = lineage.forward(tracks_of(), name)
    if as_json:
        told = {
            "person": person,
            "files": {str(path): theirs for path, theirs in touched.files.items()},
            "runs": [run.id for run in touched.runs],
            "models": [str(path) for path in touched.models],
            "gone": touched.gone,
        }
        say(json.dumps(told, indent=2, ensure_ascii=False))
        return
    tell(person, touched)


def tell(person: str, touched: lineage.Touched) -> None:
    for path, theirs in touched.files.items():
        say(f"file {path}: {theirs}")
    for run in touched.runs:
        say(f"run {run.id}: {run.manifest.kind}, {run.manifest.started:%Y-%m-%d %H:%M}{_models(run)}")
    for path in touched.gone:
        say(f"{path}: is not there any more, so whether they are in it cannot be told")
    if not touched.files and not touched.runs:
        say(f"{person}: is in no file and no run")


def _models(run: Made) -> str:
    left = [path for name in run.manifest.outputs if (path := run.output(name)) is not None and path.is_dir()]
    return f"; learned from them: {', '.join(map(str, left))}" if left else ""

"""The verbs that look whether a store is what its history says, and that copy it whole."""

from typing import TYPE_CHECKING, Annotated

import typer

from biddable.cli import project
from biddable.cli.project import say
from biddable.config import ConfigError
from biddable.runs import Corrupt

if TYPE_CHECKING:
    from biddable.store.verify import Verdict


def verify(
    newest: Annotated[
        str | None, typer.Option(help="A hash that was written down before: it must still be in the history.")
    ] = None,
) -> None:
    """Check the store against its history: every line follows from the one before, and every record and answer is what
    was written. Prints the newest hash; kept elsewhere, it shows later whether the end was cut off.

    Example: `biddable verify`
    """
    from biddable.store.verify import verify as look

    here = project.find()
    with project.open_store(here) as opened, opened.reading() as connection:
        found = look(connection, newest)
    _say_sound(here.store, found)


def copy(
    target: Annotated[str, typer.Argument(help="Where to: a file that is not there yet, or postgresql://…")],
) -> None:
    """Copy the whole store to another place, as it is at this moment, and check the copy against its history. Nobody at
    work needs to stop for a backup. To go on elsewhere, in PostgreSQL when a team grows: stop `biddable label`, copy,
    and write the new place into biddable.toml.

    Example: `biddable copy backup-2026-03-01.db`
    """
    from biddable.store import StoreError, copying, open_store

    here = project.find()
    try:
        with (
            project.open_store(here) as source, open_store(target) as other, source.reading() as connection,
            other.writing() as there,
        ):  # fmt: skip
            found = copying.copy(connection, there)
    except StoreError as error:
        raise ConfigError(f"{target}: {error}") from error
    _say_sound(target, found)


def _say_sound(where: str, found: "Verdict") -> None:
    if found.fault is not None:
        line = f"line {found.fault.row} of the history " if found.fault.row else ""
        raise Corrupt(f"{where}: {line}{found.fault.why}")
    say(f"sound: {found.rows} lines of history, newest {found.newest or 'none'}")

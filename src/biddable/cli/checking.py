"""The verb that looks whether a store is what its history says."""

from typing import Annotated

import typer

from biddable.cli import project
from biddable.cli.project import say
from biddable.runs import Corrupt


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
    if found.fault is not None:
        where = f"line {found.fault.row} of the history " if found.fault.row else ""
        raise Corrupt(f"{here.store}: {where}{found.fault.why}")
    say(f"sound: {found.rows} lines of history, newest {found.newest or 'none'}")

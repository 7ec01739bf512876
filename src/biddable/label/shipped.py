"""The guidelines that come with the program, as the first version of each. Managers change them in the app."""

from sqlalchemy import Connection

from biddable.label.desk import HERE
from biddable.store import Store, jobs

PURPOSES = ("training", "evaluation")


def text(purpose: str) -> str:
    return (HERE / "texts" / f"{purpose}.md").read_text(encoding="utf-8")


def put(store: Store) -> None:
    """Give a store that has none the shipped guidelines. What a team has written stays as it is."""

    def missing(connection: Connection) -> list[str]:
        return [purpose for purpose in PURPOSES if jobs.guide(connection, purpose) is None]

    with store.reading() as connection:
        if not missing(connection):
            return
    with store.writing() as connection:
        for purpose in missing(connection):
            jobs.set_guide(connection, purpose, text(purpose), store.clock())

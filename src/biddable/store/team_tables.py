"""The tables of what a team decides beside the work: consent, screening, adjudication, tasks that are taken out, and
its anonymous surveys."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text

from biddable.store.tables import Id, Instant, Serial, metadata


def _id(name: str, refers: str | None = None) -> Column:
    return Column(name, Id, *([ForeignKey(refers)] if refers else []), nullable=False)


def _text(name: str, nullable: bool = False) -> Column:
    return Column(name, Text, nullable=nullable)


def _at(name: str, nullable: bool = False) -> Column:
    return Column(name, Instant, nullable=nullable)


consents = Table(
    "consents",
    metadata,
    _id("labeler", "accounts.labeler"),
    _id("guidelines", "guidelines.id"),  # the version of the consent text
    _at("at"),
    PrimaryKeyConstraint("labeler", "guidelines"),
)

# What candidates say of themselves: of which groups and topics they know the sensitive speech (paper, App. B.1).
topics = Table(
    "topics",
    metadata,
    _id("labeler", "accounts.labeler"),
    _text("text"),
    _at("at"),
    PrimaryKeyConstraint("labeler"),
)

# A researcher's rating of a demonstration of the test.
ratings = Table(
    "ratings",
    metadata,
    Column("answer", Serial, ForeignKey("answers.id"), nullable=False),
    _id("labeler", "accounts.labeler"),
    Column("overall", Integer, nullable=False),
    _at("at"),
    PrimaryKeyConstraint("answer", "labeler"),
)

# What was decided of a candidate, with the report card as it stood then.
screenings = Table(
    "screenings",
    metadata,
    Column("id", Serial, autoincrement=True, nullable=False),
    _id("labeler", "accounts.labeler"),
    Column("accepted", Boolean, nullable=False),
    _text("card"),  # JSON
    _text("note"),
    _id("who", "accounts.labeler"),
    _at("at"),
    PrimaryKeyConstraint("id"),
    Index("ix_screenings_labeler", "labeler"),
    sqlite_autoincrement=True,
)

# An adjudicator's ranking: blind first, and then, with the others' before them, the one that holds.
adjudications = Table(
    "adjudications",
    metadata,
    _id("task", "tasks.id"),
    _id("labeler", "accounts.labeler"),
    _text("blind"),  # JSON tiers of completion ids
    _at("begun"),
    _text("final", nullable=True),
    _text("cause", nullable=True),
    _text("note", nullable=True),
    _at("at", nullable=True),
    PrimaryKeyConstraint("task", "labeler"),
)

# Who looked up what others said of a task.
readings = Table(
    "readings",
    metadata,
    _id("task", "tasks.id"),
    _id("labeler", "accounts.labeler"),
    _at("at"),
    PrimaryKeyConstraint("task", "labeler"),
)

# A task that is given to nobody any more, and why; or that was, and is in the queue again.
taken_out = Table(
    "taken_out",
    metadata,
    _id("task", "tasks.id"),
    Column("out", Boolean, nullable=False),
    _text("reason"),
    _id("who", "accounts.labeler"),
    _at("at"),
    PrimaryKeyConstraint("task"),
)

# A flag that a manager has looked at: whose, and on which task.
sightings = Table(
    "sightings",
    metadata,
    _id("task", "tasks.id"),
    _id("labeler", "accounts.labeler"),
    _id("who", "accounts.labeler"),
    _at("at"),
    PrimaryKeyConstraint("task", "labeler"),
)

# Nothing here says who answered, or when: no person, no hour, no order of coming in (no rowid), no line in the history.
surveys = Table(
    "surveys",
    metadata,
    _id("id"),
    _text("kind"),  # satisfaction, or people
    _text("month"),
    Column("batch", Integer, nullable=False),  # shown only when its batch is full, so that no answer stands alone
    _text("body"),
    PrimaryKeyConstraint("id"),
    sqlite_with_rowid=False,
)

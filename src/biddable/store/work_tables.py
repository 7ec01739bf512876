"""The tables of people at work: who may come in, what is to be done, who holds it, and what they answered.

A task is one thing to do; a slot is one person's share of it, so the overlap of a task is how many slots it has, and
two people can never hold the same one. What a person hands in is an `answer`, kept as it came and never changed; the
records that follow from it stand in the tables of records.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from biddable.store.tables import Id, Instant, Serial, metadata


def _id(name: str, refers: str | None = None, nullable: bool = False) -> Column:
    return Column(name, Id, *([ForeignKey(refers)] if refers else []), nullable=nullable)


def _text(name: str, nullable: bool = False) -> Column:
    return Column(name, Text, nullable=nullable)


def _at(name: str, nullable: bool = False) -> Column:
    return Column(name, Instant, nullable=nullable)


def _number(name: str) -> Column:
    return Column(name, Integer, nullable=False)


def _real(name: str) -> Column:
    return Column(name, Double, nullable=False)


# A labeler who can sign in. `password` is an argon2id hash, or nothing until they have joined.
accounts = Table(
    "accounts",
    metadata,
    _id("labeler", "labelers.id"),
    _text("name"),
    _text("role"),
    _text("password", nullable=True),
    _text("state"),  # active, or closed
    Column("skills", Text, nullable=False, default="[]"),  # JSON list
    _at("made"),
    PrimaryKeyConstraint("labeler"),
    UniqueConstraint("name"),
)

# By which an account is found, however the name is written: see accounts.key. Where two names were one before there was
# this table, only the older account stands here; the other is found by its name as it is.
names = Table(
    "names",
    metadata,
    _id("key"),
    _id("labeler", "accounts.labeler"),
    PrimaryKeyConstraint("key"),
    UniqueConstraint("labeler"),
)

# Sessions, invitations and service keys: a secret that opens the door for one purpose. Only its sha256 is kept.
sessions = Table(
    "sessions",
    metadata,
    _id("token"),
    _id("labeler", "accounts.labeler"),
    _text("purpose"),  # session, invite, service
    _at("made"),
    _at("until"),
    _at("ended", nullable=True),
    PrimaryKeyConstraint("token"),
    Index("ix_sessions_labeler", "labeler"),
)

guidelines = Table(
    "guidelines",
    metadata,
    _id("id"),
    _text("purpose"),  # training, or evaluation
    _number("number"),
    _text("text"),
    _text("who", nullable=True),
    _at("at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("purpose", "number"),
)

jobs = Table(
    "jobs",
    metadata,
    _id("id"),
    _text("kind"),
    _text("title"),
    _text("purpose"),
    _text("state"),  # open, paused, closed
    _text("settings"),  # JSON of work.JobSettings
    _at("made"),
    _at("opened"),  # when it last came to be open: how fast it goes is counted from there
    PrimaryKeyConstraint("id"),
)

_KNOWN = text("gold IS NOT NULL")
_GOLD = text("chosen_by = 'gold'")  # SQLite takes such an index only where it is asked in these words, see `shared`
_ENDS = text("until IS NOT NULL")

tasks = Table(
    "tasks",
    metadata,
    _id("id"),
    _id("job", "jobs.id"),
    _id("prompt_id", "prompts.id", nullable=True),  # nothing when the prompt itself is to be written
    _text("completions"),  # JSON list of ids
    _real("place"),  # its place in the queue: least first
    _text("gold", nullable=True),  # the answer that is known, for a hidden check
    _text("chosen_by"),  # random, spread, gold; of mixed choice which part of it
    _real("propensity"),  # how likely it was to be chosen, of all that could be when it was
    PrimaryKeyConstraint("id"),
    Index("ix_tasks_job_place", "job", "place"),
    Index("ix_tasks_prompt_id", "prompt_id"),
    Index("ix_tasks_gold", "job", sqlite_where=_KNOWN, postgresql_where=_KNOWN),
    Index("ix_tasks_check", "job", "place", sqlite_where=_GOLD, postgresql_where=_GOLD),
)

slots = Table(
    "slots",
    metadata,
    _id("task", "tasks.id"),
    _number("slot"),
    _id("job", "jobs.id"),
    _real("place"),
    _text("state"),  # open, leased, done; or out: for nobody any more
    _id("labeler", "accounts.labeler", nullable=True),
    _text("lease", nullable=True),
    _at("taken", nullable=True),
    _at("until", nullable=True),
    Column("extra", Boolean, nullable=False, default=False),  # added because those before it disagreed
    PrimaryKeyConstraint("task", "slot"),
    UniqueConstraint("task", "labeler"),
    Index("ix_slots_job_state_place", "job", "state", "place"),
    Index("ix_slots_state_until", "state", "until"),
    Index("ix_slots_labeler_state_job", "labeler", "state", "job"),
    Index("ix_slots_extra", "job", sqlite_where=text("extra IS 1"), postgresql_where=text("extra IS TRUE")),
)

drafts = Table(
    "drafts",
    metadata,
    _id("task", "tasks.id"),
    _id("labeler", "accounts.labeler"),
    _number("version"),
    _text("body"),
    _at("at"),
    PrimaryKeyConstraint("task", "labeler"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Serial, autoincrement=True, nullable=False),
    _id("task", "tasks.id"),
    _id("job", "jobs.id"),
    _id("labeler", "accounts.labeler"),
    _number("revision"),
    _text("key"),  # the browser's own name for this submission: sent twice, it counts once
    _text("body"),
    _text("shown"),  # JSON list of completion ids in the order in which they were seen
    _id("guidelines", nullable=True),
    _real("seconds"),  # active
    _real("wall"),  # from taking to handing in
    Column("late", Boolean, nullable=False),  # the slot had gone to somebody else meanwhile
    _at("at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("task", "labeler", "revision"),
    UniqueConstraint("labeler", "key"),
    # With all that counting them asks for, so that it looks at no row.
    Index("ix_answers_job_at", "job", "at", "revision", "late"),
    Index("ix_answers_labeler_job_at", "labeler", "job", "at", "revision"),
    sqlite_autoincrement=True,
)

# A task that somebody skipped or flagged, and why; they are not given it again.
passes = Table(
    "passes",
    metadata,
    _id("task", "tasks.id"),
    _id("labeler", "accounts.labeler"),
    _text("what"),  # skip, flag
    _text("reason"),
    _text("note"),
    _at("at"),
    PrimaryKeyConstraint("task", "labeler"),
)

activity = Table(
    "activity",
    metadata,
    Column("id", Serial, autoincrement=True, nullable=False),
    _id("labeler", "accounts.labeler"),
    _id("task", nullable=True),
    _text("what"),  # taken; active; clock, where no script told what was active
    _real("seconds"),
    _at("at"),
    _at("until", nullable=True),  # where these seconds end, laid one after the other as early as they can have been
    PrimaryKeyConstraint("id"),
    Index("ix_activity_labeler_at", "labeler", "at"),
    Index("ix_activity_task_labeler_what_at", "task", "labeler", "what", "at"),
    Index("ix_activity_until", "labeler", "at", "id", sqlite_where=_ENDS, postgresql_where=_ENDS),
)

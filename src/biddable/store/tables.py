"""The tables. A record is a row; what one record says of another is a foreign key, so no row can name the unknown."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

# Alembic can only alter or drop a constraint whose name it knows, and SQLite names none by itself. Migrations name
# theirs by these rules too, so the rules never change.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite sorts text by its bytes; PostgreSQL by the language of whoever installed it, unless told otherwise. A
# snapshot is sorted by id, and must be the same bytes from both.
Id = Text().with_variant(Text(collation="C"), "postgresql")
Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only what it calls INTEGER


class Instant(TypeDecorator[datetime]):
    """A moment, in UTC on both engines: SQLite forgets a time zone, PostgreSQL answers in that of the session."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return (value if value.tzinfo is UTC else value.astimezone(UTC)).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = MetaData(naming_convention=NAMES)


def _text(name: str) -> Column:
    return Column(name, Text, nullable=False)


def _id(name: str, *refers: ForeignKey, primary_key: bool = False, index: bool | None = None) -> Column:
    return Column(name, Id, *refers, primary_key=primary_key, index=index, nullable=False)


def _labeler(primary_key: bool = True, nullable: bool = False) -> Column:
    return Column("labeler", Id, ForeignKey("labelers.id"), primary_key=primary_key, nullable=nullable)


def _spent() -> list[Column]:
    return [
        Column("seconds", Double, nullable=False),
        Column("at", Instant, nullable=False),
        Column("guidelines", Id),
        Column("propensity", Double),
        Column("extra", Boolean),
    ]


def _of_prompt(*columns: str) -> list[ForeignKeyConstraint]:
    """Each column names a completion of this row's prompt, and not merely some completion."""
    return [
        ForeignKeyConstraint([column, "prompt_id"], ["completions.id", "completions.prompt_id"]) for column in columns
    ]


prompts = Table(
    "prompts",
    metadata,
    _id("id", primary_key=True),
    _text("text"),
    _text("source"),
    Column("user", Text),
    Column("organization", Text),
    Column("use_case", Text),
    Column("split", Text, index=True),
    Column("before", Text),  # a conversation's earlier turns, as JSON: they are read whole or not at all
)

labelers = Table("labelers", metadata, _id("id", primary_key=True), _text("group"))

completions = Table(
    "completions",
    metadata,
    _id("id", primary_key=True),
    _id("prompt_id", ForeignKey("prompts.id"), index=True),
    _text("text"),
    _id("run_id", index=True),
    Column("temperature", Double, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("logp", Double),
    UniqueConstraint("id", "prompt_id"),  # what _of_prompt refers to
)

demonstrations = Table(
    "demonstrations",
    metadata,
    _id("prompt_id", ForeignKey("prompts.id"), primary_key=True),
    _labeler(),
    _text("text"),
    *_spent(),
)

rankings = Table(
    "rankings",
    metadata,
    _id("prompt_id", ForeignKey("prompts.id"), primary_key=True),
    _labeler(),
    *_spent(),
)

# A ranking's order: one row a completion. `place` keeps how those of one tier were written.
ranked = Table(
    "ranked",
    metadata,
    _id("prompt_id", primary_key=True),
    _id("labeler", primary_key=True),
    _id("completion_id", primary_key=True),
    Column("tier", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("shown", Integer),  # its place on the labeler's screen
    ForeignKeyConstraint(["prompt_id", "labeler"], ["rankings.prompt_id", "rankings.labeler"]),
    *_of_prompt("completion_id"),
)

QUESTIONS = (
    "fails_task",
    "inappropriate",
    "hallucination",
    "satisfies_constraint",
    "sexual",
    "violent",
    "encourages_harm",
    "denigrates",
    "harmful_advice",
    "opinion",
    "moral_judgement",
)

judgements = Table(
    "judgements",
    metadata,
    _id("completion_id", ForeignKey("completions.id"), primary_key=True),
    _labeler(),
    Column("overall", Integer),
    *(Column(question, Boolean) for question in QUESTIONS),
    *_spent(),
)

# What was said of continuations of beginnings that may lead to toxic words (paper, Fig. 11).
continuations = Table(
    "continuations",
    metadata,
    _id("completion_id", ForeignKey("completions.id"), primary_key=True),
    _labeler(),
    *(Column(name, Integer, nullable=False) for name in ("input", "toxicity", "relative", "continuity", "rank")),
    *_spent(),
)

verdicts = Table(
    "verdicts",
    metadata,
    _id("id", primary_key=True),  # follows from who judged what in which order: rows.key
    _id("prompt_id", ForeignKey("prompts.id"), index=True),
    _id("a"),
    _id("b"),
    _text("better"),
    _text("judge"),
    _labeler(primary_key=False, nullable=True),  # only a person is a labeler
    Column("judge_run", Text),  # which run, when the judge is a model
    _text("shown"),
    *_spent(),
    *_of_prompt("a", "b"),
)

scores = Table(
    "scores",
    metadata,
    _id("completion_id", ForeignKey("completions.id"), primary_key=True),
    _id("run_id", primary_key=True),
    Column("value", Double, nullable=False),
    Column("spread", Double),
)

skips = Table(
    "skips",
    metadata,
    _id("prompt_id", ForeignKey("prompts.id"), primary_key=True),
    _labeler(),
    _id("task", primary_key=True),
    _text("reason"),
    Column("at", Instant, nullable=False),
)

# Append-only: triggers of the first migration refuse to change or delete a row.
changes = Table(
    "changes",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    _text("what"),
    _text("key"),
    Column("who", Text),
    Column("detail", Text),  # of a record: the sha256 of its line
    Column("hash", Text),  # over this row and the hash of the one before: nothing can be changed unseen
    sqlite_autoincrement=True,
)

"""People at work: accounts, sessions, jobs, tasks, leases, drafts, answers, guidelines; a chained history."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _columns()
    _continuations()
    _people()
    _jobs()
    _slots()
    _answers()
    _team()


def _id(name: str, refers: str | None = None, nullable: bool = False) -> sa.Column:
    return sa.Column(name, ID, *([sa.ForeignKey(refers)] if refers else []), nullable=nullable)


def _text(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _at(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, AT, nullable=nullable)


def _number(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _columns() -> None:
    """What was shown, under which guidelines, and how it came to be asked; and the history's chain."""
    for table in ("demonstrations", "rankings", "judgements", "verdicts"):
        op.add_column(table, _id("guidelines", nullable=True))
        op.add_column(table, sa.Column("propensity", sa.Double()))
        op.add_column(table, sa.Column("extra", sa.Boolean()))
    op.add_column("ranked", _number("shown", nullable=True))
    for column in ("who", "detail", "hash"):
        op.add_column("changes", _text(column, nullable=True))


def _continuations() -> None:
    op.create_table(
        "continuations",
        _id("completion_id", "completions.id"),
        _id("labeler", "labelers.id"),
        *(_number(name) for name in ("input", "toxicity", "relative", "continuity", "rank")),
        sa.Column("seconds", sa.Double(), nullable=False),
        _at("at"),
        _id("guidelines", nullable=True),
        sa.Column("propensity", sa.Double()),
        sa.Column("extra", sa.Boolean()),
        sa.PrimaryKeyConstraint("completion_id", "labeler"),
    )


def _people() -> None:
    op.create_table(
        "accounts",
        _id("labeler", "labelers.id"),
        _text("name"),
        _text("role"),
        _text("password", nullable=True),
        _text("state"),
        _text("skills"),
        _at("made"),
        sa.PrimaryKeyConstraint("labeler"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "sessions",
        _id("token"),
        _id("labeler", "accounts.labeler"),
        _text("purpose"),
        _at("made"),
        _at("until"),
        _at("ended", nullable=True),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_index("ix_sessions_labeler", "sessions", ["labeler"])
    op.create_table(
        "guidelines",
        _id("id"),
        _text("purpose"),
        _number("number"),
        _text("text"),
        _text("who", nullable=True),
        _at("at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("purpose", "number"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _id("id"),
        _text("kind"),
        _text("title"),
        _text("purpose"),
        _text("state"),
        _text("settings"),
        _at("made"),
        _at("opened"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tasks",
        _id("id"),
        _id("job", "jobs.id"),
        _id("prompt_id", "prompts.id", nullable=True),
        _text("completions"),
        sa.Column("place", sa.Double(), nullable=False),
        _text("gold", nullable=True),
        _text("chosen_by"),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tasks_job_place", "tasks", ["job", "place"])
    op.create_index("ix_tasks_prompt_id", "tasks", ["prompt_id"])
    known = sa.text("gold IS NOT NULL")
    op.create_index("ix_tasks_gold", "tasks", ["job"], sqlite_where=known, postgresql_where=known)


def _slots() -> None:
    op.create_table(
        "slots",
        _id("task", "tasks.id"),
        _number("slot"),
        _id("job", "jobs.id"),
        sa.Column("place", sa.Double(), nullable=False),
        _text("state"),
        _id("labeler", "accounts.labeler", nullable=True),
        _text("lease", nullable=True),
        _at("taken", nullable=True),
        _at("until", nullable=True),
        sa.Column("extra", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("task", "slot"),
        sa.UniqueConstraint("task", "labeler"),
    )
    op.create_index("ix_slots_job_state_place", "slots", ["job", "state", "place"])
    op.create_index("ix_slots_state_until", "slots", ["state", "until"])
    op.create_index("ix_slots_labeler_state", "slots", ["labeler", "state"])
    extra = {"sqlite_where": sa.text("extra IS 1"), "postgresql_where": sa.text("extra IS TRUE")}
    op.create_index("ix_slots_extra", "slots", ["job"], **extra)
    op.create_table(
        "drafts",
        _id("task", "tasks.id"),
        _id("labeler", "accounts.labeler"),
        _number("version"),
        _text("body"),
        _at("at"),
        sa.PrimaryKeyConstraint("task", "labeler"),
    )


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        _id("task", "tasks.id"),
        _id("job", "jobs.id"),
        _id("labeler", "accounts.labeler"),
        _number("revision"),
        _text("key"),
        _text("body"),
        _text("shown"),
        _id("guidelines", nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("wall", sa.Double(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        _at("at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("task", "labeler", "revision"),
        sa.UniqueConstraint("labeler", "key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_answers_job_at", "answers", ["job", "at", "revision", "late"])
    op.create_index("ix_answers_labeler_job_at", "answers", ["labeler", "job", "at", "revision"])
    op.create_table(
        "passes",
        _id("task", "tasks.id"),
        _id("labeler", "accounts.labeler"),
        _text("what"),
        _text("reason"),
        _text("note"),
        _at("at"),
        sa.PrimaryKeyConstraint("task", "labeler"),
    )
    op.create_table(
        "activity",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        _id("labeler", "accounts.labeler"),
        _id("task", nullable=True),
        _text("what"),
        sa.Column("seconds", sa.Double(), nullable=False),
        _at("at"),
        _at("until", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_activity_labeler_at", "activity", ["labeler", "at"])
    op.create_index("ix_activity_task_labeler", "activity", ["task", "labeler"])


def _team() -> None:
    op.create_table(
        "consents",
        _id("labeler", "accounts.labeler"),
        _id("guidelines", "guidelines.id"),
        _at("at"),
        sa.PrimaryKeyConstraint("labeler", "guidelines"),
    )
    op.create_table(
        "topics",
        _id("labeler", "accounts.labeler"),
        _text("text"),
        _at("at"),
        sa.PrimaryKeyConstraint("labeler"),
    )
    op.create_table(
        "ratings",
        sa.Column("answer", SERIAL, sa.ForeignKey("answers.id"), nullable=False),
        _id("labeler", "accounts.labeler"),
        _number("overall"),
        _at("at"),
        sa.PrimaryKeyConstraint("answer", "labeler"),
    )
    op.create_table(
        "screenings",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        _id("labeler", "accounts.labeler"),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        _text("card"),
        _text("note"),
        _id("who", "accounts.labeler"),
        _at("at"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_screenings_labeler", "screenings", ["labeler"])
    op.create_table(
        "adjudications",
        _id("task", "tasks.id"),
        _id("labeler", "accounts.labeler"),
        _text("blind"),
        _at("begun"),
        _text("final", nullable=True),
        _text("cause", nullable=True),
        _text("note", nullable=True),
        _at("at", nullable=True),
        sa.PrimaryKeyConstraint("task", "labeler"),
    )
    op.create_table(
        "readings",
        _id("task", "tasks.id"),
        _id("labeler", "accounts.labeler"),
        _at("at"),
        sa.PrimaryKeyConstraint("task", "labeler"),
    )
    op.create_table(
        "surveys",
        _id("id"),
        _text("kind"),
        _text("month"),
        _number("batch"),
        _text("body"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )

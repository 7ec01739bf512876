"""The first tables.

A migration is history: it spells its own columns and never imports `tables`, which will have moved on."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _things()
    _labels()
    _rankings()
    _verdicts()
    _changes()


def _id(name: str, *more: sa.ForeignKey, nullable: bool = False) -> sa.Column:
    return sa.Column(name, ID, *more, nullable=nullable)


def _text(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _prompt() -> sa.Column:
    return _id("prompt_id", sa.ForeignKey("prompts.id"))


def _labeler(nullable: bool = False) -> sa.Column:
    return _id("labeler", sa.ForeignKey("labelers.id"), nullable=nullable)


def _spent() -> list[sa.Column]:
    return [sa.Column("seconds", sa.Double(), nullable=False), sa.Column("at", AT, nullable=False)]


def _of_prompt(column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column, "prompt_id"], ["completions.id", "completions.prompt_id"])


def _things() -> None:
    op.create_table(
        "prompts",
        _id("id"),
        _text("text"),
        _text("source"),
        *(_text(column, nullable=True) for column in ("user", "organization", "use_case", "split")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_prompts_split", "prompts", ["split"])
    op.create_table("labelers", _id("id"), _text("group"), sa.PrimaryKeyConstraint("id"))
    op.create_table(
        "completions",
        _id("id"),
        _prompt(),
        _text("text"),
        _id("run_id"),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("logp", sa.Double()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "prompt_id"),
    )
    op.create_index("ix_completions_prompt_id", "completions", ["prompt_id"])
    op.create_index("ix_completions_run_id", "completions", ["run_id"])
    op.create_table(
        "scores",
        _id("completion_id", sa.ForeignKey("completions.id")),
        _id("run_id"),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("spread", sa.Double()),
        sa.PrimaryKeyConstraint("completion_id", "run_id"),
    )


def _labels() -> None:
    op.create_table(
        "demonstrations",
        _prompt(),
        _labeler(),
        _text("text"),
        *_spent(),
        sa.PrimaryKeyConstraint("prompt_id", "labeler"),
    )
    op.create_table(
        "skips",
        _prompt(),
        _labeler(),
        _id("task"),
        _text("reason"),
        sa.Column("at", AT, nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "labeler", "task"),
    )
    questions = (
        *("fails_task", "inappropriate", "hallucination", "satisfies_constraint", "sexual", "violent"),
        *("encourages_harm", "denigrates", "harmful_advice", "opinion", "moral_judgement"),
    )
    op.create_table(
        "judgements",
        _id("completion_id", sa.ForeignKey("completions.id")),
        _labeler(),
        sa.Column("overall", sa.Integer()),
        *(sa.Column(question, sa.Boolean()) for question in questions),
        *_spent(),
        sa.PrimaryKeyConstraint("completion_id", "labeler"),
    )


def _rankings() -> None:
    op.create_table("rankings", _prompt(), _labeler(), *_spent(), sa.PrimaryKeyConstraint("prompt_id", "labeler"))
    op.create_table(
        "ranked",
        _id("prompt_id"),
        _id("labeler"),
        _id("completion_id"),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "labeler", "completion_id"),
        sa.ForeignKeyConstraint(["prompt_id", "labeler"], ["rankings.prompt_id", "rankings.labeler"]),
        _of_prompt("completion_id"),
    )


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        _id("id"),
        _prompt(),
        _id("a"),
        _id("b"),
        _text("better"),
        _text("judge"),
        _labeler(nullable=True),
        _text("judge_run", nullable=True),
        _text("shown"),
        *_spent(),
        sa.PrimaryKeyConstraint("id"),
        _of_prompt("a"),
        _of_prompt("b"),
    )
    op.create_index("ix_verdicts_prompt_id", "verdicts", ["prompt_id"])


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("at", AT, nullable=False),
        _text("what"),
        _text("key"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    refusal = "changes is append-only"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER changes_no_{verb.lower()} BEFORE {verb} ON changes "
                f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION changes_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes "
        "FOR EACH STATEMENT EXECUTE FUNCTION changes_refuse()"
    )

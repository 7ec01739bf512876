"""Tasks that are taken out, flags that were seen, and names that are one however they are written."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "taken_out",
        _id("task", "tasks.id"),
        sa.Column("out", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _id("who", "accounts.labeler"),
        sa.Column("at", AT, nullable=False),
        sa.PrimaryKeyConstraint("task"),
    )
    op.create_table(
        "sightings",
        _id("task", "tasks.id"),
        _id("labeler", "accounts.labeler"),
        _id("who", "accounts.labeler"),
        sa.Column("at", AT, nullable=False),
        sa.PrimaryKeyConstraint("task", "labeler"),
    )
    names = op.create_table(
        "names",
        _id("key"),
        _id("labeler", "accounts.labeler"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("labeler"),
    )
    assert names is not None
    _one_each(names)


def _id(name: str, refers: str | None = None) -> sa.Column:
    return sa.Column(name, ID, *([sa.ForeignKey(refers)] if refers else []), nullable=False)


def _one_each(names: sa.Table) -> None:
    """Of names that differ in their letters' size alone the oldest account has the key; the others are still found by
    the name exactly as it is written, so nobody is locked out."""
    accounts = sa.table("accounts", sa.column("labeler"), sa.column("name"), sa.column("made"))
    keys: dict[str, str] = {}
    query = sa.select(accounts.c.labeler, accounts.c.name).order_by(accounts.c.made, accounts.c.labeler)
    for labeler, name in op.get_bind().execute(query):
        folded = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
        keys.setdefault(unicodedata.normalize("NFKC", folded), labeler)
    if keys:
        op.bulk_insert(names, [{"key": key, "labeler": labeler} for key, labeler in keys.items()])

"""Prompts that stand in a conversation: what was said before them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prompts", sa.Column("before", sa.Text(), nullable=True))

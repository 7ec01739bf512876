"""What the next task asks of the store takes as long after a hundred thousand answers as after one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_slots_labeler_state", "slots")
    op.create_index("ix_slots_labeler_state_job", "slots", ["labeler", "state", "job"])
    op.drop_index("ix_activity_task_labeler", "activity")
    op.create_index("ix_activity_task_labeler_what_at", "activity", ["task", "labeler", "what", "at"])
    for name, table, columns, some in (
        ("ix_tasks_check", "tasks", ["job", "place"], "chosen_by = 'gold'"),
        ("ix_activity_until", "activity", ["labeler", "at", "id"], "until IS NOT NULL"),
    ):
        op.create_index(name, table, columns, sqlite_where=sa.text(some), postgresql_where=sa.text(some))

"""Alembic's entrance. It is given an open connection by `migrate.upgrade`, and is not run in any other way."""

from alembic import context

from biddable.store import team_tables, work_tables  # so that the metadata has all tables

del team_tables
connection = context.config.attributes["connection"]
# render_as_batch: SQLite cannot alter a column, so Alembic copies the table.
context.configure(connection=connection, target_metadata=work_tables.metadata, render_as_batch=True)
context.run_migrations()

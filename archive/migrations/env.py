"""Alembic's entry: runs on the connection it is given (archive.database), never on a URL of its own."""

from alembic import context

from archive.models import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()

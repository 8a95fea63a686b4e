"""Alembic's entry: it runs on the connection that `timer_db.migrate` hands over."""

from __future__ import annotations

from alembic import context

from timer_db.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()

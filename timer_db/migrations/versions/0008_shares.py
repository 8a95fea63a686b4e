"""What limits over all controllers and the disabling of routes rest on; how far retention has come."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# At once, however many rows there are; both engines refuse it rather than copy the table.
_COLUMNS = {
    "controllers": "settled_at_us BIGINT NULL",
    "routes": "succeeded_at_us BIGINT NULL",
}


def upgrade() -> None:
    for table, column in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}, ALGORITHM=INSTANT")
    op.create_index("ix_timer_counts_route_id", "timer_counts", ["route_id"])


def downgrade() -> None:
    op.drop_index("ix_timer_counts_route_id", "timer_counts")
    for table, column in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")

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


_RETENTION_PROGRESS = """
    CREATE TABLE retention_progress (
        collection_id INT UNSIGNED NOT NULL,
        until_us BIGINT NOT NULL,
        PRIMARY KEY (collection_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""


def upgrade() -> None:
    for table, column in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}, ALGORITHM=INSTANT")
    op.execute(_RETENTION_PROGRESS)
    op.create_index("ix_timer_counts_route_id", "timer_counts", ["route_id"])


def downgrade() -> None:
    op.drop_index("ix_timer_counts_route_id", "timer_counts")
    op.execute("DROP TABLE retention_progress")
    for table, column in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")

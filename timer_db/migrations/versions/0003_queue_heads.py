"""Heads of priorities in the queue: rows that are told from timers by a column that is stored nowhere."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HEAD = f"due_key = 0x{bytes(24).hex()}"


def upgrade() -> None:
    op.execute(f"ALTER TABLE due_queue ADD COLUMN is_head TINYINT(1) GENERATED ALWAYS AS ({_HEAD}) VIRTUAL")


def downgrade() -> None:
    op.execute(f"DELETE FROM due_queue WHERE {_HEAD}")
    op.execute("ALTER TABLE due_queue DROP COLUMN is_head")

"""How many claims at the end of a batch were surely not sent; 0, as of code that does not tell: none for sure."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE claim_batches ADD COLUMN unsent INT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM=INSTANT")


def downgrade() -> None:
    op.execute("ALTER TABLE claim_batches DROP COLUMN unsent")

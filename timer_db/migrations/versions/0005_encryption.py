"""With which key a timer's body, headers and meta are sealed; null: with none."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# At once, however many timers there are; both engines refuse it rather than copy the table.
_AT_ONCE = "ALGORITHM=INSTANT"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE timers ADD COLUMN sealed_with VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,"
        f" {_AT_ONCE}"
    )


def downgrade() -> None:
    # What is sealed cannot be told from other bodies then: decide about it before.
    op.execute("ALTER TABLE timers DROP COLUMN sealed_with")

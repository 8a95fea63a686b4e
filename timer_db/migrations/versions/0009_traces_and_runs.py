"""What a create belongs to in its client's trace; counts of the runs of schedules.

Runs that were made before are not counted with their schedules: `python -m timer_db recount` does it."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TRACEPARENT = "traceparent VARCHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL"


def upgrade() -> None:
    # At once, however many rows there are; both engines refuse it rather than copy the table.
    op.execute(f"ALTER TABLE timers ADD COLUMN {_TRACEPARENT}, ALGORITHM=INSTANT")
    # A few rows for each group of timers.
    op.execute(
        "ALTER TABLE timer_counts ADD COLUMN schedule_id INT UNSIGNED NOT NULL DEFAULT 0 AFTER route_id,"
        " DROP PRIMARY KEY, ADD PRIMARY KEY (collection_id, route_id, schedule_id, state, slot),"
        " ADD KEY ix_timer_counts_schedule_id (schedule_id)"
    )


def downgrade() -> None:
    op.execute(
        "CREATE TABLE counts_without_schedules AS SELECT collection_id, route_id, state, slot, SUM(timers) timers"
        " FROM timer_counts GROUP BY collection_id, route_id, state, slot"
    )
    op.execute("DELETE FROM timer_counts")
    op.execute(
        "ALTER TABLE timer_counts DROP PRIMARY KEY, DROP KEY ix_timer_counts_schedule_id, DROP COLUMN schedule_id,"
        " ADD PRIMARY KEY (collection_id, route_id, state, slot)"
    )
    op.execute("INSERT INTO timer_counts SELECT * FROM counts_without_schedules")
    op.execute("DROP TABLE counts_without_schedules")
    op.execute("ALTER TABLE timers DROP COLUMN traceparent")

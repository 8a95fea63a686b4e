"""Timers that wait for a receiver in trouble, apart from the queue; endings are found by their time."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DEFERRED_QUEUE = """
    CREATE TABLE deferred_queue (
        destination BINARY(16) NOT NULL,
        priority_rank SMALLINT UNSIGNED NOT NULL,
        due_key BINARY(24) NOT NULL,
        PRIMARY KEY (destination, priority_rank, due_key),
        KEY ix_deferred_queue_priority_rank_due_key (priority_rank, due_key)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""

# For people: what the services compute in `statements/reading.py`, with times (UTC) and ids in words.
# Not FROM_UNIXTIME, which ends in 2038 on MariaDB 10 and rounds.
_VIEW = """
    CREATE OR REPLACE VIEW timers_readable AS
    SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(t.id, 1, 4)), HEX(SUBSTR(t.id, 5, 2)), HEX(SUBSTR(t.id, 7, 2)),
               HEX(SUBSTR(t.id, 9, 2)), HEX(SUBSTR(t.id, 11, 6)))) AS id,
           CASE WHEN a.state IS NOT NULL THEN a.state
                WHEN t.cancelled_at_us IS NOT NULL THEN 'cancelled'
                WHEN {waits} THEN 'scheduled'
                ELSE 'firing' END AS state,
           TIMESTAMP'1970-01-01 00:00:00' + INTERVAL t.due_at_us MICROSECOND AS due_at,
           TIMESTAMP'1970-01-01 00:00:00' + INTERVAL t.next_at_us MICROSECOND AS next_at,
           TIMESTAMP'1970-01-01 00:00:00' + INTERVAL t.created_at_us MICROSECOND AS created_at,
           t.attempts_made + (a.state IS NOT NULL) AS attempts,
           t.name, t.priority, t.method, t.url
    FROM timers t
    LEFT JOIN due_queue q ON q.priority_rank = 32767 - t.priority
        AND q.due_key = CONCAT(UNHEX(LPAD(HEX(t.next_at_us), 16, '0')), t.id)
    {joins}
    LEFT JOIN attempts a ON a.timer_id = t.id AND a.attempt = t.attempts_made + 1"""
_WAITS, _WAITED = "q.due_key IS NOT NULL OR d.due_key IS NOT NULL", "q.due_key IS NOT NULL"
_DEFERRED = """LEFT JOIN deferred_queue d ON d.priority_rank = 32767 - t.priority
        AND d.due_key = CONCAT(UNHEX(LPAD(HEX(t.next_at_us), 16, '0')), t.id)"""


def upgrade() -> None:
    op.execute(_DEFERRED_QUEUE)
    op.execute(_VIEW.format(waits=_WAITS, joins=_DEFERRED))
    op.execute("CREATE INDEX ix_endings_ended_at_us ON endings (ended_at_us)")


def downgrade() -> None:
    op.execute("INSERT INTO due_queue SELECT priority_rank, due_key FROM deferred_queue")
    op.execute(_VIEW.format(waits=_WAITED, joins=""))
    op.execute("DROP INDEX ix_endings_ended_at_us ON endings")
    op.execute("DROP TABLE deferred_queue")

"""Collections with settings, routes, schedules, the index of labels, counts by state, events.

Nothing is counted here: code of the version before goes on without counting. `python -m timer_db recount` does it.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ASCII = "CHARACTER SET ascii COLLATE ascii_bin"
_OPTIONS = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
# At once, however many timers there are; both engines refuse it rather than copy the table.
_COLUMNS = {
    "timers": (
        "schedule_id INT UNSIGNED NULL",
        "attempts_before SMALLINT UNSIGNED NOT NULL DEFAULT 0",
    ),
    "collections": (
        "retention_days SMALLINT UNSIGNED NULL",
        "waiting_max BIGINT NULL",
        "egress_allow MEDIUMTEXT NULL",
        "changed_at_us BIGINT NOT NULL DEFAULT 0",
        "deleted_at_us BIGINT NULL",
    ),
    "routes": (
        "is_paused TINYINT(1) NOT NULL DEFAULT 0",
        "secrets BLOB NULL",
        f"sealed_with VARCHAR(32) {_ASCII} NULL",
        "disabled_at_us BIGINT NULL",
        "disabled_because VARCHAR(255) NULL",
        "changed_at_us BIGINT NOT NULL DEFAULT 0",
        "deleted_at_us BIGINT NULL",
    ),
}
_TABLES = {
    "schedules": """
        id INT UNSIGNED NOT NULL AUTO_INCREMENT,
        name VARCHAR(200) NOT NULL,
        settings MEDIUMTEXT NOT NULL,
        is_paused TINYINT(1) NOT NULL DEFAULT 0,
        next_run_at_us BIGINT,
        last_run_at_us BIGINT,
        last_timer_id BINARY(16),
        created_at_us BIGINT NOT NULL,
        changed_at_us BIGINT NOT NULL,
        deleted_at_us BIGINT,
        PRIMARY KEY (id),
        UNIQUE KEY uq_schedules_name (name),
        KEY ix_schedules_next_run_at_us (next_run_at_us)""",
    "label_index": """
        entry BINARY(24) NOT NULL,
        PRIMARY KEY (entry)""",
    "timer_counts": f"""
        collection_id INT UNSIGNED NOT NULL,
        route_id INT UNSIGNED NOT NULL,
        state VARCHAR(16) {_ASCII} NOT NULL,
        slot SMALLINT UNSIGNED NOT NULL,
        timers BIGINT NOT NULL,
        PRIMARY KEY (collection_id, route_id, state, slot)""",
    "events": f"""
        id BIGINT NOT NULL AUTO_INCREMENT,
        at_us BIGINT NOT NULL,
        kind VARCHAR(64) {_ASCII} NOT NULL,
        subject VARCHAR(220) NOT NULL,
        detail VARCHAR(1000) NOT NULL,
        PRIMARY KEY (id)""",
}


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        added = ", ".join(f"ADD COLUMN {column}" for column in columns)
        op.execute(f"ALTER TABLE {table} {added}, ALGORITHM=INSTANT")
    for name, definition in _TABLES.items():
        op.execute(f"CREATE TABLE {name} ({definition}\n) {_OPTIONS}")


def downgrade() -> None:
    for name in _TABLES:
        op.execute(f"DROP TABLE {name}")
    for table, columns in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {column.split()[0]}' for column in columns)}")

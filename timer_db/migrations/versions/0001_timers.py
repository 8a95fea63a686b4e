"""The first schema: timers, the queue, claims, the log of attempts, controllers, names; room for what follows."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OPTIONS = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
_WORD = "VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin"

_TABLES = {
    "timers": f"""
        id BINARY(16) NOT NULL,
        collection_id INT UNSIGNED NOT NULL DEFAULT 1,
        route_id INT UNSIGNED,
        name VARCHAR(200),
        priority SMALLINT UNSIGNED NOT NULL,
        due_at_us BIGINT NOT NULL,
        next_at_us BIGINT NOT NULL,
        created_at_us BIGINT NOT NULL,
        cancelled_at_us BIGINT,
        attempts_made SMALLINT UNSIGNED NOT NULL DEFAULT 0,
        possible_duplicate TINYINT(1) NOT NULL DEFAULT 0,
        url VARCHAR(2083),
        append_id TINYINT(1) NOT NULL,
        method VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        headers MEDIUMTEXT,
        body MEDIUMBLOB,
        body_is_json TINYINT(1) NOT NULL,
        meta MEDIUMTEXT,
        labels MEDIUMTEXT,
        retry VARCHAR(500) CHARACTER SET ascii COLLATE ascii_bin,
        timeout_ms INT UNSIGNED NOT NULL,
        on_unknown {_WORD} NOT NULL,
        on_failure_url VARCHAR(2083),
        PRIMARY KEY (id),
        CONSTRAINT ck_timers_priority CHECK (priority <= 32767),
        CONSTRAINT ck_timers_due_at_us CHECK (due_at_us BETWEEN 0 AND 253402300799999999),
        CONSTRAINT ck_timers_next_at_us CHECK (next_at_us BETWEEN 0 AND 253402300799999999),
        CONSTRAINT ck_timers_url_or_route CHECK ((url IS NULL) <> (route_id IS NULL)),
        CONSTRAINT ck_timers_on_unknown CHECK (on_unknown IN ('fail', 'hold', 'resend'))""",
    "due_queue": """
        priority_rank SMALLINT UNSIGNED NOT NULL,
        due_key BINARY(24) NOT NULL,
        PRIMARY KEY (priority_rank, due_key)""",
    "claim_batches": """
        controller_id INT UNSIGNED NOT NULL,
        number INT UNSIGNED NOT NULL,
        claimed_at_us BIGINT NOT NULL,
        entries MEDIUMBLOB NOT NULL,
        PRIMARY KEY (controller_id, number)""",
    "endings": f"""
        state {_WORD} NOT NULL,
        timer_id BINARY(16) NOT NULL,
        ended_at_us BIGINT NOT NULL,
        PRIMARY KEY (state, timer_id),
        CONSTRAINT ck_endings_state CHECK (state IN ('cancelled', 'failed', 'unknown'))""",
    "controllers": f"""
        id INT UNSIGNED NOT NULL AUTO_INCREMENT,
        host VARCHAR(255) NOT NULL,
        pid INT NOT NULL,
        version VARCHAR(32) NOT NULL,
        joined_at_us BIGINT NOT NULL,
        beat_at_us BIGINT NOT NULL,
        gone_at_us BIGINT,
        gone_because {_WORD},
        PRIMARY KEY (id),
        KEY ix_controllers_gone_at_us (gone_at_us),
        CONSTRAINT ck_controllers_gone CHECK ((gone_at_us IS NULL) = (gone_because IS NULL)),
        CONSTRAINT ck_controllers_gone_because CHECK (gone_because IN ('fenced', 'left'))""",
    "timer_names": """
        collection_id INT UNSIGNED NOT NULL,
        name VARCHAR(200) NOT NULL,
        timer_id BINARY(16) NOT NULL,
        content_sha256 BINARY(32) NOT NULL,
        PRIMARY KEY (collection_id, name)""",
    "idempotency_keys": """
        key_sha256 BINARY(32) NOT NULL,
        content_sha256 BINARY(32) NOT NULL,
        timer_id BINARY(16),
        answer MEDIUMBLOB,
        created_at_us BIGINT NOT NULL,
        PRIMARY KEY (key_sha256),
        KEY ix_idempotency_keys_created_at_us (created_at_us)""",
    "collections": """
        id INT UNSIGNED NOT NULL AUTO_INCREMENT,
        name VARCHAR(200) NOT NULL,
        is_paused TINYINT(1) NOT NULL DEFAULT 0,
        defaults MEDIUMTEXT,
        created_at_us BIGINT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE KEY uq_collections_name (name)""",
    "routes": """
        id INT UNSIGNED NOT NULL AUTO_INCREMENT,
        name VARCHAR(200) NOT NULL,
        url VARCHAR(2083) NOT NULL,
        method VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        headers MEDIUMTEXT,
        settings MEDIUMTEXT,
        is_disabled TINYINT(1) NOT NULL DEFAULT 0,
        created_at_us BIGINT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE KEY uq_routes_name (name)""",
    "lock_probes": """
        probe BINARY(16) NOT NULL,
        number TINYINT UNSIGNED NOT NULL,
        PRIMARY KEY (probe, number)""",
}

_ATTEMPTS = f"""
    CREATE TABLE attempts (
        timer_id BINARY(16) NOT NULL,
        attempt SMALLINT UNSIGNED NOT NULL,
        finished_at_us BIGINT NOT NULL,
        controller_id INT UNSIGNED NOT NULL,
        batch INT UNSIGNED NOT NULL,
        started_at_us BIGINT NOT NULL,
        outcome {_WORD} NOT NULL,
        state {_WORD} NOT NULL,
        http_status SMALLINT,
        latency_us BIGINT UNSIGNED,
        reason VARCHAR(255) NOT NULL,
        answer VARBINARY(1024) NOT NULL,
        PRIMARY KEY (timer_id, attempt, finished_at_us),
        CONSTRAINT ck_attempts_attempt CHECK (attempt >= 1),
        CONSTRAINT ck_attempts_outcome CHECK (outcome IN ('delivered', 'not_sent', 'rejected', 'unknown')),
        CONSTRAINT ck_attempts_state CHECK (state IN ('delivered', 'failed', 'scheduled', 'unknown'))
    ) {_OPTIONS}
    PARTITION BY RANGE (finished_at_us) (PARTITION p_future VALUES LESS THAN MAXVALUE)"""

# For people: what the services compute in `statements/reading.py`, with times (UTC) and ids in words.
# Not FROM_UNIXTIME, which ends in 2038 on MariaDB 10 and rounds.
_VIEW = """
    CREATE VIEW timers_readable AS
    SELECT LOWER(CONCAT_WS('-', HEX(SUBSTR(t.id, 1, 4)), HEX(SUBSTR(t.id, 5, 2)), HEX(SUBSTR(t.id, 7, 2)),
               HEX(SUBSTR(t.id, 9, 2)), HEX(SUBSTR(t.id, 11, 6)))) AS id,
           CASE WHEN a.state IS NOT NULL THEN a.state
                WHEN t.cancelled_at_us IS NOT NULL THEN 'cancelled'
                WHEN q.due_key IS NOT NULL THEN 'scheduled'
                ELSE 'firing' END AS state,
           TIMESTAMP'1970-01-01 00:00:00' + INTERVAL t.due_at_us MICROSECOND AS due_at,
           TIMESTAMP'1970-01-01 00:00:00' + INTERVAL t.next_at_us MICROSECOND AS next_at,
           TIMESTAMP'1970-01-01 00:00:00' + INTERVAL t.created_at_us MICROSECOND AS created_at,
           t.attempts_made + (a.state IS NOT NULL) AS attempts,
           t.name, t.priority, t.method, t.url
    FROM timers t
    LEFT JOIN due_queue q ON q.priority_rank = 32767 - t.priority
        AND q.due_key = CONCAT(UNHEX(LPAD(HEX(t.next_at_us), 16, '0')), t.id)
    LEFT JOIN attempts a ON a.timer_id = t.id AND a.attempt = t.attempts_made + 1"""


def upgrade() -> None:
    for name, columns in _TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns}) {_OPTIONS}")
    op.execute(_ATTEMPTS)
    op.execute(_VIEW)
    op.execute("INSERT INTO collections (id, name, created_at_us) VALUES (1, 'default', 0)")


def downgrade() -> None:
    op.execute("DROP VIEW timers_readable")
    for name in ("attempts", *_TABLES):
        op.execute(f"DROP TABLE {name}")

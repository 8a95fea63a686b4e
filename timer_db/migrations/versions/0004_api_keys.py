"""API keys: who may call the API, and what each may do."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OPTIONS = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
_ASCII = "CHARACTER SET ascii COLLATE ascii_bin"


def upgrade() -> None:
    op.execute(
        f"""CREATE TABLE api_keys (
        id VARCHAR(8) {_ASCII} NOT NULL,
        key_sha256 BINARY(32) NOT NULL,
        name VARCHAR(200) NOT NULL,
        scopes VARCHAR(100) {_ASCII} NOT NULL,
        collections MEDIUMTEXT,
        rate_per_second INT UNSIGNED,
        burst INT UNSIGNED,
        created_at_us BIGINT NOT NULL,
        last_used_at_us BIGINT,
        revoked_at_us BIGINT,
        PRIMARY KEY (id),
        CONSTRAINT ck_api_keys_rate CHECK ((rate_per_second IS NULL) = (burst IS NULL))
        ) {_OPTIONS}"""
    )


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")

"""`idempotency_keys`: when a key came first, for what, and what was answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timer_db.statements.literals import FORCE_KEY, NOW_US, of_bytes, of_list


def take(rows: Sequence[tuple[bytes, bytes, int]]) -> str:
    """Keys for new requests (key, content, first seen), in order; one that is there stays as it is, locked."""
    values = ",".join([f"({of_bytes(key)},{of_bytes(content)},{now_us})" for key, content, now_us in rows])
    return (
        f"INSERT INTO idempotency_keys (key_sha256, content_sha256, created_at_us) VALUES {values}"
        " ON DUPLICATE KEY UPDATE created_at_us = idempotency_keys.created_at_us"
    )


def holders(keys: Iterable[bytes]) -> str:
    """(key, content, first seen, answer or None) of each."""
    return (
        f"SELECT key_sha256, content_sha256, created_at_us, answer FROM idempotency_keys {FORCE_KEY}"
        f" WHERE key_sha256 IN ({of_list(keys)})"
    )


def renew(key: bytes, content: bytes, now_us: int) -> str:
    """A key that stood for another request long ago. Count: 1."""
    return (
        f"UPDATE idempotency_keys SET content_sha256 = {of_bytes(content)}, created_at_us = {now_us},"
        f" answer = NULL WHERE key_sha256 = {of_bytes(key)}"
    )


def keep(answers: Sequence[tuple[bytes, bytes]]) -> str:
    """Answers of keys (key, answer) that have none yet. Count: those keys."""
    cases = " ".join([f"WHEN {of_bytes(key)} THEN {of_bytes(answer)}" for key, answer in answers])
    return (
        f"UPDATE idempotency_keys SET answer = CASE key_sha256 {cases} END"
        f" WHERE key_sha256 IN ({of_list([key for key, _ in answers])}) AND answer IS NULL"
    )


def forget(kept_us: int, limit: int) -> str:
    """Keys that came first longer ago. Count: at most `limit`."""
    # By its primary key a page would be looked for in the whole table.
    return (
        f"DELETE FROM idempotency_keys WHERE created_at_us < {NOW_US} - {kept_us}"
        f" ORDER BY created_at_us LIMIT {limit}"
    )

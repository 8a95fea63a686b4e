"""With which keys the content of timers is sealed."""

from __future__ import annotations

from timer_db.statements.literals import FORCE_KEY, of_bytes


def count_page(behind: bytes, limit: int) -> str:
    """Of the next timers by id: (key id, how many, the last of them). The key id is empty for timers with plain
    content, and null for those without any."""
    is_bare = "body IS NULL AND headers IS NULL AND meta IS NULL"
    return (
        "SELECT key_id, COUNT(*), MAX(id) FROM"
        f" (SELECT id, IFNULL(sealed_with, IF({is_bare}, NULL, '')) key_id FROM timers {FORCE_KEY}"
        f" WHERE id > {of_bytes(behind)} ORDER BY id LIMIT {limit}) page GROUP BY key_id"
    )

"""`api_keys`: who may call the API. Rows are added and revoked, never deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timer_db.statements.literals import NOW_US

_COLUMNS = (
    "id, key_sha256, name, scopes, collections, rate_per_second, burst,"
    " created_at_us, last_used_at_us, revoked_at_us"
)

STAMP = "SELECT COUNT(*), COUNT(revoked_at_us), COALESCE(MAX(created_at_us), 0) FROM api_keys"
"""Another one whenever a key was made or revoked; the first number tells whether there are any."""

VALID = f"SELECT {_COLUMNS} FROM api_keys WHERE revoked_at_us IS NULL"
"""Every key that may be used."""


def insert(values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """A new key: id, hash, name, scopes, collections, rate and burst. A duplicate id is the server's error."""
    return (
        "INSERT INTO api_keys (id, key_sha256, name, scopes, collections, rate_per_second, burst, created_at_us)"
        f" VALUES (%s, %s, %s, %s, %s, %s, %s, {NOW_US})",
        tuple(values),
    )


def by_id(key_id: str) -> tuple[str, tuple[Any, ...]]:
    """One key, revoked or not."""
    return f"SELECT {_COLUMNS} FROM api_keys WHERE id = %s", (key_id,)


def page(behind: str | None, limit: int) -> tuple[str, tuple[Any, ...]]:
    """Newest first, from behind the key with this id."""
    bound = "WHERE (created_at_us, id) < (SELECT created_at_us, id FROM api_keys WHERE id = %s)" if behind else ""
    return (
        f"SELECT {_COLUMNS} FROM api_keys {bound} ORDER BY created_at_us DESC, id DESC LIMIT {limit}",
        (behind,) if behind else (),
    )


def revoke(key_id: str) -> tuple[str, tuple[Any, ...]]:
    """Count: 0 when there is no such key, or it was revoked before."""
    return f"UPDATE api_keys SET revoked_at_us = {NOW_US} WHERE id = %s AND revoked_at_us IS NULL", (key_id,)


def note_uses(key_ids: Sequence[str], every_us: int) -> tuple[str, tuple[Any, ...]]:
    """Count: those of them that nobody noted within `every_us`."""
    return (
        f"UPDATE api_keys SET last_used_at_us = {NOW_US} WHERE id IN ({', '.join(['%s'] * len(key_ids))})"
        f" AND (last_used_at_us IS NULL OR last_used_at_us < {NOW_US} - {every_us})",
        tuple(sorted(key_ids)),
    )

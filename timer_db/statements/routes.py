"""`routes`: named destinations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from timer_db.statements.literals import NOW_US, of_text

COLUMNS = (
    "id, name, url, method, settings, headers, secrets, sealed_with, is_paused, disabled_at_us, disabled_because,"
    " created_at_us, deleted_at_us IS NOT NULL"
)
"""What `operations.routes.route_of` reads, in its order."""


def insert(name: str, settings: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """A new one without headers and secrets; `settings` are URL, method and the rest. A duplicate name is the
    server's error, and the driver gives its number."""
    return (
        "INSERT INTO routes (name, url, method, settings, created_at_us, changed_at_us)"
        f" VALUES (%s, %s, %s, %s, {NOW_US}, {NOW_US})",
        (name, *settings),
    )


def replace(number: int, settings: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """URL, method and the rest. Count: 1."""
    return (
        f"UPDATE routes SET url = %s, method = %s, settings = %s, changed_at_us = {NOW_US} WHERE id = {number}",
        tuple(settings),
    )


def keep_secret(number: int, values: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Headers, secrets, and the key with which both are sealed. Count: 1."""
    return (
        "UPDATE routes SET headers = %s, secrets = %s, sealed_with = %s,"
        f" changed_at_us = {NOW_US} WHERE id = {number}",
        tuple(values),
    )


def resume(number: int) -> str:
    """It is called again, and has as long as a new one until it is disabled. Count: 1."""
    return (
        "UPDATE routes SET is_paused = 0, disabled_at_us = NULL, disabled_because = NULL,"
        f" succeeded_at_us = {NOW_US}, changed_at_us = {NOW_US} WHERE id = {number}"
    )


def note_successes(numbers: Iterable[int]) -> str:
    """Calls of these routes have just succeeded. It is no change of theirs."""
    listed = ",".join(map(str, sorted(numbers)))
    return f"UPDATE routes SET succeeded_at_us = {NOW_US} WHERE id IN ({listed})"


def disable(number: int, because: str, unless_since_us: int) -> str:
    """Count: 0 when a call has succeeded for somebody since then, or it is disabled already."""
    return (
        f"UPDATE routes SET disabled_at_us = {NOW_US}, disabled_because = {of_text(because)},"
        f" changed_at_us = {NOW_US} WHERE id = {number} AND disabled_at_us IS NULL AND deleted_at_us IS NULL"
        f" AND IFNULL(succeeded_at_us, 0) < {unless_since_us}"
    )


KEYS_IN_USE = (
    "SELECT sealed_with, COUNT(*) FROM routes WHERE sealed_with IS NOT NULL AND deleted_at_us IS NULL"
    " GROUP BY sealed_with"
)
"""With which keys headers and secrets are sealed."""

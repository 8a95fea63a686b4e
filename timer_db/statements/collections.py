"""`collections`: what is chosen for groups of timers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timer_db.statements.literals import NOW_US

COLUMNS = (
    "id, name, defaults, retention_days, waiting_max, egress_allow, is_paused, created_at_us,"
    " deleted_at_us IS NOT NULL"
)
"""What `operations.collections.collection_of` reads, in its order."""


def insert(name: str, settings: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """A new one; `settings` are defaults, retention, limit and ranges. A duplicate name is the server's error."""
    return (
        "INSERT INTO collections (name, defaults, retention_days, waiting_max, egress_allow, created_at_us,"
        f" changed_at_us) VALUES (%s, %s, %s, %s, %s, {NOW_US}, {NOW_US})",
        (name, *settings),
    )


def replace(number: int, settings: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Count: 1."""
    return (
        "UPDATE collections SET defaults = %s, retention_days = %s, waiting_max = %s, egress_allow = %s,"
        f" changed_at_us = {NOW_US} WHERE id = {number}",
        tuple(settings),
    )

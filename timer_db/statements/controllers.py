"""`controllers`: who may hold claims."""

from __future__ import annotations

from typing import Any

from timer_db.statements.literals import NOW_US

NOW = f"SELECT {NOW_US}"


def join(host: str, pid: int, version: str) -> tuple[str, tuple[Any, ...]]:
    """A new membership; the driver gives its id."""
    return (
        "INSERT INTO controllers (host, pid, version, joined_at_us, beat_at_us, settled_at_us)"
        f" VALUES (%s, %s, %s, {NOW_US}, {NOW_US}, 0)",
        (host, pid, version),
    )


def beat(controller_id: int, now_us: int, settled_at_us: int = 0) -> str:
    """Count: 0 when the membership is gone. `now_us` was read from this server before."""
    return (
        f"UPDATE controllers SET beat_at_us = {now_us}, settled_at_us = {settled_at_us}"
        f" WHERE id = {controller_id} AND gone_at_us IS NULL"
    )


SETTLED = "SELECT id, settled_at_us FROM controllers WHERE gone_at_us IS NULL AND settled_at_us IS NOT NULL"
"""Members, without those of a version that has no shares."""


def leave(controller_id: int) -> str:
    """An orderly end of a membership without claims."""
    return (
        f"UPDATE controllers SET gone_at_us = {NOW_US}, gone_because = 'left'"
        f" WHERE id = {controller_id} AND gone_at_us IS NULL"
    )


def silent(lease_us: int) -> str:
    """Members whose last beat is older than the lease, each with that beat."""
    return (
        "SELECT id, beat_at_us FROM controllers"
        f" WHERE gone_at_us IS NULL AND beat_at_us < {NOW_US} - {lease_us} ORDER BY id"
    )


def fence(controller_id: int, beat_at_us: int) -> str:
    """End the membership of one that was found silent. Count: 0 when it beat in the meantime, or is gone."""
    return (
        f"UPDATE controllers SET gone_at_us = {NOW_US}, gone_because = 'fenced'"
        f" WHERE id = {controller_id} AND gone_at_us IS NULL AND beat_at_us = {beat_at_us}"
    )


GONE_WITH_CLAIMS = (
    "SELECT c.id, c.beat_at_us FROM controllers c WHERE c.gone_at_us IS NOT NULL"
    " AND EXISTS (SELECT 1 FROM claim_batches b WHERE b.controller_id = c.id) ORDER BY c.id"
)
"""Whose claims wait for a rescue. Rows of members that are gone stay until retention, so they are few."""

MEMBERS = (
    "SELECT c.id, c.host, c.pid, c.version, c.joined_at_us, c.beat_at_us, IFNULL((SELECT SUM(LENGTH(b.entries))"
    " FROM claim_batches b WHERE b.controller_id = c.id), 0) FROM controllers c WHERE c.gone_at_us IS NULL"
    " ORDER BY c.id"
)
"""Those that have joined and not left, each with the bytes of what it holds."""

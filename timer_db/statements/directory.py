"""What there is of collections, routes and schedules: small tables on the first server."""

from __future__ import annotations

STAMP = " UNION ALL ".join(
    f"SELECT COUNT(*), COALESCE(SUM(changed_at_us), 0), COALESCE(MAX(changed_at_us), 0) FROM {table}"
    for table in ("collections", "routes", "schedules")
)
"""Another one whenever something was made, changed or deleted. The sum tells what the latest change does not: one
that was committed after it, and began before."""

SCHEDULES = "id, name, deleted_at_us IS NOT NULL"
"""Columns."""

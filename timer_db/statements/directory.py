"""What there is of collections, routes and schedules: small tables on the first server, read whole."""

from __future__ import annotations

STAMP = " UNION ALL ".join(
    f"SELECT COUNT(*), COALESCE(MAX(changed_at_us), 0) FROM {table}"
    for table in ("collections", "routes", "schedules")
)
"""Another one whenever something was made, changed or deleted."""

COLLECTIONS = "SELECT id, name FROM collections"
ROUTES = "SELECT id, name FROM routes"
SCHEDULES = "SELECT id, name FROM schedules"

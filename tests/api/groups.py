"""Collections and routes for tests of what belongs to them: put into their tables, past the application."""

from __future__ import annotations

import secrets

from tests.api.processes import connection_to
from timer_db.statements.literals import NOW_US


def make_collection(url: str) -> str:
    """A new collection; gives its name."""
    return _make(url, "collections", "", "")


def make_route(url: str) -> str:
    """A new route; gives its name."""
    return _make(url, "routes", ", url, method", ", 'https://example.com/route', 'POST'")


def _make(url: str, table: str, columns: str, values: str) -> str:
    name = f"{table}-{secrets.token_hex(6)}"
    with connection_to(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (name, created_at_us, changed_at_us{columns})"
            f" VALUES ('{name}', {NOW_US}, {NOW_US}{values})"
        )
    return name

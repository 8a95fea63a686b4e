"""What tests of API keys have in common: headers, keys of every kind, and a look into their table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pymysql

from timer_api.errors import Kind

from .processes import connection_to

BOOTSTRAP = "operations-4b1d~" + "Zq7" * 8
"""For TIMER_API_KEYS."""
KEY_ID = "TIMER_TEST_KEY_ID"
"""The environment variable that tells the contract tests the id of a key that the API has."""
CREATE = {"delay": 3600, "url": "https://example.com/hook"}


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def make_key(client: httpx.AsyncClient, *scopes: str, by: str | None = BOOTSTRAP, **fields: Any) -> str:
    """A new key."""
    return str((await made(client, *scopes, by=by, **fields))["key"])


async def made(
    client: httpx.AsyncClient, *scopes: str, by: str | None = BOOTSTRAP, **fields: Any
) -> dict[str, Any]:
    """What the creation of a key was answered."""
    asked = {"name": "test", "scopes": list(scopes), **fields}
    answer = await client.post("/api-keys", json=asked, headers=bearing(by) if by else {})
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def assert_refused(answer: httpx.Response, kind: Kind) -> dict[str, Any]:
    """A problem of this kind, with the header that belongs to it."""
    assert answer.status_code == kind.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == kind.type
    assert ("www-authenticate" in answer.headers) == (
        kind is Kind.unauthorized or (kind is Kind.forbidden and "errors" not in problem)
    )
    assert ("retry-after" in answer.headers) == (kind.status in (429, 503))
    return problem


@contextmanager
def table(url: str) -> Iterator[pymysql.cursors.DictCursor]:
    """For statements about `api_keys`, past the application."""
    with connection_to(url) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        yield cursor

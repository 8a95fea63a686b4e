"""The calls about API keys: make, list, revoke, and what is wrong with a key that is asked for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import TypeAdapter

from timer_api.api_keys.schemas import ApiKeyPageShown, ApiKeyShown
from timer_api.errors import Kind
from timer_api.settings import ApiSettings
from timer_db.domain.api_key import KEY_PATTERN

from .conftest import ready
from .keyed import BOOTSTRAP, assert_refused, bearing, made, table

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(keys_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Calls an application that checks keys."""
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (_, client):
        yield client


async def test_a_new_key_is_shown_once_and_its_hash_never(client: httpx.AsyncClient, keys_url: str) -> None:
    asked = {
        "name": "Schlüssel für Köln",
        "scopes": ["timers:write", "timers:read", "timers:read"],
        "collections": ["default", "orders"],
        "rate_per_second": 7,
    }
    answer = await client.post("/api-keys", json=asked, headers=bearing(BOOTSTRAP))
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    TypeAdapter(ApiKeyShown).validate_python(shown, strict=False)
    key = shown.pop("key")
    assert re.search(KEY_PATTERN, key)
    assert key.startswith(f"tk_{shown['id']}_")
    assert shown["scopes"] == ["timers:read", "timers:write"]
    assert (shown["name"], shown["collections"]) == (asked["name"], asked["collections"])
    assert (shown["rate_per_second"], shown["burst"]) == (7, 7)
    assert (shown["last_used_at"], shown["revoked_at"]) == (None, None)

    listed = await client.get("/api-keys", headers=bearing(BOOTSTRAP))
    TypeAdapter(ApiKeyPageShown).validate_python(listed.json(), strict=False)
    assert listed.json()["api_keys"][0] == shown
    digest = hashlib.sha256(key.encode())
    for secret in (key, key[12:], digest.hexdigest(), BOOTSTRAP):
        assert secret not in listed.text
    with table(keys_url) as cursor:
        cursor.execute("SELECT * FROM api_keys WHERE id = %s", (shown["id"],))
        row = cursor.fetchone()
    assert row is not None
    assert row.pop("key_sha256") == digest.digest()
    assert key[12:] not in repr(row)


async def test_the_list_turns_its_pages(client: httpx.AsyncClient) -> None:
    newest = [(await made(client, "admin"))["id"] for _ in range(5)][::-1]
    found: list[str] = []
    cursor: str | None = None
    while len(found) < 5:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        answer = (await client.get("/api-keys", params=query, headers=bearing(BOOTSTRAP))).json()
        found += [key["id"] for key in answer["api_keys"]]
        cursor = answer["next_cursor"]
    assert found[:5] == newest
    query = {"limit": "1000"}
    everything = (await client.get("/api-keys", params=query, headers=bearing(BOOTSTRAP))).json()
    assert everything["next_cursor"] is None
    assert [key["id"] for key in everything["api_keys"]][:5] == newest


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor"), ("cursor=00000000", "cursor"),
     ("cursor=", "cursor"), ("colour=red", "colour")],
)  # fmt: skip
async def test_a_fault_in_the_lists_query_is_422(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"/api-keys?{query}", headers=bearing(BOOTSTRAP))
    problem = assert_refused(answer, Kind.invalid_request)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_revoked_key_is_refused_at_once_and_stays_in_the_list(client: httpx.AsyncClient) -> None:
    key = await made(client, "timers:read")
    headers = bearing(key["key"])
    assert (await client.get("/timers", headers=headers)).status_code == 200
    for _ in range(2):
        answer = await client.delete(f"/api-keys/{key['id']}", headers=bearing(BOOTSTRAP))
        assert (answer.status_code, answer.content) == (204, b"")
        assert_refused(await client.get("/timers", headers=headers), Kind.unauthorized)
    listed = (await client.get("/api-keys", headers=bearing(BOOTSTRAP))).json()["api_keys"]
    [shown] = [shown for shown in listed if shown["id"] == key["id"]]
    assert shown["revoked_at"] >= shown["created_at"]


async def test_a_key_that_was_never_made_cannot_be_revoked(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/api-keys/00000000", headers=bearing(BOOTSTRAP))
    assert_refused(answer, Kind.api_key_not_found)
    for wrong in ("x", "0000000", "000000000", "ABCDEF01", "0000000%0A", "%C3%A9"):
        answer = await client.delete(f"/api-keys/{wrong}", headers=bearing(BOOTSTRAP))
        problem = assert_refused(answer, Kind.invalid_request)
        assert [error["field"] for error in problem["errors"]] == ["key_id"]


GOOD: dict[str, Any] = {"name": "a", "scopes": ["timers:read"]}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"scopes": ["admin"]}, "name"),
    *[({**GOOD, "name": name}, "name") for name in ("", " a", "a ", "a\nb", "\x7f", ".", "x" * 201, None, 7)],
    ({"name": "a"}, "scopes"),
    *[({**GOOD, "scopes": value}, "scopes") for value in ([], None, "admin", {}, 7)],
    *[({**GOOD, "scopes": [scope]}, "scopes.0") for scope in ("", "root", "ADMIN", "timers", None, 1, [])],
    ({**GOOD, "scopes": ["admin", "all"]}, "scopes.1"),
    *[({**GOOD, "collections": value}, "collections") for value in ([], None, "default", {}, 7, ["a"] * 101)],
    *[({**GOOD, "collections": [name]}, "collections.0") for name in ("", " a", "a\x00", "..", "x" * 201, None)],
    ({"name": "a", "scopes": ["admin"], "collections": ["default"]}, "collections"),
    *[({**GOOD, "rate_per_second": rate}, "rate_per_second") for rate in (0, -1, 10**6 + 1, 1.5, "1", None, True)],
    *[({**GOOD, "rate_per_second": 1, "burst": burst}, "burst") for burst in (0, -1, 10**6 + 1, 1.5, "1", None)],
    ({**GOOD, "burst": 5}, "burst"),
    *[({**GOOD, name: "x"}, name) for name in ("key", "id", "key_sha256", "created_at", "revoked_at", "surprise")],
]


@pytest.mark.parametrize(("document", "field"), BAD, ids=lambda value: repr(value)[:60])
async def test_a_fault_in_a_field_is_422_and_names_it(
    client: httpx.AsyncClient, keys_url: str, document: dict[str, Any], field: str
) -> None:
    with table(keys_url) as cursor:
        cursor.execute("SELECT COUNT(*) AS keys_made FROM api_keys")
        before = cursor.fetchone()
        answer = await client.post("/api-keys", json=document, headers=bearing(BOOTSTRAP))
        problem = assert_refused(answer, Kind.invalid_request)
        assert field in [error["field"] for error in problem["errors"]]
        cursor.execute("SELECT COUNT(*) AS keys_made FROM api_keys")
        assert cursor.fetchone() == before


@pytest.mark.parametrize(
    ("content", "media_type", "kind"),
    [
        (b"", "application/json", Kind.malformed_json),
        (b"{", "application/json", Kind.malformed_json),
        (b"[]", "application/json", Kind.invalid_request),
        (b'{"name": "a", "name": "b", "scopes": ["admin"]}', "application/json", Kind.invalid_request),
        (b'{"name": "\\ud800", "scopes": ["admin"]}', "application/json", Kind.invalid_request),
        (json.dumps(GOOD).encode(), "text/plain", Kind.unsupported_media_type),
        (json.dumps({**GOOD, "name": "x" * 65_536}).encode(), "application/json", Kind.body_too_large),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_no_json_object_is_refused(
    client: httpx.AsyncClient, content: bytes, media_type: str, kind: Kind
) -> None:
    headers = {**bearing(BOOTSTRAP), "Content-Type": media_type}
    assert_refused(await client.post("/api-keys", content=content, headers=headers), kind)

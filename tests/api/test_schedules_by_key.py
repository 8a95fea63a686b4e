"""Schedules by keys that are bound to a collection, and by keys that may not change them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from timer_api.errors import Kind
from timer_api.settings import ApiSettings

from .conftest import ready
from .keyed import BOOTSTRAP, assert_refused, bearing, make_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "https://example.com/hook"
DAY = {"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00Z"}
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("GET", "/next", {}),
    ("POST", "/pause", {}),
    ("POST", "/resume", {}),
    ("POST", "/backfill", {"json": DAY}),
]


class Parts(NamedTuple):
    """An API that checks keys, with a schedule in each of two collections, and keys of two kinds."""

    client: httpx.AsyncClient
    bound: dict[str, str]
    reader: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(keys_url: str) -> AsyncIterator[Parts]:
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (_, client):
        operator = bearing(BOOTSTRAP)
        for name in ("ours", "theirs"):
            await client.put(f"/collections/{name}", json={}, headers=operator)
            timer = {"url": URL, "collection": name}
            made = await client.put(f"/schedules/{name}", json={"every": "1d", "timer": timer}, headers=operator)
            assert made.status_code == 201
        bound = await make_key(client, "timers:read", "timers:write", collections=["ours"])
        reader = await make_key(client, "timers:read")
        yield Parts(client, bearing(bound), bearing(reader))


@pytest.mark.parametrize(("method", "path", "sent"), CALLS)
async def test_it_sees_those_of_its_own_collection_only(
    parts: Parts, method: str, path: str, sent: dict[str, Any]
) -> None:
    for name, status in (("ours", 200), ("theirs", 404), ("never-made", 404)):
        answer = await parts.client.request(method, f"/schedules/{name}{path}", headers=parts.bound, **sent)
        assert answer.status_code == status, (name, answer.text)
        if status == 404:
            assert assert_refused(answer, Kind.schedule_not_found)["detail"].endswith(repr(name))


async def test_its_list_has_those_of_its_own_collection_only(parts: Parts) -> None:
    found = (await parts.client.get("/schedules", headers=parts.bound)).json()["schedules"]
    assert [schedule["name"] for schedule in found] == ["ours"]


async def test_only_admin_makes_changes_and_deletes(parts: Parts) -> None:
    body = {"every": 60, "timer": {"url": URL, "collection": "ours"}}
    for headers in (parts.bound, parts.reader):
        for method, sent in (("PUT", {"json": body}), ("DELETE", {})):
            answer = await parts.client.request(method, "/schedules/ours", headers=headers, **sent)
            assert_refused(answer, Kind.forbidden)


async def test_who_may_read_may_look_ahead_and_change_nothing(parts: Parts) -> None:
    answer = await parts.client.post("/schedules/next", json={"every": 60}, headers=parts.reader)
    assert answer.status_code == 200
    for _, path, sent in CALLS[2:]:
        answer = await parts.client.post(f"/schedules/ours{path}", headers=parts.reader, **sent)
        assert_refused(answer, Kind.forbidden)

"""Collections and routes by keys that are bound to a collection, and by keys that may not change them."""

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


class Parts(NamedTuple):
    """An API that checks keys, with two collections and a route, and a key that is bound to the first."""

    client: httpx.AsyncClient
    operator: dict[str, str]
    bound: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(keys_url: str) -> AsyncIterator[Parts]:
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (_, client):
        operator = bearing(BOOTSTRAP)
        for name in ("ours", "theirs"):
            await client.put(f"/collections/{name}", json={}, headers=operator)
        secret = {"url": URL, "headers": {"Authorization": "Bearer of-the-receiver"}}
        await client.put("/routes/shared", json=secret, headers=operator)
        for name in ("ours", "theirs"):
            timer = {"hours": 1, "route": "shared", "collection": name}
            assert (await client.post("/timers", json=timer, headers=operator)).status_code == 201
        key = await make_key(client, "timers:read", "timers:write", collections=["ours"])
        yield Parts(client, operator, bearing(key))


async def _json(parts: Parts, path: str) -> dict[str, Any]:
    answer = await parts.client.get(path, headers=parts.bound)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_it_sees_and_pauses_its_own_collection_only(parts: Parts) -> None:
    names = [shown["name"] for shown in (await _json(parts, "/collections"))["collections"]]
    assert names == ["ours"]
    for name, status in (("ours", 200), ("theirs", 404), ("default", 404), ("never-made", 404)):
        for method, path in (("GET", ""), ("POST", "/pause"), ("POST", "/resume")):
            answer = await parts.client.request(method, f"/collections/{name}{path}", headers=parts.bound)
            assert answer.status_code == status, (name, path)
            if status == 404:
                assert assert_refused(answer, Kind.collection_not_found)["detail"].endswith(repr(name))
    assert (await parts.client.get("/collections/theirs", headers=parts.operator)).json()["paused"] is False


async def test_it_sees_events_of_its_own_collection_only(parts: Parts) -> None:
    for name in ("ours", "theirs"):
        await parts.client.post(f"/collections/{name}/pause", headers=parts.operator)
        await parts.client.post(f"/collections/{name}/resume", headers=parts.operator)
    subjects = {event["subject"] for event in (await _json(parts, "/events"))["events"]}
    assert subjects == {"collections/ours"}
    every = (await parts.client.get("/events", headers=parts.operator)).json()["events"]
    assert {event["subject"] for event in every} == {"collections/ours", "collections/theirs"}


async def test_it_sees_routes_without_what_is_in_their_headers_and_stops_none(parts: Parts) -> None:
    shown = await _json(parts, "/routes/shared")
    assert shown["headers"] == {"Authorization": "***"}
    assert shown["counts"]["scheduled"] == 1, "those of its own collection"
    [listed] = (await _json(parts, "/routes"))["routes"]
    assert listed == shown
    for path in ("pause", "resume"):
        answer = await parts.client.post(f"/routes/shared/{path}", headers=parts.bound)
        assert answer.status_code == 403
        assert answer.json()["type"] == Kind.forbidden.type
    seen = (await parts.client.get("/routes/shared", headers=parts.operator)).json()
    assert seen["headers"] == {"Authorization": "Bearer of-the-receiver"}
    assert (seen["counts"]["scheduled"], seen["paused"]) == (2, False)


async def test_only_admin_makes_changes_and_deletes(parts: Parts) -> None:
    for method, path in (
        ("PUT", "/collections/ours"), ("DELETE", "/collections/ours"), ("PUT", "/routes/shared"),
        ("DELETE", "/routes/shared"), ("POST", "/routes/shared/secret"), ("DELETE", "/routes/shared/secret"),
    ):  # fmt: skip
        sent: dict[str, Any] = {"json": {"url": URL}} if method in ("PUT", "POST") else {}
        assert_refused(await parts.client.request(method, path, headers=parts.bound, **sent), Kind.forbidden)


async def test_it_makes_timers_in_its_own_collection_only(parts: Parts) -> None:
    for name, status in (("ours", 201), ("theirs", 403), ("never-made", 403)):
        timer = {"hours": 1, "route": "shared", "collection": name}
        answer = await parts.client.post("/timers", json=timer, headers=parts.bound)
        assert answer.status_code == status, name

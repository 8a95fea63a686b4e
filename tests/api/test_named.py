"""A timer by its name: put, looked at, cancelled; and what comes between."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from timer_api.errors import Kind
from timer_api.settings import ApiSettings

from .conftest import CountTimers, ready
from .keyed import BOOTSTRAP, assert_refused, bearing, make_key

pytestmark = pytest.mark.asyncio(loop_scope="package")

CREATE = {"delay": 3600, "url": "https://example.com/hook"}
RICH: dict[str, Any] = {
    "delay": 7200, "url": "https://example.com/other", "append_id": False, "method": "PUT",
    "headers": {"X-Shop": "berlin"}, "body": {"order": 17}, "meta": [1], "labels": {"env": "prod"}, "priority": 7,
    "retry": {"max_attempts": 2}, "timeout_seconds": 3, "on_unknown": "hold",
    "on_failure_url": "https://example.com/failed",
}  # fmt: skip


def path_of(name: str, collection: str = "default") -> str:
    return f"/collections/{collection}/timers/{quote(name, safe='')}"


@pytest.fixture
def name() -> str:
    return f"named-{uuid.uuid4()}"


async def test_it_is_made_once_and_then_put_anew(
    client: httpx.AsyncClient, count_timers: CountTimers, name: str
) -> None:
    before = await count_timers()
    made = await client.put(path_of(name), json=CREATE)
    assert made.status_code == 201
    assert made.headers["location"] == f"/timers/{made.json()['id']}"
    assert (made.json()["name"], made.json()["collection"]) == (name, "default")
    put = await client.put(path_of(name), json=RICH)
    assert put.status_code == 200
    timer = put.json()
    assert (timer["id"], timer["created_at"]) == (made.json()["id"], made.json()["created_at"])
    shown = {key: timer[key] for key in RICH if key not in ("delay", "retry")}
    assert shown == {key: RICH[key] for key in shown}
    assert timer["retry"]["max_attempts"] == 2
    assert 7100 < timer["time_left"] <= 7200
    assert await count_timers() == before + 1
    # What is left out is as usual again.
    plain = (await client.put(path_of(name), json=CREATE)).json()
    varies = ("due_at", "next_attempt_at", "time_left")
    assert {k: v for k, v in plain.items() if k not in varies} == {
        k: v for k, v in made.json().items() if k not in varies
    }


async def test_its_labels_are_those_that_were_put_last(client: httpx.AsyncClient, name: str) -> None:
    await client.put(path_of(name), json={**CREATE, "labels": {"put": name[-8:]}})
    await client.put(path_of(name), json={**CREATE, "labels": {"anew": name[-8:]}})
    found = {
        key: await client.get("/timers", params={"selector": f"{key}={name[-8:]}"}) for key in ("put", "anew")
    }
    assert [len(found[key].json()["timers"]) for key in ("put", "anew")] == [0, 1]


async def test_a_create_meets_what_was_put(client: httpx.AsyncClient, name: str) -> None:
    """The name knows what its timer is like now."""
    put = await client.put(path_of(name), json=CREATE)
    await client.put(path_of(name), json={**CREATE, "priority": 1})
    assert_refused(await client.post("/timers", json={**CREATE, "name": name}), Kind.name_taken)
    again = await client.post("/timers", json={**CREATE, "name": name, "priority": 1})
    assert (again.status_code, again.json()["id"]) == (200, put.json()["id"])


async def test_it_is_looked_at_and_cancelled_by_its_name(client: httpx.AsyncClient, name: str) -> None:
    made = await client.put(path_of(name), json=CREATE)
    found = await client.get(path_of(name))
    assert (found.status_code, found.json()["id"]) == (200, made.json()["id"])
    cancelled = await client.delete(path_of(name))
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert_refused(await client.delete(path_of(name)), Kind.not_cancellable)
    assert (await client.get(path_of(name))).json()["status"] == "cancelled"
    anew = await client.put(path_of(name), json=CREATE)
    assert anew.status_code == 201
    assert anew.json()["id"] != made.json()["id"]
    assert (await client.get(path_of(name))).json()["id"] == anew.json()["id"]


@pytest.mark.parametrize("tail", ["a/b", "ä ö", "100%", "?x=1", "#", "a//b"])
async def test_any_name_can_stand_in_a_path(client: httpx.AsyncClient, name: str, tail: str) -> None:
    made = await client.put(path_of(f"{name}{tail}"), json=CREATE)
    assert made.status_code == 201
    assert made.json()["name"] == f"{name}{tail}"
    assert (await client.get(path_of(f"{name}{tail}"))).json()["id"] == made.json()["id"]


async def test_the_same_name_elsewhere_is_another_timer(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.put(f"/collections/{name}", json={})).status_code == 201
    first, second = [
        (await client.put(path_of(name, collection), json=CREATE)).json() for collection in ("default", name)
    ]
    assert first["id"] != second["id"]
    assert second["collection"] == name


@pytest.mark.parametrize(
    ("path", "kind", "field"),
    [
        (path_of(" a"), Kind.invalid_request, "name"),
        (path_of("a" * 201), Kind.invalid_request, "name"),
        (path_of("a\tb"), Kind.invalid_request, "name"),
        (path_of("a\n"), Kind.no_such_path, None),
        (path_of("a", "no such thing"), Kind.invalid_request, "collection"),
        (path_of("a", "nowhere"), Kind.collection_not_found, None),
    ],
)
async def test_names_that_cannot_be(client: httpx.AsyncClient, path: str, kind: Kind, field: str | None) -> None:
    problem = assert_refused(await client.put(path, json=CREATE), kind)
    assert [error["field"] for error in problem.get("errors", [])] == ([field] if field else [])
    if field:
        assert_refused(await client.get(path), kind)
        assert_refused(await client.delete(path), kind)


@pytest.mark.parametrize(
    "wrong", [{"name": "other"}, {"collection": "default"}, {"delay": -1}, {"url": "ftp://x"}]
)
async def test_fields_that_cannot_be(client: httpx.AsyncClient, name: str, wrong: dict[str, Any]) -> None:
    problem = assert_refused(await client.put(path_of(name), json={**CREATE, **wrong}), Kind.invalid_request)
    assert [error["field"] for error in problem["errors"]] == list(wrong)
    assert_refused(await client.get(path_of(name)), Kind.timer_not_found)


async def test_a_full_collection_takes_what_was_there(client: httpx.AsyncClient, name: str) -> None:
    await client.put(f"/collections/{name}", json={"waiting_max": 1})
    assert (await client.put(path_of("one", name), json=CREATE)).status_code == 201
    assert (await client.put(path_of("two", name), json=CREATE)).status_code == 429
    assert (await client.put(path_of("one", name), json={**CREATE, "priority": 1})).status_code == 200


async def test_many_at_once_leave_one_timer(
    client: httpx.AsyncClient, database_url: str, count_timers: CountTimers, name: str
) -> None:
    before = await count_timers()
    async with ready(ApiSettings(db_url=database_url)) as (_, other):
        asked = [
            each.put(path_of(name), json={**CREATE, "priority": number})
            for number, each in enumerate((client, other) * 12)
        ]
        answers = await asyncio.gather(*asked)
    assert sorted({answer.status_code for answer in answers}) == [200, 201]
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await count_timers() == before + 1
    assert (await client.get(path_of(name))).json()["status"] == "scheduled"


async def test_keys_see_the_names_of_their_collections(keys_url: str) -> None:
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (app, client):
        mine = f"mine-{uuid.uuid4()}"
        await client.put(f"/collections/{mine}", json={}, headers=bearing(BOOTSTRAP))
        bound = bearing(await make_key(client, "timers:write", "timers:read", collections=[mine]))
        reader = bearing(await make_key(client, "timers:read"))
        await app.service.gate.refresh()
        assert (await client.put(path_of("a", mine), json=CREATE, headers=bound)).status_code == 201
        assert (await client.put(path_of("a"), json=CREATE, headers=bearing(BOOTSTRAP))).status_code == 201
        assert_refused(await client.put(path_of("a"), json=CREATE, headers=bound), Kind.forbidden)
        assert_refused(await client.get(path_of("a"), headers=bound), Kind.timer_not_found)
        assert_refused(await client.delete(path_of("a"), headers=bound), Kind.timer_not_found)
        assert (await client.get(path_of("a"), headers=reader)).status_code == 200
        assert_refused(await client.put(path_of("a", mine), json=CREATE, headers=reader), Kind.forbidden)
        assert_refused(await client.delete(path_of("a", mine), headers=reader), Kind.forbidden)
        assert_refused(await client.get(path_of("a", mine)), Kind.unauthorized)

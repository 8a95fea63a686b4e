"""Schedules backfilled: the runs of a stretch of time are made, each once, and where they belong."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from timer_api.errors import Kind
from timer_api.schedules import backfill
from timer_api.schedules.schemas import RUNS_MAX

from .conftest import CountTimers
from .schedule_calls import HOURLY, NONE, TIMER, URL, at, get, new_name, now, post, put

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def runs_of(client: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    timers = (await get(client, "/timers?limit=1000"))["timers"]
    return sorted([timer for timer in timers if timer["schedule"] == name], key=lambda timer: timer["due_at"])


async def test_backfill_makes_the_runs_of_a_stretch(client: httpx.AsyncClient) -> None:
    name = new_name()
    midnight = now().replace(hour=0, minute=0, second=0)
    begin = midnight - timedelta(hours=3)
    await put(client, name, cron="*/15 * * * *", overlap="skip", timer={**TIMER, "labels": {"a": "b"}, "body": 0})
    answer = await post(client, f"/schedules/{name}/backfill", **{"from": at(begin), "to": at(midnight)})
    assert answer == {"made": 12, "next_from": None}
    runs = await runs_of(client, name)
    assert [run["due_at"] for run in runs] == [at(begin + timedelta(minutes=15 * n)) for n in range(12)]
    assert {(run["status"], run["time_left"], run["url"], run["body"]) for run in runs} == {
        ("scheduled", 0, URL, 0)
    }
    assert runs[0]["labels"] == {"a": "b"}
    empty = {"from": at(midnight - timedelta(seconds=1)), "to": at(midnight)}
    assert await post(client, f"/schedules/{name}/backfill", **empty) == {"made": 0, "next_from": None}
    counts = (await get(client, f"/schedules/{name}"))["counts"]
    assert counts == {**NONE, "scheduled": answer["made"]}
    # Local time of the schedule.
    await put(client, name, 200, cron="0 0 * * *", timezone="Asia/Kolkata", timer=TIMER)
    day = {"from": "2026-01-02T00:00", "to": "2026-01-03T00:00"}
    assert (await post(client, f"/schedules/{name}/backfill", **day))["made"] == 1
    assert (await runs_of(client, name))[0]["due_at"] == "2026-01-01T18:30:00.000000Z"


async def test_a_backfill_that_comes_again_with_its_key_makes_no_run_twice(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    name, key = new_name(), {"Idempotency-Key": str(uuid.uuid4())}
    await put(client, name, **HOURLY)
    begin = now() - timedelta(days=2)
    body = {"from": at(begin), "to": at(begin + timedelta(hours=5))}
    path, before = f"/schedules/{name}/backfill", await count_timers()
    first = await client.post(path, json=body, headers=key)
    assert first.status_code == 200, first.text
    assert first.json()["made"] == 5
    again = await client.post(path, json=body, headers=key)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert await count_timers() == before + 5
    other = await client.post(path, json={**body, "to": at(begin + timedelta(hours=6))}, headers=key)
    assert other.json()["type"] == Kind.idempotency_key_reused.type
    assert (await client.post(path, json=body)).json()["made"] == 5
    assert await count_timers() == before + 10


async def test_a_backfill_that_was_refused_is_made_by_a_repeat(
    client: httpx.AsyncClient, count_timers: CountTimers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its collection was full."""
    monkeypatch.setattr(backfill, "CHUNK_TIMERS", 2)
    name, collection = new_name(), new_name()
    key = {"Idempotency-Key": str(uuid.uuid4())}
    assert (await client.put(f"/collections/{collection}", json={"waiting_max": 1})).status_code == 201
    waiting = {"delay": 3600, "url": URL, "collection": collection}
    assert (await client.post("/timers", json=waiting)).status_code == 201
    await put(client, name, **{**HOURLY, "timer": {**TIMER, "collection": collection}})
    begin = now() - timedelta(days=2)
    body = {"from": at(begin), "to": at(begin + timedelta(hours=5))}
    path, before = f"/schedules/{name}/backfill", await count_timers()
    assert (await client.post(path, json=body, headers=key)).status_code == 429
    assert (await client.put(f"/collections/{collection}", json={"waiting_max": 100})).status_code == 200
    assert (await client.post(path, json=body, headers=key)).json()["made"] == 5
    assert await count_timers() == before + 5


async def test_a_long_backfill_goes_on_where_it_ended(
    client: httpx.AsyncClient, count_timers: CountTimers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "RUNS_MAX", 7)
    monkeypatch.setattr(backfill, "CHUNK_TIMERS", 3)
    name = new_name()
    end = now() - timedelta(hours=1)
    begin = end - timedelta(seconds=16)
    await put(client, name, every=1, start_at=at(begin), timer=TIMER)
    before = await count_timers()
    made: list[int] = []
    body = {"from": at(begin), "to": at(end)}
    while body["from"] is not None:
        answer = await post(client, f"/schedules/{name}/backfill", **body)
        made.append(answer["made"])
        body["from"] = answer["next_from"]
    assert made == [7, 7, 2]
    assert await count_timers() - before == 16
    assert RUNS_MAX == 1000


async def test_backfill_keeps_the_limit_of_its_collection(client: httpx.AsyncClient) -> None:
    collection, name = f"c-{uuid.uuid4().hex}", new_name()
    assert (await client.put(f"/collections/{collection}", json={"waiting_max": 4})).status_code == 201
    begin = now() - timedelta(hours=1)
    await put(client, name, every=60, start_at=at(begin), timer={**TIMER, "collection": collection})
    body = {"from": at(begin), "to": at(begin + timedelta(minutes=6))}
    answer = await post(client, f"/schedules/{name}/backfill", **body)
    assert answer == {"made": 4, "next_from": at(begin + timedelta(minutes=4))}
    full = await post(client, f"/schedules/{name}/backfill", 429, **body)
    assert full["errors"][0]["field"] == "collection"


async def test_runs_belong_to_the_collection_and_the_route_that_are_named(client: httpx.AsyncClient) -> None:
    collection, route, name = f"c-{uuid.uuid4().hex}", f"r-{uuid.uuid4().hex}", new_name()
    await client.put(f"/collections/{collection}", json={"defaults": {"priority": 7}})
    await client.put(f"/routes/{route}", json={"url": URL})
    timer = {"collection": collection, "route": route}
    assert (await put(client, name, **{**HOURLY, "timer": timer}))["timer"] == timer
    hour = {"from": at(now() - timedelta(hours=1)), "to": at(now() - timedelta(seconds=1))}
    assert (await post(client, f"/schedules/{name}/backfill", **hour))["made"] == 1
    [run] = await runs_of(client, name)
    assert (run["collection"], run["route"], run["priority"], run["url"]) == (collection, route, 7, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "from"),
        ({"from": "2026-01-01T00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00Z", "to": "2026-01-01T00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00Z", "to": "2999-01-01T00:00Z"}, "to"),
        ({"from": "yesterday", "to": "2026-01-01T00:00Z"}, "from"),
        ({"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00Z", "limit": 3}, "limit"),
    ],
    ids=repr,
)
async def test_a_bad_backfill_names_its_field(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    name = new_name()
    await put(client, name, **HOURLY)
    answer = await client.post(f"/schedules/{name}/backfill", json=body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]

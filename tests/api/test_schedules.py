"""Schedules as their users know them: made, changed, listed, previewed, paused and deleted."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from timer_api.app import FrontDoor
from timer_api.errors import Kind
from timer_api.schedules import examples

from .schedule_calls import HOURLY, NONE, TIMER, URL, at, get, new_name, now, post, put

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_one_that_says_as_little_as_it_may(client: httpx.AsyncClient) -> None:
    name = new_name()
    made = await put(client, name, **HOURLY)
    next_hour = now().replace(minute=0, second=0) + timedelta(hours=1)
    assert made == {
        "name": name,
        "paused": False,
        "cron": "0 * * * *",
        "every": None,
        "timezone": "UTC",
        "start_at": None,
        "end_at": None,
        "jitter_seconds": 0,
        "overlap": "allow",
        "catch_up": "last",
        "timer": TIMER,
        "next_run_at": at(next_hour),
        "last_run_at": None,
        "last_timer_id": None,
        "counts": NONE,
        "created_at": made["created_at"],
    }
    assert await get(client, f"/schedules/{name}") == made
    assert await put(client, name, 200, **HOURLY) == made


@pytest.mark.parametrize(
    "asked", [example["value"] for example in examples.ASKED.values()], ids=list(examples.ASKED)
)
async def test_the_examples_are_real(client: httpx.AsyncClient, asked: dict[str, Any]) -> None:
    name = new_name()
    made = await put(client, name, **asked)
    for field, value in asked.items():
        if field.endswith("_at"):
            assert datetime.fromisoformat(made[field]) == datetime.fromisoformat(value)
        else:
            assert made[field] == value
    # What is shown can be put.
    settings = {field: made[field] for field in ("cron", "every", "timezone", "start_at", "end_at", "timer")}
    assert (await put(client, name, 200, **{**made_of(made), **settings})) == made


def made_of(shown: dict[str, Any]) -> dict[str, Any]:
    """What of a schedule can be chosen."""
    return {field: shown[field] for field in ("jitter_seconds", "overlap", "catch_up")}


@pytest.mark.parametrize(
    ("zone", "start_at", "in_utc"),
    [
        ("Europe/Berlin", "2030-07-01T08:00", "2030-07-01T06:00:00.000000Z"),
        ("Europe/Berlin", "2030-07-01T08:00:00+05:00", "2030-07-01T03:00:00.000000Z"),
        ("UTC", "2030-07-01T08:00:00.5", "2030-07-01T08:00:00.500000Z"),
    ],
)
async def test_moments_are_local_unless_they_have_an_offset(
    client: httpx.AsyncClient, zone: str, start_at: str, in_utc: str
) -> None:
    made = await put(client, new_name(), every="1h", timezone=zone, start_at=start_at, timer=TIMER)
    assert (made["start_at"], made["next_run_at"]) == (in_utc, in_utc)


async def test_next_runs_and_their_jitter(client: httpx.AsyncClient) -> None:
    name = new_name()
    start = now() + timedelta(hours=1)
    await put(client, name, every=60, start_at=at(start), end_at=at(start + timedelta(minutes=4)), timer=TIMER)
    runs = (await get(client, f"/schedules/{name}/next"))["runs"]
    assert runs == [at(start + timedelta(minutes=n)) for n in range(5)]
    assert (await get(client, f"/schedules/{name}/next?count=2"))["runs"] == runs[:2]
    moved = {"every": 60, "start_at": at(start), "jitter_seconds": 30.5}
    made = await put(client, name, 200, **moved, timer=TIMER)
    later = (await get(client, f"/schedules/{name}/next?count=100"))["runs"]
    assert made["next_run_at"] == later[0]
    offsets = [
        (datetime.fromisoformat(run) - start - timedelta(minutes=n)).total_seconds() for n, run in enumerate(later)
    ]
    assert all(0 <= offset <= 30.5 for offset in offsets)
    assert len(set(offsets)) > 90
    assert (await get(client, f"/schedules/{name}/next?count=100"))["runs"] == later


async def test_a_preview_stores_nothing(client: httpx.AsyncClient) -> None:
    before = await get(client, "/schedules?limit=1000")
    body = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "start_at": "2030-03-30T00:00"}
    found = await post(client, "/schedules/next?count=3", **body)
    assert found["runs"] == [
        "2030-03-30T01:30:00.000000Z",
        "2030-03-31T01:00:00.000000Z",
        "2030-04-01T00:30:00.000000Z",
    ]
    assert len((await post(client, "/schedules/next", **HOURLY, jitter_seconds=5))["runs"]) == 10
    assert (await post(client, "/schedules/next", every=1, end_at="2020-01-01T00:00Z"))["runs"] == []
    assert await get(client, "/schedules?limit=1000") == before


async def test_pause_and_resume(client: httpx.AsyncClient) -> None:
    name = new_name()
    made = await put(client, name, **HOURLY)
    for _ in range(2):
        paused = await post(client, f"/schedules/{name}/pause")
        assert paused == {**made, "paused": True, "next_run_at": None}
    assert await put(client, name, 200, **HOURLY) == paused
    assert len((await get(client, f"/schedules/{name}/next"))["runs"]) == 10
    for _ in range(2):
        assert await post(client, f"/schedules/{name}/resume") == made


async def test_a_deleted_one_is_gone(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name, **HOURLY)
    assert (await client.delete(f"/schedules/{name}")).status_code == 204
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/next"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/backfill"),
    ]:
        answer = await client.request(method, f"/schedules/{name}{path}")
        assert answer.status_code == 404
        assert answer.json()["type"] == Kind.schedule_not_found.type
    await put(client, name, **HOURLY)


async def test_a_list_comes_in_pages(client: httpx.AsyncClient) -> None:
    names = sorted(new_name() for _ in range(5))
    for name in names:
        await put(client, name, **HOURLY)
    found: list[str] = []
    cursor = ""
    while True:
        page = await get(client, f"/schedules?limit=2{cursor}")
        assert len(page["schedules"]) <= 2
        found += [schedule["name"] for schedule in page["schedules"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == sorted(found)
    assert set(names) <= set(found)


async def test_what_others_know_is_read_again_at_once(
    client: httpx.AsyncClient, served: tuple[FrontDoor, httpx.AsyncClient]
) -> None:
    name = new_name()
    await put(client, name, **HOURLY)
    assert served[0].service.directory.current.schedule_named(name) is not None
    await client.delete(f"/schedules/{name}")
    assert served[0].service.directory.current.schedule_named(name) is None


async def test_what_a_schedule_needs_is_not_deleted(client: httpx.AsyncClient) -> None:
    collection, route, name = f"c-{uuid.uuid4().hex}", f"r-{uuid.uuid4().hex}", new_name()
    await client.put(f"/collections/{collection}", json={})
    await client.put(f"/routes/{route}", json={"url": URL})
    await put(client, name, every=3600, timer={"collection": collection, "route": route})
    for path in (f"/collections/{collection}", f"/routes/{route}"):
        answer = await client.delete(path)
        assert answer.status_code == 409
        assert repr(name) in answer.json()["detail"]
    await client.delete(f"/schedules/{name}")
    for path in (f"/collections/{collection}", f"/routes/{route}"):
        assert (await client.delete(path)).status_code == 204

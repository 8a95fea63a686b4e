"""Schedules as their users know them: made, changed, listed, previewed, paused, backfilled and deleted."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from timer_api.app import FrontDoor
from timer_api.errors import Kind
from timer_api.schedules import backfill, examples
from timer_api.schedules.schemas import RUNS_MAX, SHOWN_MAX, ScheduleShown
from timer_db.domain.representation import microseconds, rfc3339

from .conftest import CountTimers

pytestmark = pytest.mark.asyncio(loop_scope="package")

SHOWN = TypeAdapter(ScheduleShown)
URL = "https://example.com/hook"
TIMER = {"url": URL}
NONE = {"scheduled": 0, "firing": 0, "delivered": 0, "failed": 0, "unknown": 0, "cancelled": 0}
HOURLY = {"cron": "0 * * * *", "timer": TIMER}


def new_name() -> str:
    return f"s-{uuid.uuid4().hex}"


async def put(client: httpx.AsyncClient, name: str, status: int = 201, **settings: Any) -> dict[str, Any]:
    answer = await client.put(f"/schedules/{name}", json=settings)
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    SHOWN.validate_python(shown, strict=False)
    return shown


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


async def post(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body) if body else await client.post(path)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def at(moment: datetime) -> str:
    return rfc3339(microseconds(moment))


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


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


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "cron", "exactly one"),
    ({"cron": None, "every": None}, "every", "exactly one"),
    ({"cron": "* * * * *", "every": 5}, "every", "exactly one"),
    ({"cron": "* * * *"}, "cron", "five fields"),
    ({"cron": "0 0 30 2 *"}, "cron", "one that its months have"),
    ({"cron": "0 0 */5 2 MON#5"}, "cron", "it never comes"),
    ({"cron": "61 * * * *"}, "cron", "a minute is 0-59"),
    ({"cron": 5}, "cron", "it must be a string"),
    ({"cron": "*" * 201}, "cron", "at most 200 characters"),
    ({"every": 0}, "every", "at least 1 second"),
    ({"every": "500ms"}, "every", "at least 1 second"),
    ({"every": "P1M"}, "every", "years and months"),
    ({"every": -1}, "every", "negative"),
    ({"every": True}, "every", "number of seconds"),
    ({"every": 5, "timezone": "Mars/Olympus"}, "timezone", "IANA time zone"),
    ({"every": 5, "timezone": None}, "timezone", "it must be a string"),
    ({"every": 5, "start_at": "soon"}, "start_at", "it must look like"),
    ({"every": 5, "start_at": "2200-01-01T00:00Z"}, "start_at", "100 years"),
    ({"every": 5, "end_at": "2030-02-30T00:00"}, "end_at", "no such time"),
    ({"every": 5, "start_at": "2030-01-02T00:00", "end_at": "2030-01-01T00:00"}, "end_at", "before start_at"),
    ({"every": 5, "jitter_seconds": -1}, "jitter_seconds", "greater than or equal to 0"),
    ({"every": 5, "jitter_seconds": 86_401}, "jitter_seconds", "86400"),
    ({"every": 5, "overlap": "queue"}, "overlap", "'allow' or 'skip'"),
    ({"every": 5, "catch_up": "some"}, "catch_up", "'all', 'last' or 'none'"),
    ({"every": 5, "paused": True}, "paused", "no such field"),
    ({"every": 5, "timer": None}, "timer", "object"),
    ({"every": 5, "timer": {}}, "timer.url", "exactly one of url and route"),
    ({"every": 5, "timer": {"url": "ftp://a.example"}}, "timer.url", "http"),
    ({"every": 5, "timer": {"url": URL, "route": "r"}}, "timer.route", "exactly one of url and route"),
    ({"every": 5, "timer": {"url": URL, "seconds": 1}}, "timer.seconds", "no such field"),
    ({"every": 5, "timer": {"url": URL, "name": "n"}}, "timer.name", "no such field"),
    ({"every": 5, "timer": {"url": URL, "labels": {"a b": "c"}}}, "timer.labels.a b", "a label's key"),
    (
        {"every": 5, "timer": {"url": URL, "headers": {"Host": "x"}}},
        "timer.headers.Host",
        "belongs to the service",
    ),
    ({"every": 5, "timer": {"url": URL, "body_base64": "?"}}, "timer.body_base64", "base64"),
    ({"every": 5, "timer": {"url": URL, "retry": {"max_attempts": 0}}}, "timer.retry.max_attempts", "1"),
    ({"every": 5, "timer": {"url": URL, "collection": "nowhere"}}, "timer.collection", "make it first"),
    ({"every": 5, "timer": {"route": "nowhere"}}, "timer.route", "make it first"),
]


@pytest.mark.parametrize(("settings", "field", "said"), BAD, ids=lambda value: repr(value)[:50])
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient, settings: dict[str, Any], field: str, said: str
) -> None:
    name = new_name()
    answer = await client.put(f"/schedules/{name}", json={"timer": TIMER, **settings})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    messages = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert said in messages[field]
    assert (await client.get(f"/schedules/{name}")).status_code == 404
    if "make it first" not in said:
        preview = await client.post("/schedules/next", json=settings)
        assert (preview.status_code == 422) or field == "timer"


async def test_several_faults_are_told_at_once(client: httpx.AsyncClient) -> None:
    body = {"cron": "x", "end_at": "never", "timer": {"url": URL, "route": "r"}}
    answer = await client.put(f"/schedules/{new_name()}", json=body)
    assert [error["field"] for error in answer.json()["errors"]] == ["cron", "end_at", "timer.url", "timer.route"]


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


@pytest.mark.parametrize("name", ["next", "-a", "a b", "ä", "a" * 101])
async def test_names_that_cannot_be(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.put(f"/schedules/{name}", json=HOURLY)
    # One call has this path, and no other method.
    assert answer.status_code == (405 if name == "next" else 422)


@pytest.mark.parametrize("query", ["count=0", f"count={SHOWN_MAX + 1}", "count=x", "many=1"])
async def test_a_bad_count_names_its_field(client: httpx.AsyncClient, query: str) -> None:
    for answer in (
        await client.get(f"/schedules/any/next?{query}"),
        await client.post(f"/schedules/next?{query}", json=HOURLY),
    ):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == query.split("=")[0]


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

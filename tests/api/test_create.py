"""`POST /timers` as its users know it: what is accepted, and what comes back."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from timer_api.timers.answered import TimerShown
from timer_api.timers.examples import CREATES

from .conftest import CountTimers

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"
SHOWN = TypeAdapter(TimerShown)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def wait_of(timer: dict[str, Any]) -> timedelta:
    return moment(timer["due_at"]) - moment(timer["created_at"])


async def make(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/timers", json={"url": URL, **fields})
    assert response.status_code == 201, response.text
    timer: dict[str, Any] = response.json()
    return timer


async def test_a_create_answers_201_with_the_timer_and_where_it_is(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    before = await count_timers()
    response = await client.post("/timers", json={"minutes": 10, "url": URL})
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    timer = response.json()
    assert response.headers["location"] == f"/timers/{timer['id']}"
    assert uuid.UUID(timer["id"]).version == 7
    assert timer["status"] == "scheduled"
    assert timer["time_left"] == 600
    assert wait_of(timer) == timedelta(minutes=10)
    assert timer["next_attempt_at"] == timer["due_at"]
    assert (await client.get(response.headers["location"])).json() == {**timer, "time_left": 600}
    assert await count_timers() == before + 1


async def test_what_is_left_out_has_its_documented_default(client: httpx.AsyncClient) -> None:
    timer = await make(client, seconds=30)
    assert {name: timer[name] for name in ("method", "headers", "body", "meta", "name", "labels", "priority")} == {
        "method": "POST",
        "headers": {},
        "body": None,
        "meta": None,
        "name": None,
        "labels": {},
        "priority": 0,
    }
    assert timer["append_id"] is True
    assert timer["collection"] == "default"
    assert timer["timeout_seconds"] == 10
    assert timer["on_unknown"] == "resend"
    assert timer["retry"]["max_attempts"] == 5
    assert timer["attempts"] == 0
    assert timer["ended_at"] is None


async def test_what_is_given_comes_back_from_the_database_as_it_was(client: httpx.AsyncClient) -> None:
    asked = {
        "delay": 3600,
        "method": "PATCH",
        "headers": {"X-Shop": "berlin", "X-Empty": "", "Authorization": "Bearer a b\tc"},
        "body": {"text": "Grüße \U0001f600", "zero": 0, "list": [1.5, None, True, -(2**63), 2**63 - 1], "": ""},
        "meta": ["any", {"json": ["deep"]}],
        "labels": {"env": "prod", "example.com/tier": "", "a": "x_y.z-1"},
        "priority": 32_767,
        "append_id": False,
        "retry": {"max_attempts": 1, "initial_seconds": 0.5, "factor": 1, "max_seconds": 0.5, "jitter": 0},
        "timeout_seconds": 0.125,
        "on_unknown": "hold",
    }
    made = await make(client, **asked)
    stored = (await client.get(f"/timers/{made['id']}")).json()
    for timer in (made, stored):
        assert {name: timer[name] for name in asked if name != "delay"} == {
            name: value for name, value in asked.items() if name != "delay"
        }
        SHOWN.validate_python(timer, strict=False)
    assert set(stored) == set(TimerShown.__annotations__) - {"body_base64", "unreadable"}


async def test_binary_bodies_come_back_as_base64(client: httpx.AsyncClient) -> None:
    made = await make(client, seconds=9, body_base64="AP8gCg==")
    stored = (await client.get(f"/timers/{made['id']}")).json()
    assert stored["body_base64"] == "AP8gCg=="
    assert stored["body"] is None


async def test_a_partial_retry_policy_keeps_the_other_defaults(client: httpx.AsyncClient) -> None:
    timer = await make(client, seconds=9, retry={"max_attempts": 7})
    assert timer["retry"] == {
        "max_attempts": 7,
        "initial_seconds": 5.0,
        "factor": 3.0,
        "max_seconds": 3600.0,
        "jitter": 0.1,
    }


@pytest.mark.parametrize(
    ("fields", "wait"),
    [
        ({"seconds": 90}, timedelta(seconds=90)),
        ({"hours": 1, "minutes": 30}, timedelta(minutes=90)),
        ({"hours": 0, "minutes": 0, "seconds": 1}, timedelta(seconds=1)),
        ({"delay": 90}, timedelta(seconds=90)),
        ({"delay": 0.25}, timedelta(milliseconds=250)),
        ({"delay": "1h30m"}, timedelta(minutes=90)),
        ({"delay": "PT1H30M"}, timedelta(minutes=90)),
        ({"hours": 876_600}, timedelta(days=36_525)),
    ],
)
async def test_a_duration_counts_from_the_arrival(
    client: httpx.AsyncClient, fields: dict[str, Any], wait: timedelta
) -> None:
    assert wait_of(await make(client, **fields)) == wait


@pytest.mark.parametrize(
    "fields", [{"hours": 0}, {"seconds": 0}, {"delay": 0}, {"delay": "0s"}, {"delay": "PT0S"}]
)
async def test_zero_means_now(client: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    timer = await make(client, **fields)
    assert wait_of(timer) == timedelta(0)
    assert timer["time_left"] == 0


@pytest.mark.parametrize(
    ("fields", "due_at"),
    [
        ({"due_at": "2039-01-31T18:00:00Z"}, datetime(2039, 1, 31, 18, tzinfo=UTC)),
        ({"due_at": "2039-01-31t18:00:00.5+02:00"}, datetime(2039, 1, 31, 16, 0, 0, 500_000, tzinfo=UTC)),
        ({"due_at": "2039-07-01T12:00:00", "timezone": "Europe/Berlin"}, datetime(2039, 7, 1, 10, tzinfo=UTC)),
        ({"due_at": "2039-07-01T12:00", "timezone": "UTC"}, datetime(2039, 7, 1, 12, tzinfo=UTC)),
    ],
)
async def test_a_due_time_is_what_was_said(
    client: httpx.AsyncClient, fields: dict[str, Any], due_at: datetime
) -> None:
    assert moment((await make(client, **fields))["due_at"]) == due_at


@pytest.mark.parametrize("due_at", ["1931-01-01T00:00:00Z", "2001-09-09T01:46:40+00:00", "0001-01-01T00:00:00Z"])
async def test_the_past_means_now(client: httpx.AsyncClient, due_at: str) -> None:
    timer = await make(client, due_at=due_at)
    assert timer["due_at"] == timer["created_at"]
    assert timer["time_left"] == 0


@pytest.mark.parametrize("example", CREATES)
async def test_every_example_of_the_document_can_be_made(client: httpx.AsyncClient, example: str) -> None:
    response = await client.post("/timers", json=CREATES[example]["value"])
    assert response.status_code in (200, 201), response.text
    SHOWN.validate_python(response.json(), strict=False)


async def test_the_same_create_by_name_returns_the_first_timer(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    asked = {"url": URL, "delay": "2h", "name": f"same-{uuid.uuid4()}", "meta": {"n": 1}}
    first = await client.post("/timers", json=asked)
    before = await count_timers()
    again = await client.post("/timers", json={**asked, "delay": 7200})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert await count_timers() == before


async def test_a_name_in_use_with_other_content_is_409_and_says_whose(
    client: httpx.AsyncClient, count_timers: CountTimers
) -> None:
    name = f"taken-{uuid.uuid4()}"
    first = await make(client, delay="2h", name=name)
    before = await count_timers()
    refused = await client.post("/timers", json={"url": URL, "delay": "3h", "name": name})
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["type"] == "urn:timer-system:problem:name-taken"
    assert problem["errors"][0]["field"] == "name"
    assert problem["holder"] == first["id"]
    assert await count_timers() == before


async def test_of_many_creates_with_one_name_at_once_one_makes_the_timer(client: httpx.AsyncClient) -> None:
    asked = {"url": URL, "delay": "2h", "name": f"race-{uuid.uuid4()}"}
    answers = await asyncio.gather(*[client.post("/timers", json=asked) for _ in range(20)])
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_name_is_free_again_once_its_timer_has_ended(client: httpx.AsyncClient) -> None:
    name = f"free-{uuid.uuid4()}"
    first = await make(client, delay="2h", name=name)
    await client.delete(f"/timers/{first['id']}")
    second = await make(client, delay="3h", name=name)
    assert second["id"] != first["id"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"']
)
async def test_json_may_say_that_it_is_utf_8(client: httpx.AsyncClient, content_type: str) -> None:
    body = b'{"seconds": 5, "url": "https://example.com/", "meta": "\xc3\xa4"}'
    response = await client.post("/timers", content=body, headers={"Content-Type": content_type})
    assert response.status_code == 201
    assert response.json()["meta"] == "ä"

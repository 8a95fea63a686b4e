"""Looking at timers, listing and cancelling them, and the edges of the service."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import TypeAdapter
from sqlalchemy import text

from timer_api.timers.answered import AttemptsShown, TimerPageShown
from timer_db.engine import Pool, open_engine, parse_url

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"


@pytest_asyncio.fixture(loop_scope="package")
async def empty(client: httpx.AsyncClient, database_url: str) -> None:
    """No timer is there."""
    engine = open_engine(parse_url(database_url), Pool(size=2))
    async with engine.begin() as connection:
        for table in ("timers", "due_queue", "timer_names", "endings", "attempts"):
            await connection.execute(text(f"DELETE FROM {table}"))
    await engine.dispose()


async def make(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/timers", json={"url": URL, "delay": 3600, **fields})
    assert response.status_code == 201, response.text
    timer: dict[str, Any] = response.json()
    return timer


async def page(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    response = await client.get("/timers", params=query)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    TypeAdapter(TimerPageShown).validate_python(shown, strict=False)
    return shown


async def test_cancel_answers_the_cancelled_timer_once(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    cancelled = await client.delete(f"/timers/{timer['id']}")
    assert cancelled.status_code == 200
    shown = cancelled.json()
    assert (shown["status"], shown["time_left"], shown["next_attempt_at"]) == ("cancelled", 0, None)
    assert shown["ended_at"] >= timer["created_at"]
    assert (await client.get(f"/timers/{timer['id']}")).json() == shown
    again = await client.delete(f"/timers/{timer['id']}")
    assert again.status_code == 409
    assert again.json()["type"] == "urn:timer-system:problem:not-cancellable"
    assert again.json()["timer_status"] == "cancelled"


async def test_of_many_cancels_at_once_one_wins(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    answers = await asyncio.gather(*[client.delete(f"/timers/{timer['id']}") for _ in range(10)])
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9


async def test_ids_may_be_written_in_capitals(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    assert (await client.get(f"/timers/{timer['id'].upper()}")).json()["id"] == timer["id"]


async def test_a_new_timer_has_no_attempts(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    response = await client.get(f"/timers/{timer['id']}/attempts")
    assert response.status_code == 200
    assert response.json() == {"attempts": []}


async def test_attempts_are_shown_with_what_came_of_them(client: httpx.AsyncClient, database_url: str) -> None:
    timer = await make(client)
    engine = open_engine(parse_url(database_url), Pool(size=2))
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO attempts (timer_id, attempt, finished_at_us, controller_id, batch, started_at_us,"
                " outcome, state, http_status, latency_us, reason, answer) VALUES"
                " (:id, 1, 1795170000042000, 7, 1, 1795170000000000, 'rejected', 'scheduled', 503, 42000,"
                " 'the receiver answered 503', x'74727920c3a4ff')"
            ),
            {"id": uuid.UUID(timer["id"]).bytes},
        )
    await engine.dispose()
    shown = (await client.get(f"/timers/{timer['id']}/attempts")).json()
    TypeAdapter(AttemptsShown).validate_python(shown, strict=False)
    (attempt,) = shown["attempts"]
    assert attempt.pop("controller")
    assert attempt == {
        "number": 1,
        "outcome": "rejected",
        "status": "scheduled",
        "started_at": "2026-11-20T10:20:00.000000Z",
        "finished_at": "2026-11-20T10:20:00.042000Z",
        "latency_ms": 42.0,
        "http_status": 503,
        "reason": "the receiver answered 503",
        "answer": "try ä\ufffd",
    }


@pytest.mark.usefixtures("empty")
async def test_pages_hold_every_timer_once(client: httpx.AsyncClient) -> None:
    made = [(await make(client, delay=3600 + n))["id"] for n in range(7)]
    for status in ({}, {"status": "scheduled"}):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            shown = await page(client, limit=3, **status, **cursor)
            assert len(shown["timers"]) <= 3
            seen += [timer["id"] for timer in shown["timers"]]
            # What is made meanwhile shifts nothing.
            made_meanwhile = (await make(client, delay=1))["id"] if len(seen) == 3 else None
            if made_meanwhile:
                await client.delete(f"/timers/{made_meanwhile}")
            if shown["next_cursor"] is None:
                break
            cursor = {"cursor": shown["next_cursor"]}
        assert [timer_id for timer_id in seen if timer_id in made] == (made if status else made[::-1])
        assert len(seen) == len(set(seen))


@pytest.mark.usefixtures("empty")
async def test_lists_know_status_and_name(client: httpx.AsyncClient) -> None:
    named = await make(client, name="needle")
    gone = await make(client)
    await client.delete(f"/timers/{gone['id']}")
    assert [timer["id"] for timer in (await page(client, name="needle"))["timers"]] == [named["id"]]
    assert [timer["id"] for timer in (await page(client, status="cancelled"))["timers"]] == [gone["id"]]
    assert (await page(client, name="needle", status="cancelled"))["timers"] == []
    assert (await page(client, name="other"))["timers"] == []
    for status in ("firing", "delivered", "failed", "unknown"):
        assert await page(client, status=status) == {"timers": [], "next_cursor": None}


async def test_a_cursor_belongs_to_its_list(client: httpx.AsyncClient) -> None:
    await asyncio.gather(*[make(client) for _ in range(2)])
    cursor = (await page(client, limit=1))["next_cursor"]
    response = await client.get("/timers", params={"cursor": cursor, "status": "scheduled"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "cursor"


async def test_health(client: httpx.AsyncClient) -> None:
    for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
        response = await client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": status})


@pytest.mark.parametrize(
    "path", ["/", "/timer", "/timers/", "/timers/x/y", "/Timers", "/docs/", "/docs/files/x", "/redoc"]
)
async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["instance"] == path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/timers", "GET, POST"),
        ("POST", "/timers/019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071", "DELETE, GET, PATCH"),
        ("DELETE", "/health/live", "GET"),
        ("OPTIONS", "/timers", "GET, POST"),
        ("POST", "/docs", "GET"),
    ],
)
async def test_a_method_that_a_path_lacks_is_405_with_those_it_has(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert response.json()["type"] == "urn:timer-system:problem:method-not-allowed"

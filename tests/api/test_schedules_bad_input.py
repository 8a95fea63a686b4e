"""What is wrong with a schedule is named, and nothing is stored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from timer_api.schedules.schemas import SHOWN_MAX

from .schedule_calls import HOURLY, TIMER, URL, new_name

pytestmark = pytest.mark.asyncio(loop_scope="package")

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

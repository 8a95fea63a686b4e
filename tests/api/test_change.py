"""`PATCH /timers/{id}`, `fire` and `replay`: what changes, what stays, and how a wrong wish is answered."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import TypeAdapter

from tests.api.processes import connection_to
from timer_api.timers.answered import TimerShown
from timer_api.timers.examples import CHANGES
from timer_db.statements.literals import NOW_US

pytestmark = pytest.mark.asyncio(loop_scope="package")

URL = "https://example.com/hook"
NOBODY = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"


async def make(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/timers", json={"url": URL, "delay": 3600, **fields})
    assert answer.status_code == 201, answer.text
    timer: dict[str, Any] = answer.json()
    return timer


async def patch(client: httpx.AsyncClient, timer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await client.patch(f"/timers/{timer['id']}", json=fields)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    TypeAdapter(TimerShown).validate_python(shown, strict=False)
    assert (await client.get(f"/timers/{timer['id']}")).json().items() >= {**shown, "time_left": ANY}.items()
    return shown


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY = _Any()

FULL: dict[str, Any] = {
    "url": "https://example.com/other",
    "append_id": False,
    "method": "PUT",
    "headers": {"X-A": "b"},
    "body": {"a": [1, None]},
    "meta": {"m": 1},
    "labels": {"env": "prod"},
    "priority": 9,
    "retry": {"max_attempts": 2, "initial_seconds": 1.0, "factor": 2.0, "max_seconds": 9.0, "jitter": 0.5},
    "timeout_seconds": 1.5,
    "on_unknown": "hold",
    "on_failure_url": "https://example.com/failed",
}


async def test_what_is_given_replaces_and_null_resets(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    changed = await patch(client, timer, **FULL)
    assert changed == {**timer, **FULL, "time_left": ANY}
    back = await patch(client, timer, **{name: None for name in FULL if name != "url"}, url=URL)
    assert back == {**timer, "time_left": ANY}


@pytest.mark.parametrize("field", FULL)
async def test_one_field_changes_no_other(client: httpx.AsyncClient, field: str) -> None:
    timer = await make(client, **{**FULL, "url": URL})
    other: dict[str, Any] = {"url": "https://example.com/x", "priority": 1, "labels": {}, "retry": {}}
    value = other.get(field, FULL[field] if field in ("append_id",) else None)
    changed = await patch(client, timer, **{field: value})
    assert {name for name in timer if timer[name] != changed[name]} - {"time_left"} <= {field}


@pytest.mark.parametrize(
    ("when", "seconds"),
    [({"hours": 2}, 7200), ({"delay": "1h30m"}, 5400), ({"minutes": 1, "seconds": 1}, 61), ({"delay": 0}, 0)],
)
async def test_another_time(client: httpx.AsyncClient, when: dict[str, Any], seconds: int) -> None:
    timer = await make(client)
    changed = await patch(client, timer, **when)
    assert changed["time_left"] in (seconds, max(0, seconds - 1))
    assert changed["due_at"] == changed["next_attempt_at"] or seconds == 0
    assert changed == {**timer, "due_at": ANY, "next_attempt_at": ANY, "time_left": ANY}


async def test_a_moment_and_a_zone(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    changed = await patch(client, timer, due_at="2031-06-01T12:00:00", timezone="Europe/Berlin")
    assert changed["due_at"] == "2031-06-01T10:00:00.000000Z"


async def test_bytes_and_json_take_each_others_place(client: httpx.AsyncClient) -> None:
    timer = await make(client, body={"a": 1})
    as_bytes = await patch(client, timer, body_base64="aGVsbG8=")
    assert (as_bytes["body"], as_bytes["body_base64"]) == (None, "aGVsbG8=")
    as_json = await patch(client, timer, body="text", body_base64=None)
    assert as_json["body"] == "text"
    assert "body_base64" not in as_json
    assert (await patch(client, timer, body_base64=None))["body"] is None


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        ({}, "", "nothing is given"),
        ({"url": None}, "url", "it must be a string"),
        ({"url": "ftp://x"}, "url", "it must begin with http"),
        ({"route": "r"}, "route", "there is no such field"),
        ({"name": "n"}, "name", "there is no such field"),
        ({"collection": "c"}, "collection", "there is no such field"),
        ({"delay": None}, "delay", "it must be a number of seconds"),
        ({"hours": 1, "delay": 1}, "hours", "exactly one of"),
        ({"timezone": "Europe/Berlin"}, "timezone", "it goes with due_at only"),
        ({"due_at": "2030-01-01T00:00:00"}, "due_at", "it has no offset"),
        ({"due_at": "2200-01-01T00:00:00Z"}, "due_at", "more than 100 years"),
        ({"priority": -1}, "priority", "greater than or equal to 0"),
        ({"labels": {"a b": "c"}}, "labels.a b", "a label's key is a name"),
        ({"headers": {"Host": "x"}}, "headers.Host", "this header belongs to the service"),
        ({"retry": {"initial_seconds": 9, "max_seconds": 1}}, "retry.initial_seconds", "it is more than"),
        ({"body": 1, "body_base64": "aGVsbG8="}, "body", "it cannot stand beside"),
        ({"body_base64": "?"}, "body_base64", "it is no base64"),
        ({"on_unknown": "retry"}, "on_unknown", "'resend', 'hold' or 'fail'"),
    ],
)
async def test_what_is_wrong_is_told_by_field(
    client: httpx.AsyncClient, document: dict[str, Any], field: str, message: str
) -> None:
    timer = await make(client)
    answer = await client.patch(f"/timers/{timer['id']}", json=document)
    assert answer.status_code == 422, answer.text
    assert message in {error["field"]: error["message"] for error in answer.json()["errors"]}[field]
    assert (await client.get(f"/timers/{timer['id']}")).json() == {**timer, "time_left": ANY}


async def test_a_route_keeps_its_url(client: httpx.AsyncClient) -> None:
    await client.put("/routes/change-me", json={"url": "https://example.com/route"})
    answer = await client.post("/timers", json={"route": "change-me", "delay": 3600})
    timer = answer.json()
    refused = await client.patch(f"/timers/{timer['id']}", json={"url": URL})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "url")
    changed = await patch(client, timer, method="PUT", timeout_seconds=3)
    assert (changed["method"], changed["timeout_seconds"]) == ("PUT", 3.0)
    assert await patch(client, timer, method=None, timeout_seconds=None) == {**timer, "time_left": ANY}


async def test_null_is_as_a_new_timer_of_its_collection(client: httpx.AsyncClient) -> None:
    await client.put("/collections/change-me", json={"defaults": {"priority": 7, "on_unknown": "fail"}})
    timer = await make(client, collection="change-me", priority=1, on_unknown="resend")
    changed = await patch(client, timer, priority=None, on_unknown=None)
    assert (changed["priority"], changed["on_unknown"]) == (7, "fail")


@pytest.mark.parametrize("example", CHANGES)
async def test_the_examples_are_real(client: httpx.AsyncClient, example: str) -> None:
    timer = await make(client)
    await patch(client, timer, **CHANGES[example]["value"])


async def test_fire_makes_it_due_now(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    answer = await client.post(f"/timers/{timer['id']}/fire")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["status"], shown["time_left"]) == ("scheduled", 0)
    assert shown["due_at"] == shown["next_attempt_at"] < timer["due_at"]


async def _end(url: str, timer: dict[str, Any], state: str = "failed", outcome: str = "rejected") -> None:
    """As a controller would."""
    timer_id = UUID(timer["id"]).hex
    with connection_to(url) as connection, connection.cursor() as cursor:
        assert cursor.execute(f"DELETE FROM due_queue WHERE SUBSTR(due_key, 9) = x'{timer_id}'") == 1
        cursor.execute(
            "INSERT INTO attempts (timer_id, attempt, finished_at_us, controller_id, batch, started_at_us,"
            f" outcome, state, reason, answer) SELECT id, attempts_made + 1, {NOW_US}, 1, 1, {NOW_US},"
            f" '{outcome}', '{state}', '', '' FROM timers WHERE id = x'{timer_id}'"
        )
        if state != "delivered":
            cursor.execute(f"INSERT INTO endings VALUES ('{state}', x'{timer_id}', {NOW_US})")


@pytest.mark.parametrize(
    ("state", "outcome"), [("failed", "rejected"), ("unknown", "unknown"), ("delivered", "delivered")]
)
async def test_replay_schedules_it_again(
    client: httpx.AsyncClient, database_url: str, state: str, outcome: str
) -> None:
    timer = await make(client)
    await _end(database_url, timer, state, outcome)
    assert (await client.get(f"/timers/{timer['id']}")).json()["status"] == state
    answer = await client.post(f"/timers/{timer['id']}/replay")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["status"], shown["attempts"], shown["time_left"], shown["ended_at"]) == ("scheduled", 1, 0, None)
    assert len((await client.get(f"/timers/{timer['id']}/attempts")).json()["attempts"]) == 1
    again = await client.post(f"/timers/{timer['id']}/replay")
    assert (again.status_code, again.json()["timer_status"]) == (409, "scheduled")


async def test_a_name_in_use_is_in_the_way_of_a_replay(client: httpx.AsyncClient, database_url: str) -> None:
    first = await make(client, name="replay me")
    await _end(database_url, first)
    second = await make(client, name="replay me")
    answer = await client.post(f"/timers/{first['id']}/replay")
    assert (answer.status_code, answer.json()["holder"]) == (409, second["id"])
    assert answer.json()["errors"][0]["field"] == "name"


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("PATCH", "", "not-changeable"), ("POST", "/fire", "not-changeable"), ("POST", "/replay", "not-replayable")],
)
async def test_the_wrong_state_is_409_and_names_it(
    client: httpx.AsyncClient, method: str, path: str, kind: str
) -> None:
    timer = await make(client)
    await client.delete(f"/timers/{timer['id']}")
    body = {"json": {"meta": 1}} if method == "PATCH" else {}
    answer = await client.request(method, f"/timers/{timer['id']}{path}", **body)  # type: ignore[arg-type]
    assert answer.status_code == 409
    assert answer.json()["type"] == f"urn:timer-system:problem:{kind}"
    assert answer.json()["timer_status"] == "cancelled"
    missing = await client.request(method, f"/timers/{NOBODY}{path}", **body)  # type: ignore[arg-type]
    assert missing.status_code == 404
    malformed = await client.request(method, f"/timers/x{path}", **body)  # type: ignore[arg-type]
    assert malformed.json()["errors"][0]["field"] == "timer_id"


async def test_changes_at_once_all_happen(client: httpx.AsyncClient) -> None:
    timer = await make(client)
    fields: list[dict[str, Any]] = [{"priority": 3}, {"meta": 1}, {"labels": {"a": "b"}}, {"timeout_seconds": 2}]
    answers = await asyncio.gather(*(client.patch(f"/timers/{timer['id']}", json=field) for field in fields))
    assert {answer.status_code for answer in answers} == {200}
    shown = (await client.get(f"/timers/{timer['id']}")).json()
    assert (shown["priority"], shown["meta"], shown["labels"], shown["timeout_seconds"]) == (3, 1, {"a": "b"}, 2.0)

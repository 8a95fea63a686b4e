"""Routes as their users know them."""

from __future__ import annotations

import base64
import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from tests.db import scratch
from timer_api.errors import Kind
from timer_api.routes.schemas import HIDDEN, RouteShown

pytestmark = pytest.mark.asyncio(loop_scope="package")

SHOWN = TypeAdapter(RouteShown)
URL = "https://example.com/hook"
NONE = {"scheduled": 0, "firing": 0, "delivered": 0, "failed": 0, "unknown": 0, "cancelled": 0}
RETRY = {"max_attempts": 5, "initial_seconds": 5.0, "factor": 3.0, "max_seconds": 3600.0, "jitter": 0.1}
PLAIN = {
    "url": URL,
    "append_id": True,
    "method": "POST",
    "headers": {},
    "timeout_seconds": 10.0,
    "retry": RETRY,
    "calls_max": None,
    "rate_per_second": None,
    "burst": None,
    "disable_after_seconds": None,
    "paused": False,
    "disabled_at": None,
    "disabled_because": None,
    "has_secret": False,
    "counts": NONE,
}


def new_name() -> str:
    return f"r-{uuid.uuid4().hex}"


async def put(client: httpx.AsyncClient, name: str, status: int = 201, **settings: Any) -> dict[str, Any]:
    answer = await client.put(f"/routes/{name}", json={"url": URL, **settings})
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    SHOWN.validate_python(shown, strict=False)
    return shown


async def make(client: httpx.AsyncClient, status: int = 201, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/timers", json={"hours": 1, **fields})
    assert answer.status_code == status, answer.text
    made: dict[str, Any] = answer.json()
    return made


def fields_of(problem: dict[str, Any]) -> list[str]:
    return [error["field"] for error in problem["errors"]]


async def test_what_stands_for_a_hidden_value_is_none(client: httpx.AsyncClient) -> None:
    """Who may not see a header's value is shown asterisks, and another may give them back."""
    name = new_name()
    await put(client, name, headers={"X-Token": "secret"})
    refused = await client.put(f"/routes/{name}", json={"url": URL, "headers": {"X-Shop": "a", "X-Token": HIDDEN}})
    assert (refused.status_code, fields_of(refused.json())) == (422, ["headers.X-Token"])
    assert (await client.get(f"/routes/{name}")).json()["headers"] == {"X-Token": "secret"}


async def test_all_settings_are_chosen_anew_each_time(client: httpx.AsyncClient) -> None:
    name = new_name()
    asked = {
        "url": "HTTPS://example.com/other?a=b",
        "append_id": False,
        "method": "PUT",
        "headers": {"X-Shop": "berlin"},
        "timeout_seconds": 2.5,
        "retry": {"max_attempts": 8},
        "calls_max": 20,
        "rate_per_second": 0.5,
        "burst": 3,
        "disable_after_seconds": 60,
    }
    made = await put(client, name, **asked)
    rest = {"url": "https://example.com/other?a=b", "retry": {**RETRY, "max_attempts": 8}}
    wanted = {"name": name, **PLAIN, **asked, **rest, "created_at": made["created_at"]}
    assert made == wanted
    assert (await client.get(f"/routes/{name}")).json() == wanted
    assert await put(client, name, 200) == {"name": name, **PLAIN, "created_at": made["created_at"]}


async def test_a_timer_leaves_to_its_route_what_it_does_not_say(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name, method="PUT", timeout_seconds=3)
    plain = await make(client, route=name)
    assert {field: plain[field] for field in ("route", "url", "method", "timeout_seconds", "retry")} == {
        "route": name, "url": None, "method": None, "timeout_seconds": None, "retry": None,
    }  # fmt: skip
    own = await make(client, route=name, method="DELETE", timeout_seconds=4, retry={"max_attempts": 1})
    assert (own["method"], own["timeout_seconds"], own["retry"]["max_attempts"]) == ("DELETE", 4, 1)
    slow = new_name()
    route_retry = {**RETRY, "initial_seconds": 7.0, "jitter": 0.0}
    assert (await put(client, slow, retry=route_retry))["retry"] == route_retry
    partly = await make(client, route=slow, retry={"max_attempts": 2})
    assert partly["retry"] == {**route_retry, "max_attempts": 2}, "the rest is the route's"
    assert (await client.get(f"/timers/{own['id']}")).json()["url"] is None
    both = await make(client, 422, route=name, url=URL)
    assert fields_of(both) == ["url", "route"]
    assert fields_of(await make(client, 422, route=new_name())) == ["route"]
    counts = (await client.get(f"/routes/{name}")).json()["counts"]
    assert counts == {**NONE, "scheduled": 2}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"url": "example.com"}, "url"),
        ({"url": None}, "url"),
        ({"method": "TRACE"}, "method"),
        ({"headers": {"Host": "a"}}, "headers.Host"),
        ({"headers": {"webhook-id": "a"}}, "headers.webhook-id"),
        ({"headers": {"X": "a\n"}}, "headers.X"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"retry": {"initial_seconds": 2, "max_seconds": 1}}, "retry.initial_seconds"),
        ({"calls_max": 0}, "calls_max"),
        ({"calls_max": "many"}, "calls_max"),
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"rate_per_second": 1, "burst": 0}, "burst"),
        ({"burst": 1}, "burst"),
        ({"disable_after_seconds": 0}, "disable_after_seconds"),
        ({"secret": "whsec_"}, "secret"),
    ],
)
async def test_what_is_wrong_is_named(client: httpx.AsyncClient, asked: dict[str, Any], field: str) -> None:
    name = new_name()
    answer = await client.put(f"/routes/{name}", json={"url": URL, **asked})
    assert answer.status_code == 422, answer.text
    assert fields_of(answer.json()) == [field]
    assert (await client.get(f"/routes/{name}")).status_code == 404


async def test_a_url_is_needed(client: httpx.AsyncClient) -> None:
    assert fields_of((await client.put(f"/routes/{new_name()}", json={})).json()) == ["url"]


async def test_one_that_is_not_there_is_answered_404(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/secret"),
        ("DELETE", "/secret"),
    ):  # fmt: skip
        sent = {"json": {}} if path == "/secret" and method == "POST" else {}
        answer = await client.request(method, f"/routes/{new_name()}{path}", **sent)
        assert answer.json()["type"] == Kind.route_not_found.type, (method, path)


async def test_pages_come_by_name(client: httpx.AsyncClient) -> None:
    made = sorted([new_name() for _ in range(3)])
    for name in made:
        await put(client, name)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/routes", params={"limit": 1, **cursor})).json()
        found += [shown["name"] for shown in page["routes"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == sorted(found)
    assert set(made) <= set(found)


async def test_a_pause_and_its_end(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    for path, is_paused in (("pause", True), ("resume", False)):
        answer = await client.post(f"/routes/{name}/{path}")
        assert (answer.status_code, answer.json()["paused"]) == (200, is_paused)
        assert (await put(client, name, 200))["paused"] == is_paused
    kinds = {"route.paused", "route.resumed"}
    for kind in kinds:
        events = (await client.get("/events", params={"kind": kind, "limit": 1})).json()
        assert [event["subject"] for event in events["events"]] == [f"routes/{name}"]
    assert (await client.get("/events", params={"kind": "nothing"})).status_code == 422


async def test_events_come_in_pages_newest_first(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    for path in ("pause", "resume", "pause", "resume"):
        await client.post(f"/routes/{name}/{path}")
    found: list[dict[str, Any]] = []
    cursor: dict[str, int] = {}
    while len(found) < 4:
        page = (await client.get("/events", params={"limit": 1, **cursor})).json()
        found += page["events"]
        cursor = {"cursor": page["next_cursor"]}
    assert [event["kind"] for event in found] == ["route.resumed", "route.paused"] * 2
    assert {event["subject"] for event in found} == {f"routes/{name}"}


async def test_one_for_which_timers_wait_is_not_deleted(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    timer = await make(client, route=name)
    refused = await client.delete(f"/routes/{name}")
    assert refused.json()["type"] == Kind.route_in_use.type
    await client.delete(f"/timers/{timer['id']}")
    assert (await client.delete(f"/routes/{name}")).status_code == 204
    assert (await client.get(f"/routes/{name}")).status_code == 404
    shown = (await client.get(f"/timers/{timer['id']}")).json()["route"]
    assert shown.startswith(f"{name} (deleted ")
    assert fields_of(await make(client, 422, route=shown)) == ["route"]
    await put(client, name)
    assert (await make(client, route=name))["route"] == name


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_secret_is_shown_once_and_those_before_it_end(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    first = await client.post(f"/routes/{name}/secret", json={})
    assert first.headers["cache-control"] == "no-store"
    assert len(base64.b64decode(first.json()["secret"].removeprefix("whsec_"))) == 32
    assert first.json()["old_valid_until"] is None
    second = (await client.post(f"/routes/{name}/secret", json={"overlap_seconds": 3600})).json()
    wait = moment(second["old_valid_until"]) - datetime.now(moment(second["old_valid_until"]).tzinfo)
    assert timedelta(minutes=58) < wait < timedelta(minutes=62)
    assert second["secret"] != first.json()["secret"]
    third = (await client.post(f"/routes/{name}/secret", json={"overlap_seconds": 0})).json()
    assert third["old_valid_until"] is None
    shown = await client.get(f"/routes/{name}")
    assert shown.json()["has_secret"] is True
    for secret in (first.json()["secret"], second["secret"], third["secret"]):
        assert secret not in shown.text
    assert (await put(client, name, 200))["has_secret"] is True, "a change takes no secret away"
    for _ in range(2):
        assert (await client.delete(f"/routes/{name}/secret")).status_code == 204
    assert (await client.get(f"/routes/{name}")).json()["has_secret"] is False
    wrong = await client.post(f"/routes/{name}/secret", json={"overlap_seconds": -1})
    assert fields_of(wrong.json()) == ["overlap_seconds"]


async def test_controllers_are_those_that_have_joined(client: httpx.AsyncClient, database_url: str) -> None:
    # Whoever had this server before may have killed some.
    scratch.run(database_url, "DELETE FROM controllers")
    assert (await client.get("/controllers")).json() == {"controllers": [], "shards_away": []}

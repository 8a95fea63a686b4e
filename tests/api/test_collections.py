"""Collections as their users know them: made, changed, listed, counted, paused and deleted."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from timer_api.app import FrontDoor
from timer_api.collections.schemas import CollectionShown
from timer_api.errors import Kind

pytestmark = pytest.mark.asyncio(loop_scope="package")

SHOWN = TypeAdapter(CollectionShown)
URL = "https://example.com/hook"
NONE = {"scheduled": 0, "firing": 0, "delivered": 0, "failed": 0, "unknown": 0, "cancelled": 0}
PLAIN = {
    "paused": False,
    "defaults": {"retry": None, "timeout_seconds": None, "priority": None, "on_unknown": None},
    "retention_days": None,
    "waiting_max": None,
    "egress_allow": None,
    "counts": NONE,
}


def new_name() -> str:
    return f"c-{uuid.uuid4().hex}"


async def put(client: httpx.AsyncClient, name: str, status: int = 201, **settings: Any) -> dict[str, Any]:
    answer = await client.put(f"/collections/{name}", json=settings)
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    SHOWN.validate_python(shown, strict=False)
    return shown


async def make(client: httpx.AsyncClient, status: int = 201, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/timers", json={"hours": 1, "url": URL, **fields})
    assert answer.status_code == status, answer.text
    made: dict[str, Any] = answer.json()
    return made


def fields_of(problem: dict[str, Any]) -> list[str]:
    return [error["field"] for error in problem["errors"]]


async def test_one_that_says_nothing_is_as_without_it(client: httpx.AsyncClient) -> None:
    name = new_name()
    made = await put(client, name)
    assert made == {"name": name, **PLAIN, "created_at": made["created_at"]}
    assert (await client.get(f"/collections/{name}")).json() == made
    timer = await make(client, collection=name)
    assert timer["collection"] == name
    assert (timer["priority"], timer["timeout_seconds"], timer["on_unknown"]) == (0, 10, "resend")


async def test_all_settings_are_chosen_anew_each_time(client: httpx.AsyncClient) -> None:
    name = new_name()
    asked = {
        "defaults": {"retry": {"max_attempts": 8, "factor": 2}, "timeout_seconds": 2.5, "priority": 7},
        "retention_days": 0,
        "waiting_max": 10,
        "egress_allow": ["10.0.0.0/8", "2001:DB8::/32", "10.0.0.0/8"],
    }
    made = await put(client, name, **asked)
    retry = {"max_attempts": 8, "initial_seconds": 5.0, "factor": 2.0, "max_seconds": 3600.0, "jitter": 0.1}
    assert made["defaults"] == {"retry": retry, "timeout_seconds": 2.5, "priority": 7, "on_unknown": None}
    assert (made["retention_days"], made["waiting_max"]) == (0, 10)
    assert made["egress_allow"] == ["10.0.0.0/8", "2001:db8::/32"]
    nulls = {"retention_days": None, "waiting_max": None, "egress_allow": None, "defaults": {"priority": None}}
    again = await put(client, name, 200, **nulls)
    assert again == {"name": name, **PLAIN, "created_at": made["created_at"]}


async def test_defaults_are_for_what_a_create_leaves_out(client: httpx.AsyncClient) -> None:
    name = new_name()
    retry = {"max_attempts": 2, "initial_seconds": 1.0, "factor": 1.0, "max_seconds": 9.0, "jitter": 0.0}
    defaults = {"retry": retry, "timeout_seconds": 3, "priority": 9, "on_unknown": "hold"}
    await put(client, name, defaults=defaults)
    before = await make(client, collection=name)
    assert {field: before[field] for field in defaults} == defaults
    own = {"timeout_seconds": 7.0, "priority": 0, "on_unknown": "fail"}
    asked = await make(client, collection=name, retry={"max_attempts": 4}, **own)
    assert {field: asked[field] for field in own} == own
    assert asked["retry"] == {**retry, "max_attempts": 4}
    [batched] = (
        await client.post("/timers/batch", json={"timers": [{"hours": 1, "url": URL, "collection": name}]})
    ).json()["results"]
    assert {field: batched[field] for field in defaults} == defaults
    await put(client, name, 200)
    assert (await client.get(f"/timers/{before['id']}")).json()["priority"] == 9, "for timers made later"
    assert (await make(client, collection=name))["priority"] == 0


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"retention_days": -1}, "retention_days"),
        ({"retention_days": 36_501}, "retention_days"),
        ({"waiting_max": 0}, "waiting_max"),
        ({"waiting_max": 1.5}, "waiting_max"),
        ({"egress_allow": []}, "egress_allow"),
        ({"egress_allow": "10.0.0.0/8"}, "egress_allow"),
        ({"egress_allow": ["10.0.0.0/8", "10.0.0.0/99"]}, "egress_allow.1"),
        ({"egress_allow": ["10.0.0.1/8"]}, "egress_allow.0"),
        ({"egress_allow": ["::ffff:10.0.0.0/104"]}, "egress_allow.0"),
        ({"egress_allow": ["example.com"]}, "egress_allow.0"),
        ({"defaults": {"priority": -1}}, "defaults.priority"),
        ({"defaults": {"timeout_seconds": 0}}, "defaults.timeout_seconds"),
        ({"defaults": {"on_unknown": "maybe"}}, "defaults.on_unknown"),
        ({"defaults": {"retry": {"max_attempts": 0}}}, "defaults.retry.max_attempts"),
        ({"defaults": {"retry": {"initial_seconds": 9, "max_seconds": 1}}}, "defaults.retry.initial_seconds"),
        ({"defaults": {"url": URL}}, "defaults.url"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_is_named(client: httpx.AsyncClient, asked: dict[str, Any], field: str) -> None:
    name = new_name()
    answer = await client.put(f"/collections/{name}", json=asked)
    assert answer.status_code == 422, answer.text
    assert fields_of(answer.json()) == [field]
    assert (await client.get(f"/collections/{name}")).status_code == 404


@pytest.mark.parametrize("name", ["-a", ".a", "a b", "a" * 101, "ä", "a%00b", "a%2Fb"])
async def test_a_name_that_can_be_none_is_answered_422_or_leads_nowhere(
    client: httpx.AsyncClient, name: str
) -> None:
    for method, path in (("PUT", ""), ("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        sent = {"json": {}} if method == "PUT" else {}
        answer = await client.request(method, f"/collections/{name}{path}", **sent)
        assert answer.status_code in (404, 405, 422), (method, answer.text)
        if answer.status_code == 422:
            assert fields_of(answer.json()) == ["collection"]


async def test_one_that_is_not_there_is_answered_404(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        answer = await client.request(method, f"/collections/{new_name()}{path}")
        assert answer.json()["type"] == Kind.collection_not_found.type
    refused = await make(client, 422, collection=new_name())
    assert fields_of(refused) == ["collection"]


async def test_pages_come_by_name(client: httpx.AsyncClient) -> None:
    made = sorted([new_name() for _ in range(5)])
    for name in made:
        await put(client, name)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/collections", params={"limit": 2, **cursor})).json()
        found += [shown["name"] for shown in page["collections"]]
        if page["next_cursor"] is None:
            break
        assert len(page["collections"]) == 2
        cursor = {"cursor": page["next_cursor"]}
    assert found == sorted(found)
    assert {"default", *made} <= set(found)
    for wrong in ({"cursor": "-"}, {"limit": 0}, {"limit": 1001}, {"colour": "red"}):
        assert (await client.get("/collections", params=wrong)).status_code == 422


async def test_a_pause_and_its_end_are_shown_and_noted(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    for path, is_paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        answer = await client.post(f"/collections/{name}/{path}")
        assert (answer.status_code, answer.json()["paused"]) == (200, is_paused)
        assert (await put(client, name, 200))["paused"] == is_paused, "a change is no resume"
    events = [
        event
        for event in (await client.get("/events")).json()["events"]
        if event["subject"] == f"collections/{name}"
    ]
    assert [event["kind"] for event in events] == ["collection.resumed", "collection.paused"]
    assert events[0]["id"] > events[1]["id"]


async def test_one_with_timers_is_not_deleted_and_a_name_can_be_taken_again(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    timer = await make(client, collection=name)
    refused = await client.delete(f"/collections/{name}")
    assert refused.json()["type"] == Kind.collection_in_use.type
    assert "1 timers" in refused.json()["detail"]
    await client.delete(f"/timers/{timer['id']}")
    assert (await client.delete(f"/collections/{name}")).status_code == 409, "it is shown as long as it is kept"
    other = new_name()
    first = await put(client, other, retention_days=3)
    assert (await client.delete(f"/collections/{other}")).status_code == 204
    assert (await client.get(f"/collections/{other}")).status_code == 404
    assert fields_of(await make(client, 422, collection=other)) == ["collection"]
    assert fields_of(await make(client, 422, collection=f"{other} (deleted 1)")) == ["collection"]
    again = await put(client, other)
    assert (again["retention_days"], again["created_at"] > first["created_at"]) == (None, True)
    assert (await make(client, collection=other))["collection"] == other


async def test_the_default_one_can_be_changed_but_not_deleted(client: httpx.AsyncClient) -> None:
    refused = await client.delete("/collections/default")
    assert refused.json()["type"] == Kind.collection_in_use.type
    await put(client, "default", 200, defaults={"priority": 3})
    assert (await make(client))["priority"] == 3
    await put(client, "default", 200)
    assert (await make(client))["priority"] == 0


async def test_counts_follow_its_timers(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name)
    first, second, _ = [await make(client, collection=name) for _ in range(3)]
    for timer in (first, second):
        await client.delete(f"/timers/{timer['id']}")
    wanted = {**NONE, "scheduled": 1, "cancelled": 2}
    assert (await client.get(f"/collections/{name}")).json()["counts"] == wanted
    page = (await client.get("/collections", params={"limit": 1000})).json()["collections"]
    assert [shown["counts"] for shown in page if shown["name"] == name] == [wanted]


async def test_no_more_wait_than_may(client: httpx.AsyncClient) -> None:
    name = new_name()
    await put(client, name, waiting_max=5)
    answers = await asyncio.gather(
        *(client.post("/timers", json={"hours": 1, "url": URL, "collection": name}) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 15
    full = next(answer for answer in answers if answer.status_code == 429)
    assert full.json()["type"] == Kind.collection_full.type
    assert fields_of(full.json()) == ["collection"]
    assert full.headers["retry-after"]
    assert (await make(client))["status"] == "scheduled", "others are not concerned"


async def test_a_batch_is_made_as_far_as_there_is_room(client: httpx.AsyncClient, served: Any) -> None:
    app: FrontDoor = served[0]
    name = new_name()
    await put(client, name, waiting_max=3)
    timers = [{"hours": 1, "url": URL, "collection": name if n % 2 else "default"} for n in range(10)]
    results = (await client.post("/timers/batch", json={"timers": timers})).json()["results"]
    made = [result.get("status", result.get("error", {}).get("status")) for result in results]
    assert made == ["scheduled"] * 7 + [429, "scheduled", 429]
    # The count is read again after a second: until then what was cancelled still counts.
    await client.delete(f"/timers/{results[1]['id']}")
    app.service._limits._read_at.clear()
    assert (await make(client, collection=name))["collection"] == name
    assert fields_of(await make(client, 429, collection=name)) == ["collection"]


async def test_a_part_of_a_policy_is_completed_by_the_collection(client: httpx.AsyncClient) -> None:
    """And judged as a whole: what the collection has counts, in both directions."""
    url = "https://example.com/"
    await client.put("/collections/patient", json={"defaults": {"retry": {"max_seconds": 86_400}}})
    asked = {"delay": 60, "url": url, "collection": "patient", "retry": {"initial_seconds": 7_200}}
    made = await client.post("/timers", json=asked)
    assert made.status_code == 201, made.text
    assert (made.json()["retry"]["initial_seconds"], made.json()["retry"]["max_seconds"]) == (7_200, 86_400)
    await client.put("/collections/patient", json={"defaults": {"retry": {"initial_seconds": 600}}})
    refused = await client.post("/timers", json={**asked, "retry": {"max_seconds": 60}})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["retry.initial_seconds"]

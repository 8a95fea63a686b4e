"""`POST /timers/cancel`, `/timers/reschedule` and `/timers/replay`: by ids and by filters."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import TypeAdapter

from tests.api.conftest import ready
from tests.api.keyed import BOOTSTRAP, bearing, make_key
from timer_api.settings import ApiSettings
from timer_api.timers.bulk import BulkShown
from timer_api.timers.examples import BULKS, RESCHEDULES

pytestmark = pytest.mark.asyncio(loop_scope="package")

_CENTURY_SECONDS = 3_155_760_000
NOBODY = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"


class Some:
    """Timers that only one test knows."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.selector = f"batch={secrets.token_hex(6)}"

    async def make(self, count: int = 1, **fields: Any) -> list[str]:
        """Gives their ids."""
        key, _, value = self.selector.partition("=")
        one = {"url": "https://example.com/hook", "delay": 3600, "labels": {key: value}, **fields}
        answer = await self._client.post("/timers/batch", json={"timers": [one] * count})
        assert answer.status_code == 201, answer.text
        return [timer["id"] for timer in answer.json()["results"]]

    async def states(self) -> dict[str, str]:
        """By id."""
        answer = await self._client.get("/timers", params={"selector": self.selector, "limit": 1000})
        return {timer["id"]: timer["status"] for timer in answer.json()["timers"]}

    async def do(self, verb: str, **asked: Any) -> dict[str, Any]:
        """The answer to one call."""
        answer = await self._client.post(f"/timers/{verb}", json=asked)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        TypeAdapter(BulkShown).validate_python(shown, strict=False)
        return shown


@pytest.fixture
def some(client: httpx.AsyncClient) -> Some:
    return Some(client)


async def test_cancel_by_ids(some: Some) -> None:
    ids = await some.make(5)
    done = await some.do("cancel", ids=[*ids[:3], NOBODY, ids[0]])
    assert done == {
        "matched": 3,
        "changed": 3,
        "refused": [{"id": NOBODY, "status": None, "reason": f"no timer has the id {NOBODY}"}],
        "refused_count": 1,
        "next_cursor": None,
    }
    assert await some.states() == {**dict.fromkeys(ids[:3], "cancelled"), **dict.fromkeys(ids[3:], "scheduled")}
    again = await some.do("cancel", ids=ids)
    assert (again["matched"], again["changed"], again["refused_count"]) == (5, 2, 3)
    assert {refused["status"] for refused in again["refused"]} == {"cancelled"}


async def test_cancel_by_filter_goes_on_by_its_cursor(some: Some) -> None:
    ids = await some.make(7)
    calls = []
    cursor: dict[str, str] = {}
    while not calls or calls[-1]["next_cursor"]:
        calls.append(await some.do("cancel", selector=some.selector, limit=3, **cursor))
        cursor = {"cursor": calls[-1]["next_cursor"]}
    assert sum(call["changed"] for call in calls) == sum(call["matched"] for call in calls) == 7
    assert max(call["matched"] for call in calls) == 3
    assert await some.states() == dict.fromkeys(ids, "cancelled")
    # Without a status, only what is alive is meant.
    assert (await some.do("cancel", selector=some.selector))["matched"] == 0
    assert (await some.do("cancel", selector=some.selector, status="cancelled"))["refused_count"] == 7


async def test_more_than_a_hundred_refusals_are_counted_but_not_listed(some: Some) -> None:
    ids = await some.make(130)
    assert (await some.do("cancel", ids=ids))["changed"] == 130
    again = await some.do("cancel", ids=ids)
    assert (again["changed"], again["refused_count"], len(again["refused"])) == (0, 130, 100)


@pytest.mark.parametrize(
    ("when", "due_at"),
    [
        ({"due_at": "2031-01-01T00:00:00Z"}, "2031-01-01T00:00:00.000000Z"),
        ({"shift": "+1h"}, "2030-01-01T01:00:00.000000Z"),
        ({"shift": "-30m"}, "2029-12-31T23:30:00.000000Z"),
        ({"shift": -60}, "2029-12-31T23:59:00.000000Z"),
        ({"shift": "PT1.5S"}, "2030-01-01T00:00:01.500000Z"),
        ({"shift": 0}, "2030-01-01T00:00:00.000000Z"),
    ],
)
async def test_reschedule(client: httpx.AsyncClient, some: Some, when: dict[str, Any], due_at: str) -> None:
    await some.make(3, delay=0)
    moved = await some.do("reschedule", selector=some.selector, due_at="2030-01-01T00:00:00Z")
    assert (moved["matched"], moved["changed"], moved["next_cursor"]) == (3, 3, None)
    assert (await some.do("reschedule", selector=some.selector, **when))["changed"] == 3
    timers = (await client.get("/timers", params={"selector": some.selector})).json()["timers"]
    assert {(timer["due_at"], timer["next_attempt_at"]) for timer in timers} == {(due_at, due_at)}


@pytest.mark.parametrize("status", ["cancelled", "failed"])
async def test_what_has_ended_is_refused_by_timer(some: Some, status: str) -> None:
    """By ids, by label and by status alone, which drives the search then."""
    ids = await some.make(3)
    assert (await some.do("cancel", ids=ids))["changed"] == 3
    refused = {
        each["id"]
        for each in (await some.do("reschedule", selector=some.selector, status=status, shift=1))["refused"]
    }
    by_status = await some.do("reschedule", status=status, shift=1)
    assert by_status["changed"] == 0
    assert by_status["matched"] == by_status["refused_count"]
    assert refused == (set(ids) if status == "cancelled" else set())
    if status == "cancelled":
        assert by_status["matched"] >= 3
        newest = await some.do("reschedule", status=status, shift=1, limit=3)
        assert {each["id"] for each in newest["refused"]} == set(ids)
        assert "only a scheduled timer can be changed" in newest["refused"][0]["reason"]
        assert newest["matched"] == 3


async def test_too_far_ahead_is_refused_by_timer(some: Some) -> None:
    [timer_id] = await some.make(1)
    far = await some.do("reschedule", ids=[timer_id], shift=_CENTURY_SECONDS)
    assert far["refused"] == [
        {
            "id": timer_id,
            "status": "scheduled",
            "reason": f"timer {timer_id} would be due more than 100 years ahead",
        }
    ]


async def test_replay_refuses_what_has_not_ended(some: Some) -> None:
    ids = await some.make(2)
    done = await some.do("replay", ids=ids)
    assert (done["matched"], done["changed"]) == (2, 0)
    assert {refused["status"] for refused in done["refused"]} == {"scheduled"}
    assert (await some.do("replay", selector=some.selector))["matched"] == 0


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "ids", "give ids, or at least one filter"),
    ({"selector": " "}, "ids", "give ids, or at least one filter"),
    ({"limit": 5}, "ids", "give ids, or at least one filter"),
    ({"ids": []}, "ids", "at least 1 item"),
    ({"ids": [NOBODY] * 10_001}, "ids", "at most 10000 items"),
    ({"ids": ["x"]}, "ids.0", "it is no id"),
    ({"ids": NOBODY}, "ids", "should be a valid list"),
    ({"ids": [NOBODY], "status": "failed"}, "status", "it cannot stand beside ids"),
    ({"ids": [NOBODY], "cursor": "x"}, "cursor", "it cannot stand beside ids"),
    ({"selector": "=x"}, "selector", "at position 1"),
    ({"status": "waiting"}, "status", "should be 'scheduled'"),
    ({"collection": "nobody"}, "collection", "there is none of this name"),
    ({"due_before": "now"}, "due_before", "it must look like"),
    ({"selector": "a", "limit": 10_001}, "limit", "less than or equal to 10000"),
    ({"selector": "a", "limit": "5"}, "limit", "it must be a whole number"),
    ({"selector": "a", "cursor": "AAA"}, "cursor", "it is not a cursor"),
    ({"selector": "a", "name": "n"}, "name", "there is no such field"),
]


@pytest.mark.parametrize("verb", ["cancel", "replay", "reschedule"])
@pytest.mark.parametrize(("document", "field", "message"), BAD)
async def test_what_is_wrong_is_told_by_field(
    client: httpx.AsyncClient, verb: str, document: dict[str, Any], field: str, message: str
) -> None:
    more = {"delay": 1} if verb == "reschedule" else {}
    answer = await client.post(f"/timers/{verb}", json={**document, **more})
    assert answer.status_code == 422, answer.text
    assert message in {error["field"]: error["message"] for error in answer.json()["errors"]}[field]


@pytest.mark.parametrize(
    ("when", "field", "message"),
    [
        ({}, "shift", "nothing says when"),
        ({"shift": 1, "delay": 1}, "delay", "it cannot stand beside shift"),
        ({"shift": "soon"}, "shift", "it is no duration"),
        ({"shift": "+-1h"}, "shift", "it is no duration"),
        ({"shift": True}, "shift", "it must be a number"),
        ({"shift": -3_155_760_001}, "shift", "it must be at most"),
        ({"hours": 1, "delay": 1}, "hours", "exactly one of"),
        ({"timezone": "Europe/Berlin"}, "due_at", "nothing is given"),
    ],
)
async def test_a_wrong_time_is_told_by_field(
    client: httpx.AsyncClient, when: dict[str, Any], field: str, message: str
) -> None:
    answer = await client.post("/timers/reschedule", json={"selector": "a=b", **when})
    assert answer.status_code == 422, answer.text
    assert message in {error["field"]: error["message"] for error in answer.json()["errors"]}[field]


async def test_a_cursor_goes_with_its_filters_only(client: httpx.AsyncClient, some: Some) -> None:
    await some.make(3)
    cursor = (await some.do("cancel", selector=some.selector, limit=1))["next_cursor"]
    answer = await client.post("/timers/cancel", json={"selector": "env=prod", "cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("verb", "document"),
    [
        *[("cancel", example["value"]) for example in BULKS.values()],
        *[("reschedule", example["value"]) for example in RESCHEDULES.values()],
    ],
)
async def test_the_examples_are_real(client: httpx.AsyncClient, verb: str, document: dict[str, Any]) -> None:
    assert (await client.post(f"/timers/{verb}", json=document)).status_code == 200


@pytest_asyncio.fixture(loop_scope="package")
async def keyed(keys_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Calls an API that asks for keys."""
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP)) as (_, client):
        client.headers.update(bearing(BOOTSTRAP))
        yield client


async def test_a_bound_key_reaches_its_own_only(keyed: httpx.AsyncClient) -> None:
    some = Some(keyed)
    mine, others = f"c-{secrets.token_hex(6)}", f"c-{secrets.token_hex(6)}"
    for name in (mine, others):
        assert (await keyed.put(f"/collections/{name}", json={})).status_code == 201
    here, there = await some.make(2, collection=mine), await some.make(2, collection=others)
    keyed.headers.update(bearing(await make_key(keyed, "timers:read", "timers:write", collections=[mine])))
    done = await some.do("cancel", ids=[here[0], there[0]])
    assert (done["matched"], done["changed"]) == (1, 1)
    assert [(refused["id"], refused["status"]) for refused in done["refused"]] == [(there[0], None)]
    assert (await some.do("cancel", selector=some.selector))["changed"] == 1
    refused = await keyed.post("/timers/cancel", json={"collection": others})
    assert refused.json()["errors"][0]["field"] == "collection"
    for path in ("/fire", "/replay"):
        assert (await keyed.post(f"/timers/{there[0]}{path}")).status_code == 404
    assert (await keyed.patch(f"/timers/{there[0]}", json={"meta": 1})).status_code == 404
    keyed.headers.update(bearing(BOOTSTRAP))
    assert await some.states() == {**dict.fromkeys(here, "cancelled"), **dict.fromkeys(there, "scheduled")}


async def test_timers_of_many_priorities_are_all_moved(client: httpx.AsyncClient) -> None:
    """More priorities than one look goes through."""
    name = f"many-{uuid.uuid4().hex[:12]}"
    assert (await client.put(f"/collections/{name}", json={})).status_code == 201
    timers = [
        {"delay": 86_400 * 2, "url": "https://example.com/", "collection": name, "priority": priority}
        for priority in range(60)
    ]
    made = (await client.post("/timers/batch", json={"timers": timers})).json()["results"]
    due = datetime.fromisoformat(made[0]["due_at"])
    asked: dict[str, Any] = {
        "status": "scheduled", "due_after": (due - timedelta(hours=1)).isoformat(),
        "due_before": (due + timedelta(hours=1)).isoformat(), "shift": "10d",
    }  # fmt: skip
    changed = 0
    cursor: dict[str, str] = {}
    while True:
        answer = (await client.post("/timers/reschedule", json={**asked, **cursor})).json()
        changed += answer["changed"]
        if answer["next_cursor"] is None:
            break
        cursor = {"cursor": answer["next_cursor"]}
    ids = {timer["id"] for timer in made}
    assert changed >= 60
    moved = (await client.get("/timers", params={"collection": name, "limit": 100})).json()["timers"]
    assert {timer["id"] for timer in moved} == ids
    assert {datetime.fromisoformat(timer["due_at"]) - due for timer in moved} == {timedelta(days=10)}

"""Keys that are bound: to collections, and to a rate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from timer_api.errors import Kind
from timer_api.settings import ApiSettings

from .conftest import ready
from .keyed import BOOTSTRAP, CREATE, assert_refused, bearing, make_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL_SCOPES = ("timers:read", "timers:write")
UNKNOWN_ID = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Parts(NamedTuple):
    """An application whose rates go by a clock of the test's own."""

    client: httpx.AsyncClient
    clock: Clock

    async def limited(self, rate_per_second: int, burst: int) -> dict[str, str]:
        """Headers with a new key."""
        fields = {"rate_per_second": rate_per_second, "burst": burst}
        return bearing(await make_key(self.client, *ALL_SCOPES, **fields))

    async def bound(self, *collections: str) -> dict[str, str]:
        return bearing(await make_key(self.client, *ALL_SCOPES, collections=list(collections)))

    async def create(self, headers: dict[str, str]) -> httpx.Response:
        return await self.client.post("/timers", json=CREATE, headers=headers)

    async def batch(self, headers: dict[str, str], count: int) -> httpx.Response:
        return await self.client.post("/timers/batch", json={"timers": [CREATE] * count}, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(keys_url: str) -> AsyncIterator[Parts]:
    clock = Clock()
    async with ready(ApiSettings(db_url=keys_url, api_keys=BOOTSTRAP), clock) as (_, client):
        yield Parts(client, clock)


async def test_a_key_for_the_collection_of_all_timers_is_like_any_other(parts: Parts) -> None:
    headers = await parts.bound("orders", "default")
    path = (await parts.create(headers)).headers["location"]
    assert (await parts.batch(headers, 2)).status_code == 201
    assert (await parts.client.get(path, headers=headers)).status_code == 200
    assert (await parts.client.get(f"{path}/attempts", headers=headers)).json() == {"attempts": []}
    assert (await parts.client.get("/timers?limit=3", headers=headers)).json()["timers"]
    assert (await parts.client.delete(path, headers=headers)).status_code == 200


async def test_a_timer_elsewhere_is_answered_like_one_that_is_not_there(parts: Parts) -> None:
    created = await parts.create(bearing(BOOTSTRAP))
    timer_id = created.json()["id"]
    headers = await parts.bound("orders")
    for method, suffix in (("GET", ""), ("GET", "/attempts"), ("DELETE", "")):
        answers = []
        for wanted in (timer_id, UNKNOWN_ID):
            answer = await parts.client.request(method, f"/timers/{wanted}{suffix}", headers=headers)
            assert_refused(answer, Kind.timer_not_found)
            answers.append((answer.text.replace(wanted, "ID"), sorted(answer.headers.items())))
        assert answers[0] == answers[1]
    stored = await parts.client.get(f"/timers/{timer_id}", headers=bearing(BOOTSTRAP))
    assert stored.json()["status"] == "scheduled"


async def test_a_list_shows_nothing_of_other_collections_not_even_a_cursor(parts: Parts) -> None:
    name = "known-to-others"
    named = await parts.client.post("/timers", json={**CREATE, "name": name}, headers=bearing(BOOTSTRAP))
    assert named.status_code == 201
    headers = await parts.bound("orders")
    for query in ("", "?limit=1", "?status=scheduled&limit=1", f"?name={name}"):
        answer = await parts.client.get(f"/timers{query}", headers=headers)
        assert answer.json() == {"timers": [], "next_cursor": None}


async def test_a_create_elsewhere_is_403_and_names_the_field(parts: Parts) -> None:
    headers = await parts.bound("orders")
    problem = assert_refused(await parts.create(headers), Kind.forbidden)
    assert [error["field"] for error in problem["errors"]] == ["collection"]
    # What is wrong with the timer itself is told first: it can be put right with this key.
    wrong = await parts.client.post("/timers", json={**CREATE, "delay": -1}, headers=headers)
    assert_refused(wrong, Kind.invalid_request)


async def test_in_a_batch_each_create_is_refused_by_itself(parts: Parts) -> None:
    headers = await parts.bound("orders")
    answer = await parts.client.post(
        "/timers/batch", json={"timers": [CREATE, {**CREATE, "delay": -1}, CREATE]}, headers=headers
    )
    assert answer.status_code == 207
    errors: list[dict[str, Any]] = [result["error"] for result in answer.json()["results"]]
    assert [(error["status"], error["index"]) for error in errors] == [(403, 0), (422, 1), (403, 2)]
    assert [error["errors"][0]["field"] for error in errors] == ["collection", "delay", "collection"]


async def test_past_its_rate_a_key_is_told_when_to_come_again(parts: Parts) -> None:
    headers, other = await parts.limited(2, 3), await parts.limited(2, 3)
    assert [(await parts.create(headers)).status_code for _ in range(3)] == [201] * 3
    for call in (parts.create(headers), parts.client.get("/timers", headers=headers), parts.batch(headers, 1)):
        answer = await call
        assert_refused(answer, Kind.too_many_requests)
        assert answer.headers["retry-after"] == "1"
    assert (await parts.create(other)).status_code == 201
    assert (await parts.create(bearing(BOOTSTRAP))).status_code == 201
    parts.clock.seconds += 0.5
    assert (await parts.client.get("/timers?limit=1", headers=headers)).status_code == 200
    assert_refused(await parts.create(headers), Kind.too_many_requests)
    parts.clock.seconds += 100
    assert [(await parts.create(headers)).status_code for _ in range(4)] == [201] * 3 + [429]


async def test_a_batch_counts_as_many_calls_as_it_has_timers(parts: Parts) -> None:
    headers = await parts.limited(2, 10)
    assert (await parts.batch(headers, 8)).status_code == 201
    answer = await parts.batch(headers, 8)
    assert_refused(answer, Kind.too_many_requests)
    # Ten less eight less the one that the call itself cost; it needs eight, at two a second.
    assert answer.headers["retry-after"] == "4"
    parts.clock.seconds += 4
    assert (await parts.batch(headers, 8)).status_code == 201


async def test_a_batch_that_is_larger_than_the_burst_waits_for_all_of_it_and_leaves_a_debt(parts: Parts) -> None:
    headers = await parts.limited(10, 20)
    assert (await parts.batch(headers, 50)).status_code == 201
    answer = await parts.create(headers)
    assert_refused(answer, Kind.too_many_requests)
    assert answer.headers["retry-after"] == "4"
    parts.clock.seconds += 3.1
    assert (await parts.create(headers)).status_code == 201
    assert_refused(await parts.batch(headers, 50), Kind.too_many_requests)
    parts.clock.seconds += 2
    assert (await parts.batch(headers, 50)).status_code == 201


async def test_whatever_a_call_comes_to_it_counts(parts: Parts) -> None:
    headers = await parts.limited(1, 3)
    assert (await parts.client.get("/api-keys", headers=headers)).status_code == 403
    assert (await parts.client.get("/nowhere", headers=headers)).status_code == 404
    assert (await parts.client.post("/timers", content=b"{", headers=headers)).status_code == 415
    assert_refused(await parts.client.get("/timers", headers=headers), Kind.too_many_requests)


async def test_other_keys_that_come_and_go_fill_no_bucket(parts: Parts) -> None:
    headers = await parts.limited(1, 1)
    assert (await parts.create(headers)).status_code == 201
    await make_key(parts.client, "timers:read")
    assert_refused(await parts.create(headers), Kind.too_many_requests)

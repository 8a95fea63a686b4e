"""`Idempotency-Key` on the put of a timer by its name: sent again, it does nothing more, whatever came between."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.db.proxy import Proxy, When
from timer_api.errors import Kind
from timer_api.settings import ApiSettings

from .conftest import CountTimers, ready
from .test_named import CREATE, RICH, path_of

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.fixture
def path() -> str:
    return path_of(f"keyed-{uuid.uuid4()}")


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


async def end(client: httpx.AsyncClient, path: str) -> None:
    """As a call does it: the timer waits no more."""
    assert (await client.delete(path)).status_code == 200


@pytest.mark.parametrize("before", [0, 1], ids=["made", "replaced"])
async def test_the_same_again_gets_the_first_answer_when_that_timer_has_ended(
    client: httpx.AsyncClient, count_timers: CountTimers, path: str, key: dict[str, str], before: int
) -> None:
    """Without the key there would be a second timer."""
    if before:
        await client.put(path, json=CREATE)
    first = await client.put(path, json=RICH, headers=key)
    assert first.status_code == (200 if before else 201)
    assert "idempotency-replayed" not in first.headers
    await end(client, path)
    count = await count_timers()
    again = await client.put(path, json=RICH, headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_timers() == count
    assert (await client.get(path)).json()["status"] == "cancelled"


async def test_a_repeat_does_not_undo_what_was_put_since(
    client: httpx.AsyncClient, path: str, key: dict[str, str]
) -> None:
    first = await client.put(path, json=CREATE, headers=key)
    await client.put(path, json=RICH)
    assert (await client.put(path, json=CREATE, headers=key)).content == first.content
    assert (await client.get(path)).json()["priority"] == RICH["priority"]


async def test_a_key_stands_for_one_put(client: httpx.AsyncClient, path: str, key: dict[str, str]) -> None:
    assert (await client.put(path, json=CREATE, headers=key)).status_code == 201
    for other, document in ((path, RICH), (f"{path}%3Fx", CREATE), (f"{path}x", CREATE)):
        refused = await client.put(other, json=document, headers=key)
        assert (refused.status_code, refused.json()["type"]) == (422, Kind.idempotency_key_reused.type)
    refused = await client.put(path, json=CREATE, headers={"Idempotency-Key": "a b"})
    assert [error["field"] for error in refused.json()["errors"]] == ["Idempotency-Key"]


async def test_what_was_wrong_is_mended_under_the_same_key(
    client: httpx.AsyncClient, path: str, key: dict[str, str]
) -> None:
    for wrong in ({"url": "nowhere"}, {"retry": {"initial_seconds": 9, "max_seconds": 1}}):
        assert (await client.put(path, json={**CREATE, **wrong}, headers=key)).status_code == 422
    assert (await client.put(path, json=CREATE, headers=key)).status_code == 201


async def test_the_first_answer_stays_when_its_route_goes(
    client: httpx.AsyncClient, path: str, key: dict[str, str]
) -> None:
    route = f"r-{uuid.uuid4()}"
    document = {"delay": 3600, "route": route}
    assert (await client.put(f"/routes/{route}", json={"url": CREATE["url"]})).status_code == 201
    first = await client.put(path, json=document, headers=key)
    await end(client, path)
    assert (await client.delete(f"/routes/{route}")).status_code == 204
    assert (await client.put(path, json=document, headers=key)).content == first.content
    assert (await client.put(path, json=document)).status_code == 422


async def test_many_at_once_are_one(
    client: httpx.AsyncClient, database_url: str, count_timers: CountTimers, path: str, key: dict[str, str]
) -> None:
    before = await count_timers()
    async with ready(ApiSettings(db_url=database_url)) as (_, other):
        asked = [each.put(path, json=RICH, headers=key) for each in (client, other) * 10]
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.content for answer in answers}) == 1
    assert await count_timers() == before + 1


@pytest_asyncio.fixture(loop_scope="package")
async def fragile(database_url: str) -> AsyncIterator[tuple[Proxy, httpx.AsyncClient]]:
    async with Proxy(database_url) as proxy, ready(ApiSettings(db_url=proxy.url)) as (_, client):
        yield proxy, client


async def lose(fragile: tuple[Proxy, httpx.AsyncClient], when: When, at: bytes, path: str, **request: Any) -> None:
    """A put in which the database goes away."""
    proxy, through = fragile
    proxy.cut(when, at)

    refusing = asyncio.create_task(proxy.go_away_once_cut())
    lost = await through.put(path, **request)
    assert lost.status_code == 503
    await refusing


@pytest.mark.parametrize("before", [0, 1], ids=["made", "replaced"])
@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_a_put_whose_answer_was_not_kept_is_not_done_again(
    fragile: tuple[Proxy, httpx.AsyncClient], client: httpx.AsyncClient, count_timers: CountTimers,
    path: str, key: dict[str, str], before: int, when: When,
) -> None:  # fmt: skip
    """The timer had ended before the repeat."""
    if before:
        await client.put(path, json=CREATE)
    await lose(fragile, when, b"UPDATE idempotency_keys", path, json=RICH, headers=key)
    timer = (await client.get(path)).json()
    assert timer["priority"] == RICH["priority"]
    await end(client, path)
    count = await count_timers()
    again = await client.put(path, json=RICH, headers=key)
    assert (again.status_code, again.json()["id"]) == (200 if before else 201, timer["id"])
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_timers() == count
    assert (await client.put(path, json=RICH, headers=key)).content == again.content


@pytest.mark.parametrize("at", [b"INSERT INTO idempotency_keys", b"INSERT INTO timers"])
async def test_a_put_that_was_not_done_is_done_by_the_repeat(
    fragile: tuple[Proxy, httpx.AsyncClient], client: httpx.AsyncClient, path: str, key: dict[str, str], at: bytes
) -> None:
    """Also where the very same timer had been there, and was cancelled."""
    document = {"due_at": "2040-01-01T00:00:00Z", "url": CREATE["url"]}
    assert (await client.put(path, json=document)).status_code == 201
    await end(client, path)
    await lose(fragile, When.before, at, path, json=document, headers=key)
    made = await client.put(path, json=document, headers=key)
    assert (made.status_code, made.json()["status"]) == (201, "scheduled")

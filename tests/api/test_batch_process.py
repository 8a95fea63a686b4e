"""Batches over sockets, in a process: the database away, a stop in the middle, clients that go, singles beside."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import Any

import httpx
import pytest

from tests.conftest import empty
from tests.system import Api, System, poll
from timer_db.embedded import EmbeddedServer

from .processes import (
    connection_to,
    ended,
    timers_waiting_to_be_written,
    until_it_listens_no_more,
    writes_held_back,
)

URL = "https://example.com/hook"
COUNT = 3_000
CHUNK = 500


@pytest.fixture
def database_url(server: EmbeddedServer) -> str:
    """The URL of an empty database."""
    empty(server.url)
    return server.url


def asked(number: int, **fields: Any) -> dict[str, Any]:
    return {"url": URL, "delay": 3600, "meta": number, **fields}


def batch(count: int = COUNT, tag: str | None = None) -> dict[str, Any]:
    return {"timers": [asked(n, **({"name": f"{tag}-{n}"} if tag else {})) for n in range(count)]}


def stored(database_url: str) -> dict[int, str]:
    """What is there by a look past the API: ids by the number in meta."""
    with connection_to(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT meta, LOWER(HEX(id)) FROM timers")
        return {int(meta): timer_id for meta, timer_id in cursor.fetchall()}


async def test_a_batch_over_sockets(system: System, database_url: str) -> None:
    api = await system.start_api()
    answer = await api.client.post("/timers/batch", json=batch())
    assert answer.status_code == 201
    shown = {timer["meta"]: timer["id"].replace("-", "") for timer in answer.json()["results"]}
    assert shown == stored(database_url)
    assert await api.service.terminate() == 0
    assert "Traceback" not in api.service.log_text()


async def test_without_a_database_a_batch_is_503(system: System) -> None:
    api = await system.start_api()
    await asyncio.to_thread(system.server.stop)
    await api.wait_until(503)
    answer = await api.client.post("/timers/batch", json=batch(3))
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:timer-system:problem:database-unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    # A body that is wrong as a whole is told as that.
    assert (await api.client.post("/timers/batch", json={"timers": []})).status_code == 422
    await asyncio.to_thread(system.server.start)
    await api.wait_until(200)
    assert (await api.client.post("/timers/batch", json=batch(3))).status_code == 201


async def until_some_are_stored(database_url: str, count: int) -> None:
    async def look() -> bool:
        return await asyncio.to_thread(lambda: len(stored(database_url))) >= count

    await poll(look, 30, f"{count} timers to be stored")


async def test_a_batch_with_names_is_whole_after_an_outage_and_a_repeat(system: System, database_url: str) -> None:
    api = await system.start_api()
    asking = batch(5_000, "outage")
    posting = asyncio.create_task(api.client.post("/timers/batch", json=asking))
    await until_some_are_stored(database_url, CHUNK)
    await asyncio.to_thread(system.server.kill)
    first = await posting
    await asyncio.to_thread(system.server.start)
    await api.wait_until(200)
    again = await api.client.post("/timers/batch", json=asking)
    assert again.status_code == 201
    shown = {timer["meta"]: timer["id"].replace("-", "") for timer in again.json()["results"]}
    assert shown == stored(database_url)
    assert len(shown) == 5_000
    for number, result in enumerate(first.json().get("results", ())):
        if "id" in result:
            assert shown[number] == result["id"].replace("-", "")


async def test_a_batch_under_way_is_made_and_answered_before_a_stop(system: System, database_url: str) -> None:
    api = await system.start_api()
    async with writes_held_back(database_url):
        posting = asyncio.create_task(api.client.post("/timers/batch", json=batch()))
        await timers_waiting_to_be_written(database_url)
        api.service.send(signal.SIGTERM)
        await until_it_listens_no_more(api)
    answer = await posting
    assert answer.status_code == 201
    assert await ended(api.service) == 0
    assert len(stored(database_url)) == COUNT
    assert "Traceback" not in api.service.log_text()


async def test_a_batch_whose_client_goes_away_is_made_all_the_same(system: System, database_url: str) -> None:
    api = await system.start_api()
    host, _, port = api.url.removeprefix("http://").partition(":")
    body = json.dumps(batch()).encode()
    head = (
        f"POST /timers/batch HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    async with writes_held_back(database_url):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        await timers_waiting_to_be_written(database_url)
        writer.close()
        await writer.wait_closed()
    await until_some_are_stored(database_url, COUNT)
    # One that breaks off before its body is whole makes nothing.
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + b"\r\n\r\n" + body[:-10])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await api.create(**asked(COUNT))
    assert len(stored(database_url)) == COUNT + 1
    assert "Traceback" not in api.service.log_text()


async def test_past_the_room_for_batches_they_are_told_to_come_again(system: System, database_url: str) -> None:
    """Single creates have a line of their own."""
    api = await system.start_api(api_batch_queue_bytes=1_048_576)
    small = {"timers": [asked(0, meta="x" * 400_000)]}
    async with httpx.AsyncClient(base_url=api.url, timeout=30, trust_env=False) as client:
        async with writes_held_back(database_url):
            posting = [asyncio.create_task(client.post("/timers/batch", json=small)) for _ in range(8)]
            single = asyncio.create_task(client.post("/timers", json=asked(1)))
            await asyncio.wait(posting, return_when=asyncio.FIRST_COMPLETED)
        answers = await asyncio.gather(*posting)
        assert (await single).status_code == 201
        assert sorted({answer.status_code for answer in answers}) == [201, 503]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert all(answer.json()["type"] == "urn:timer-system:problem:busy" for answer in refused)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        # The room is free again, also for one that is larger than all of it.
        large = {"timers": [asked(n, meta="x" * 400_000) for n in range(4)]}
        assert (await client.post("/timers/batch", json=large)).status_code == 201


async def test_a_batch_larger_than_its_bound_is_413(system: System) -> None:
    api = await system.start_api(api_batch_body_bytes=100_000)
    assert (await api.client.post("/timers/batch", json=batch(2_000))).status_code == 413
    assert (await api.client.post("/timers/batch", json=batch(1_000))).status_code == 201


async def test_single_creates_do_not_wait_for_batches(system: System) -> None:
    """Batches of the largest kind, one after the other; a single create is answered long before any of them."""
    api = await system.start_api()
    body = json.dumps(batch(10_000)).encode()
    stop = asyncio.Event()
    seconds: list[float] = []

    async def post_batches() -> None:
        while not stop.is_set():
            began = time.monotonic()
            answer = await api.client.post(
                "/timers/batch", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 201
            seconds.append(time.monotonic() - began)

    posting = [asyncio.create_task(post_batches()) for _ in range(2)]
    waits = await asyncio.to_thread(single_creates, api, 100)
    stop.set()
    await asyncio.gather(*posting)
    waits.sort()
    assert waits[len(waits) // 2] < min(seconds) / 5


def single_creates(api: Api, count: int) -> list[float]:
    """In a thread, so that this process's own work on large answers is not counted for the most part."""
    waits = []
    with httpx.Client(base_url=api.url, timeout=30, trust_env=False) as client:
        for number in range(count):
            began = time.monotonic()
            assert client.post("/timers", json=asked(number)).status_code == 201
            waits.append(time.monotonic() - began)
    return waits


@pytest.mark.parametrize("names", [None, "race"], ids=["without names", "with names"])
async def test_many_batches_and_singles_at_once_are_all_made(
    system: System, database_url: str, names: str | None
) -> None:
    api = await system.start_api()
    batches = [api.client.post("/timers/batch", json=batch(1_200, names)) for _ in range(6)]
    singles = [api.create(**asked(0)) for _ in range(50)]
    answers, made = await asyncio.gather(asyncio.gather(*batches), asyncio.gather(*singles))
    assert {answer.status_code for answer in answers} == {201}
    ids = {timer["id"] for answer in answers for timer in answer.json()["results"]}
    assert len(ids) == (1_200 if names else 6 * 1_200)
    assert len({timer["id"] for timer in made} | ids) == len(ids) + 50

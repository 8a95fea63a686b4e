"""The connection to the database is lost in the middle of a batch: what is told of each timer is true."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.db.proxy import Proxy, When
from timer_api.app import FrontDoor
from timer_api.settings import ApiSettings

from .conftest import CountTimers, ready

pytestmark = pytest.mark.asyncio(loop_scope="package")

CHUNK = 500
COUNT = 5 * CHUNK
JSON = {"Content-Type": "application/json"}


@dataclass
class Line:
    """An application whose connections may break."""

    proxy: Proxy
    app: FrontDoor
    client: httpx.AsyncClient

    def cut_at_chunk(self, when: When, timers: list[dict[str, Any]], chunk: int) -> None:
        """At the COMMIT of that chunk."""
        self.proxy.cut(when, behind=json.dumps(timers[chunk * CHUNK]["meta"]).encode().hex().encode())

    async def post(self, timers: list[dict[str, Any]]) -> httpx.Response:
        return await self.client.post("/timers/batch", content=json.dumps({"timers": timers}), headers=JSON)


@pytest_asyncio.fixture(loop_scope="package")
async def line(database_url: str) -> AsyncIterator[Line]:
    async with Proxy(database_url) as proxy, ready(ApiSettings(db_url=proxy.url)) as (app, client):
        yield Line(proxy, app, client)


def timers_of(tag: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"url": "https://example.com/", "delay": 60, "meta": f"{tag}-{n}", **fields} for n in range(COUNT)]


@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_a_commit_that_was_lost_is_met_by_a_repeat(
    line: Line, client: httpx.AsyncClient, count_timers: CountTimers, when: When
) -> None:
    timers, before = timers_of(str(uuid.uuid4())), await count_timers()
    line.cut_at_chunk(when, timers, 2)
    answer = await line.post(timers)
    assert line.proxy.was_cut.is_set()
    assert answer.status_code == 201
    assert [timer["meta"] for timer in answer.json()["results"]] == [timer["meta"] for timer in timers]
    assert await count_timers() == before + COUNT


@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_what_is_told_of_each_timer_is_true(
    line: Line, client: httpx.AsyncClient, count_timers: CountTimers, when: When
) -> None:
    """Two chunks are made, one is lost at its COMMIT, two are never tried; one timer in each is bad besides."""
    timers, before = timers_of(str(uuid.uuid4())), await count_timers()
    bad = [chunk * CHUNK + 7 for chunk in range(5)]
    for number in bad:
        timers[number]["delay"] = -1
    line.cut_at_chunk(when, timers, 2)
    refusing = asyncio.create_task(line.proxy.go_away_once_cut())
    answer = await line.post(timers)
    await refusing
    assert answer.status_code == 207
    assert answer.headers["retry-after"] == "1"
    results = answer.json()["results"]
    for number, result in enumerate(results):
        chunk, problem = number // CHUNK, result.get("error")
        if number in bad:
            assert (problem["status"], problem["index"], problem["errors"][0]["field"]) == (422, number, "delay")
        elif chunk < 2:
            assert result["meta"] == timers[number]["meta"]
        else:
            assert (problem["status"], problem["index"]) == (503, number)
            assert ("timer_id" in problem) == (chunk == 2)
    stored = 3 if when is When.after else 2
    assert await count_timers() == before + stored * (CHUNK - 1)
    # Whoever looks finds out about those of which nobody knew.
    lost = results[2 * CHUNK]["error"]["timer_id"]
    assert (await client.get(f"/timers/{lost}")).status_code == (200 if when is When.after else 404)


@pytest.mark.parametrize("when", [When.before, When.after], ids=lambda when: when.name)
async def test_with_names_it_is_sent_again_as_it_is(
    line: Line, client: httpx.AsyncClient, count_timers: CountTimers, when: When
) -> None:
    tag, before = str(uuid.uuid4()), await count_timers()
    timers = [{**timer, "name": timer["meta"]} for timer in timers_of(tag)]
    line.cut_at_chunk(when, timers, 1)
    refusing = asyncio.create_task(line.proxy.go_away_once_cut())
    first = await line.post(timers)
    await refusing
    assert first.status_code == 207
    again = await client.post("/timers/batch", content=json.dumps({"timers": timers}), headers=JSON)
    assert again.status_code == 201
    assert await count_timers() == before + COUNT
    made = [timer["id"] for timer in again.json()["results"]]
    assert [timer["id"] for timer in first.json()["results"] if "id" in timer] == made[:CHUNK]


async def test_when_nothing_is_known_to_be_stored_it_is_503(line: Line, count_timers: CountTimers) -> None:
    timers, before = timers_of(str(uuid.uuid4())), await count_timers()
    line.cut_at_chunk(When.before, timers, 0)
    refusing = asyncio.create_task(line.proxy.go_away_once_cut())
    answer = await line.post(timers)
    await refusing
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:timer-system:problem:database-unavailable"
    assert await count_timers() == before


SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/timers/batch",
    "headers": [(b"content-type", b"application/json")],
}


class Peer:
    """A client at the other end of the ASGI interface, who takes the beginning of an answer, and then nothing."""

    def __init__(self, body: bytes) -> None:
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]
        self.got: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        return self._messages.pop() if self._messages else await asyncio.Future()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.got:
            await asyncio.Future()
        self.got.append(message)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timer_api.timers.batch._PATIENCE_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_is_not_taken_gives_its_room_back(line: Line, count_timers: CountTimers) -> None:
    before = await count_timers()
    body = json.dumps({"timers": timers_of(str(uuid.uuid4()))}).encode()
    peer = Peer(body)
    await line.app(SCOPE, peer.receive, peer.send)
    assert [message["type"] for message in peer.got] == ["http.response.start"]
    assert line.app.service.admission.taken_bytes == 0
    assert await count_timers() == before + COUNT

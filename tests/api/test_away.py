"""One of several databases is frozen: who asks is told within seconds which one, and what the others know."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import NamedTuple
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from tests.conftest import ServerOf, empty, upgrade_at
from tests.db.scratch import scratch_database
from tests.system import Api, System, poll, wait_for_log
from timer_db.domain.idempotency import key_sha256
from timer_db.domain.ids import shard_of
from timer_db.embedded import EmbeddedServer, EngineKind
from timer_db.engine import open_shards
from timer_db.operations.idempotency import home_of
from timer_db.operations.membership import join
from timer_db.shards import Shards

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_SECONDS = 6.0
"""By then everybody is told, also who asked before it was known."""
AT_ONCE_SECONDS = 2.0
"""Once it is known, nobody waits."""
FROZEN = 1
TIMERS = 120
"""So many that no database has enough for a page of the console, and two have more."""
NAMED = "database 1 does not answer; try again soon"
NOTICE = "<strong>Database 1 does not answer.</strong>"


class Scene(NamedTuple):
    api: Api
    frozen: EmbeddedServer
    ids: dict[int, list[str]]
    """Timers by their databases."""
    names: dict[int, str]
    """Of one of them each."""
    shards: Shards


@pytest.fixture(scope="module")
def servers(server_of: ServerOf) -> tuple[EmbeddedServer, EmbeddedServer]:
    """One of each engine: two that are there anyhow."""
    return server_of(EngineKind.mysql), server_of(EngineKind.mariadb)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(servers: tuple[EmbeddedServer, EmbeddedServer]) -> AsyncIterator[Scene]:
    """An API with three databases, of which the middle one has a server of its own."""
    home, other = servers
    empty(home.url)
    empty(other.url)
    with scratch_database(home.url) as third:
        await upgrade_at(third)
        urls = [home.url, other.url, third]
        async with System(home, ",".join(urls)) as system:
            api = await system.start_api()
            shards = open_shards(urls)
            for shard in shards:
                await join(shard.engine, "worker-1", 100 + shard.number, "1.0")
            # Names spread evenly; without them, a batch is kept together.
            timers = [{"delay": 3600, "url": "https://example.com", "name": f"{n}"} for n in range(TIMERS)]
            made = (await api.client.post("/timers/batch", json={"timers": timers})).json()["results"]
            ids: dict[int, list[str]] = {}
            for timer in made:
                ids.setdefault(shard_of(UUID(timer["id"])), []).append(timer["id"])
            names = {shard_of(UUID(timer["id"])): timer["name"] for timer in made}
            yield Scene(api, other, ids, names, shards)
            await shards.close()


@contextmanager
def stopped(server: EmbeddedServer) -> Iterator[None]:
    """No connection breaks, no statement fails, each only lasts."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@asynccontextmanager
async def frozen(scene: Scene) -> AsyncIterator[None]:
    """Until it is known again that all answer."""
    with stopped(scene.frozen):
        yield

    async def is_back() -> bool:
        return (await scene.api.client.get("/timers")).status_code == 200

    await poll(is_back, 30, "the database to be back")


async def asked(scene: Scene, paths: list[str], within_seconds: float) -> list[httpx.Response]:
    """GET of them all at the same time."""
    began_at = time.monotonic()
    answers = await asyncio.gather(*(scene.api.client.get(path) for path in paths))
    assert time.monotonic() - began_at < within_seconds
    return answers


async def test_reads_name_the_database_that_they_need_and_others_are_answered(scene: Scene) -> None:
    here, there = scene.ids[0][0], scene.ids[FROZEN][0]
    paths = ["/controllers", "/doctor", f"/timers/{here}", "/timers?limit=1", "/health/ready"]
    needy = [f"/timers/{there}", f"/timers/{there}/attempts", "/timers", "/collections", "/routes", "/schedules"]
    everywhere = (await scene.api.client.get("/controllers")).json()
    assert [(each["shard"], each["pid"]) for each in everywhere["controllers"]] == [(0, 100), (1, 101), (2, 102)]
    assert everywhere["shards_away"] == []
    async with frozen(scene):
        for within_seconds in (SOON_SECONDS, AT_ONCE_SECONDS):
            answers = await asked(scene, paths + needy, within_seconds)
            assert [answer.status_code for answer in answers[: len(paths)]] == [200] * len(paths)
            told = answers[0].json()
            assert [(each["shard"], each["pid"]) for each in told["controllers"]] == [(0, 100), (2, 102)]
            assert told["shards_away"] == [FROZEN]
            servers = [each["server"] for each in answers[1].json()["databases"]]
            assert [server == "unknown" for server in servers] == [False, True, False]
            for answer in answers[len(paths) :]:
                assert (answer.status_code, answer.json()["detail"]) == (503, NAMED)
                assert int(answer.headers["retry-after"]) >= 1
        await wait_for_log(scene.api.service, "database 1 is away: it takes long to answer")


async def test_pages_of_the_console_show_what_the_others_know(scene: Scene) -> None:
    here, there = scene.ids[0][0], scene.ids[FROZEN][0]
    lists = ["timers", "ended", "collections", "collections/default", "routes", "schedules", "controllers"]
    paths = [f"/console/{path}" for path in (*lists, f"timers/{here}", f"timers/{there}")]
    async with frozen(scene):
        for within_seconds in (SOON_SECONDS, AT_ONCE_SECONDS):
            *shown, one, away = await asked(scene, paths, within_seconds)
            for answer in shown:
                assert answer.status_code == 200, answer.url
                assert answer.text.count(NOTICE) == 1, answer.url
            counted = len(scene.ids[0]) + len(scene.ids[2])
            assert f">{counted}</a>" in shown[2].text
            assert (one.status_code, NOTICE in one.text) == (200, False)
            assert away.status_code == 503
            assert NAMED in away.text
        listed = await pages_of_timers(scene)
        assert len(listed) == counted
        assert set(listed) == {*scene.ids[0], *scene.ids[2]}
        # Whoever is on call can act on what is there.
        began_at = time.monotonic()
        for action in ("pause", "resume"):
            done = await scene.api.client.post(
                "/console/collections/default",
                data={"action": action},
                headers={"Origin": scene.api.url, "Sec-Fetch-Site": "same-origin"},
            )
            assert (done.status_code, "?done=" in done.headers["location"]) == (303, True)
        assert time.monotonic() - began_at < AT_ONCE_SECONDS
    for answer in await asked(scene, paths, SOON_SECONDS):
        assert (answer.status_code, NOTICE in answer.text) == (200, False)
    assert len(await pages_of_timers(scene)) == TIMERS


async def pages_of_timers(scene: Scene) -> list[str]:
    """The ids on all pages of the console's list."""
    found: list[str] = []
    query = ""
    while True:
        text = (await scene.api.client.get(f"/console/timers{query}")).text
        found += re.findall(r'href="/console/timers/([0-9a-f-]{36})"', text)
        following = re.search(r'href="(\?[^"]+)" rel="next"', text)
        if following is None:
            return found
        query = following[1].replace("&amp;", "&")


async def test_a_page_that_began_on_all_goes_on_without_the_one_that_is_away(scene: Scene) -> None:
    """A cursor that stands on that one passes it over."""
    shorter = len(scene.ids[0]) + 1
    page = (await scene.api.client.get(f"/timers?limit={shorter}")).json()
    assert shard_of(UUID(page["timers"][-1]["id"])) == FROZEN
    async with frozen(scene):
        [answer] = await asked(scene, [f"/console/timers?cursor={page['next_cursor']}"], SOON_SECONDS)
        assert NOTICE in answer.text
        listed = set(re.findall(r'href="/console/timers/([0-9a-f-]{36})"', answer.text))
        assert listed
        assert listed <= set(scene.ids[2])


async def test_writes_go_to_those_that_answer_and_others_are_refused_at_once(scene: Scene) -> None:
    client, there, named = scene.api.client, scene.ids[FROZEN][0], scene.names
    later = {"delay": 3600, "url": "https://example.com"}

    async def create(**fields: str) -> httpx.Response:
        return await client.post("/timers", json={**later, **fields})

    async with frozen(scene):
        # Nobody knows it yet: who needs another one waits for nobody who needs this one.
        stuck = [asyncio.create_task(create(name=named[FROZEN], meta=f"{n}")) for n in range(3)]
        began_at = time.monotonic()
        answers = await asyncio.gather(
            *(create(name=named[number], meta="other") for number in (0, 2) for _ in range(10))
        )
        assert {answer.status_code for answer in answers} == {409}, "the name is in use, as that database says"
        assert time.monotonic() - began_at < AT_ONCE_SECONDS

        await poll(lambda: is_known_to_be_away(scene), SOON_SECONDS, "the database to be known to be away")
        began_at = time.monotonic()
        # Without a name they go to one that answers.
        made = await asyncio.gather(*(create() for _ in range(30)))
        assert {answer.status_code for answer in made} == {201}
        assert {shard_of(UUID(answer.json()["id"])) for answer in made} == {0, 2}
        batch = {"timers": [*([later] * 5), *({**later, "name": f"new {n}"} for n in range(60))]}
        for headers in ({}, {"Idempotency-Key": key_on(scene, 0)}):
            results = (await client.post("/timers/batch", json=batch, headers=headers)).json()["results"]
            refused = [each["error"] for each in results if "error" in each]
            assert 0 < len(refused) < 60
            assert {(each["status"], each["detail"], each.get("timer_id")) for each in refused} == {
                (503, NAMED, None)
            }
        writes = [
            create(name=named[FROZEN]),
            client.delete(f"/timers/{there}"),
            client.patch(f"/timers/{there}", json={"delay": 7200}),
            client.post(f"/timers/{there}/fire"),
            client.post(f"/timers/{there}/replay"),
            client.put(f"/collections/default/timers/{named[FROZEN]}", json=later),
            client.post("/timers", json=later, headers={"Idempotency-Key": key_on(scene, FROZEN)}),
            client.post("/timers/cancel", json={"ids": [there]}),
        ]
        for answer in await asyncio.gather(*writes):
            assert (answer.status_code, answer.json()["detail"]) == (503, NAMED), answer.request.url
        assert time.monotonic() - began_at < AT_ONCE_SECONDS
    # What was on its way is answered as that database says when it is back; what waited behind it was refused.
    ended = await asyncio.gather(*stuck)
    refused = [answer for answer in ended if answer.status_code != 409]
    assert len(refused) < len(ended)
    assert {(answer.status_code, answer.json()["detail"]) for answer in refused} <= {(503, NAMED)}


async def is_known_to_be_away(scene: Scene) -> bool:
    return (await scene.api.client.get(f"/timers/{scene.ids[FROZEN][0]}")).status_code == 503


def key_on(scene: Scene, number: int) -> str:
    """An idempotency key that this database holds."""
    keys = map("key-{}".format, count())
    return next(key for key in keys if home_of(scene.shards, key_sha256(b"", key.encode())).number == number)


async def test_it_stops_in_order_meanwhile(scene: Scene) -> None:
    """The last of these tests: the process ends."""
    with stopped(scene.frozen):
        await asked(scene, ["/timers", "/collections"], SOON_SECONDS)
        # A look of the console that is on its way is waited for, for two seconds.
        assert await scene.api.service.terminate(SOON_SECONDS) == 0

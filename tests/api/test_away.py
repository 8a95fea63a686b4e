"""One of several databases is frozen: who asks is told within seconds which one, and what the others know."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from tests.conftest import ServerOf, empty, upgrade_at
from tests.db.scratch import scratch_database
from tests.system import Api, System, poll, wait_for_log
from timer_db.domain.ids import shard_of
from timer_db.embedded import EmbeddedServer, EngineKind
from timer_db.engine import open_shards
from timer_db.operations.membership import join

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
            await shards.close()
            # Names spread evenly; without them, a batch is kept together.
            timers = [{"delay": 3600, "url": "https://example.com", "name": f"{n}"} for n in range(TIMERS)]
            made = (await api.client.post("/timers/batch", json={"timers": timers})).json()["results"]
            ids: dict[int, list[str]] = {}
            for timer in made:
                ids.setdefault(shard_of(UUID(timer["id"])), []).append(timer["id"])
            yield Scene(api, other, ids)


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


async def test_it_stops_in_order_meanwhile(scene: Scene) -> None:
    """The last of these tests: the process ends."""
    with stopped(scene.frozen):
        await asked(scene, ["/timers", "/collections"], SOON_SECONDS)
        assert await scene.api.service.terminate(AT_ONCE_SECONDS) == 0

"""A database that stalls, one of several that is away, controllers that are dead: who looks is told in seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import Opened
from tests.browser.valve import Valve
from tests.browser.visitor import Visitor
from tests.db.scratch import scratch_database
from tests.plans.conftest import upgraded
from tests.system import Api, System, poll
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="package")

SEEN_SECONDS = 10.0
"""By then whoever is on call must see it."""


@pytest.fixture
def urls(server: EmbeddedServer) -> Iterator[list[str]]:
    """Two databases without tables."""
    with scratch_database(server.url) as first, scratch_database(server.url) as second:
        yield [first, second]


@pytest_asyncio.fixture(loop_scope="package")
async def databases(urls: list[str]) -> list[str]:
    """Two databases of a test's own."""
    for url in urls:
        await upgraded(url)
    return urls


@pytest_asyncio.fixture(loop_scope="package")
async def valve(databases: list[str]) -> AsyncIterator[Valve]:
    """The way to the second of them."""
    async with Valve(databases[1]) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="package")
async def stalling(server: EmbeddedServer, valve: Valve) -> AsyncIterator[System]:
    """A system whose API reaches its database by the valve, and whose controller does not need it."""
    async with System(server, valve.url) as system:
        await system.start_api()
        yield system


@pytest_asyncio.fixture(loop_scope="package")
async def several(server: EmbeddedServer, databases: list[str], valve: Valve) -> AsyncIterator[System]:
    """An API with two databases; the way to the second can be shut."""
    async with System(server, f"{databases[0]},{valve.url}") as system:
        await system.start_api()
        yield system


async def _page(api: Api, path: str = "") -> httpx.Response:
    return await api.client.get(f"/console{path}", timeout=SEEN_SECONDS)


async def _until_a_page_says(api: Api, words: str, path: str = "") -> None:
    async def look() -> bool:
        return words in (await _page(api, path)).text

    await poll(look, 30, f"a page that says {words!r}")


async def _is_live(visitor: Visitor) -> None:
    await expect(visitor.page.locator("#live-words")).to_have_text("Live", timeout=15_000)


async def test_a_database_that_stalls_is_told_to_who_watches_and_to_who_comes(
    opened: Opened, stalling: System, databases: list[str], valve: Valve
) -> None:
    [api] = stalling.apis
    await stalling.start_controller(DB_URL=databases[1])
    await _until_a_page_says(api, "On time")
    visitor = await opened(api.url)
    await visitor.go()
    await _is_live(visitor)
    valve.shut()
    soon_ms = SEEN_SECONDS * 1000
    await expect(visitor.page.locator("#live-words")).to_have_text("The database does not answer", timeout=soon_ms)
    await expect(visitor.page.locator("#live")).to_have_attribute("data-state", "away")
    verdict = visitor.page.locator("#verdict")
    await expect(verdict).to_contain_text("The database does not answer.")
    await expect(verdict).to_contain_text("What you see is of 20")
    await expect(verdict).to_contain_text("s ago")
    await visitor.check_access()
    # However many come, none waits for the others.
    began_at = time.monotonic()
    answers = await asyncio.gather(*(_page(api) for _ in range(8)))
    assert time.monotonic() - began_at < SEEN_SECONDS / 2
    for answer in answers:
        assert answer.status_code == 200
        assert "The database does not answer." in answer.text
    valve.open()
    await _is_live(visitor)
    await visitor.sees("On time")


async def test_a_list_that_is_watched_does_not_seem_new_while_the_database_stalls(
    opened: Opened, stalling: System, valve: Valve
) -> None:
    [api] = stalling.apis
    await api.create(hours=1, url="https://example.com", name="waits")
    visitor = await opened(api.url)
    await visitor.go("/timers")
    await _is_live(visitor)
    valve.shut()
    away = visitor.page.locator("#live[data-state=away]")
    await expect(away).to_be_visible(timeout=SEEN_SECONDS * 1000)
    # What it shows stays, and whoever comes now is not kept waiting.
    await visitor.sees("waits")
    answer = await _page(api, "/timers")
    assert answer.status_code == 503
    valve.open()
    await _is_live(visitor)


async def test_one_of_several_that_is_away_is_named_and_the_others_are_shown(
    several: System, valve: Valve
) -> None:
    [api] = several.apis
    await several.start_controller()
    await _until_a_page_says(api, "On time")
    valve.shut()
    await _until_a_page_says(api, "Database 1 does not answer.")
    overview = await _page(api)
    assert overview.status_code == 200
    assert "what you see is of the others" in overview.text
    assert "Database 0" not in overview.text
    controllers = await _page(api, "/controllers")
    assert controllers.status_code == 200
    assert "Database 1 does not answer." in controllers.text
    assert controllers.text.count("database 0</span>") == 1
    told = await api.client.get("/doctor", timeout=SEEN_SECONDS)
    assert told.status_code == 200
    assert told.json()["healthy"] is False
    first, second = told.json()["databases"]
    assert (first["shard"], first["faults"]) == (0, [])
    assert first["server"][0].isdecimal()
    assert (second["shard"], second["server"]) == (1, "unknown")
    assert second["faults"][0].startswith("it does not answer")
    valve.open()
    await _until_a_page_says(api, "On time")


async def test_a_page_that_is_watched_says_what_it_does_without(
    opened: Opened, several: System, valve: Valve
) -> None:
    """Here also in a browser; tests/api/test_away.py has every page."""
    [api] = several.apis
    visitor = await opened(api.url)
    await visitor.go("/collections")
    await _is_live(visitor)
    valve.shut()
    words = visitor.page.locator("#live-words")
    await expect(words).to_have_text("Not every database answers", timeout=SEEN_SECONDS * 1000)
    await visitor.sees("Database 1 does not answer.", "default")
    assert "Database 0" not in await visitor.text()
    await visitor.check_access()
    valve.open()
    await _is_live(visitor)
    await expect(visitor.page.locator("#left-out-1")).to_have_count(0)


async def test_controllers_that_are_at_work_are_counted_once_and_dead_ones_not(
    opened: Opened, several: System, databases: list[str]
) -> None:
    [api] = several.apis
    first = await several.start_controller(DB_URL=databases[0])
    visitor = await opened(api.url)
    await visitor.go()
    await visitor.sees("No controller is at work for database 1")
    alive = visitor.page.locator("#figure-controllers")
    await expect(alive.locator("dd")).to_have_text("1")
    second = await several.start_controller()
    # At work for both databases.
    await expect(alive.locator("dd")).to_have_text("2", timeout=15_000)
    await visitor.sees("On time")
    await first.kill()
    await second.kill()
    # Nobody is left to notice it, so both are still members.
    await expect(alive.locator("dd")).to_have_text("0", timeout=15_000)
    await expect(alive).to_have_class("figure bad")
    await visitor.sees("No controller is at work: nothing is called.")

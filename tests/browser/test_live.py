"""Pages change while they are looked at; they serve without a stream, without scripts, and without a database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.browser.conftest import Opened
from tests.browser.visitor import Visitor
from tests.db.scratch import scratch_database
from tests.plans.conftest import upgraded
from tests.system import Api, System
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="package")

SOON_MS = 15_000


@pytest_asyncio.fixture(loop_scope="package")
async def alone(server: EmbeddedServer) -> AsyncIterator[System]:
    """A system of a test's own, nothing started yet."""
    with scratch_database(server.url) as url:
        await upgraded(url)
        async with System(server, url) as system:
            yield system


async def _is_live(visitor: Visitor) -> None:
    await expect(visitor.page.locator("#live")).to_have_attribute("data-state", "on", timeout=SOON_MS)


async def test_the_overview_shows_what_happens(visitor: Visitor, api: Api, at_work: System) -> None:
    await visitor.go()
    await _is_live(visitor)
    await visitor.sees("On time")
    before = int((await visitor.page.locator("#totals li").first.inner_text()).split()[-1].replace(",", ""))
    await api.client.post("/timers/batch", json={"timers": [{"seconds": 0, "url": at_work.receiver.url}] * 100})
    await expect(visitor.page.locator("#totals li").first).to_have_text(
        f"delivered {before + 100:,}", timeout=SOON_MS
    )
    await expect(visitor.page.locator("#figure-p50 dd")).to_contain_text("ms", timeout=SOON_MS)
    await expect(visitor.page.locator("#figure-controllers dd")).to_have_text("1")


async def test_charts_can_be_read_by_everybody(visitor: Visitor, api: Api, at_work: System) -> None:
    """As lines, as words, and step by step with the keyboard."""
    await visitor.go()
    await _is_live(visitor)
    chart = visitor.page.get_by_role("img", name="A second.")
    await expect(chart).to_have_attribute("aria-label", re.compile("Delivered: now"))
    await expect(visitor.page.locator(".chart path.line")).to_have_count(3 + 2 + 2 + 1 + 1 + 1)
    for words in ("In controllers’ hands: now 0", "Oldest overdue: now 0", "Alive: now 1"):
        await expect(visitor.page.get_by_role("img", name=words)).to_have_count(1)
    # Two looks make a line.
    await expect(visitor.page.locator(".chart path.line-0").first).to_have_attribute(
        "d", re.compile("L"), timeout=SOON_MS
    )
    await chart.focus()
    await visitor.page.keyboard.press("Home")
    await expect(chart).to_have_attribute("aria-label", re.compile(" ago "))
    await visitor.page.keyboard.press("Escape")
    await expect(chart).to_have_attribute("aria-label", re.compile("Delivered: now"))


async def test_times_count_down(visitor: Visitor, api: Api) -> None:
    made = await api.create(seconds=90, url="https://example.com")
    await visitor.go(f"/timers/{made['id']}")
    left = visitor.page.locator("#countdown time")
    await expect(left).to_have_text("in 1 m 28 s")
    await expect(left).to_have_text("in 1 m 27 s")


async def test_what_is_filled_in_is_not_swept_away(visitor: Visitor, api: Api) -> None:
    """By a page that is renewed meanwhile."""
    made = await api.create(hours=1, url="https://example.com", name="being looked at")
    await visitor.go(f"/timers/{made['id']}")
    await _is_live(visitor)
    await visitor.page.get_by_text("Reschedule", exact=True).first.click()
    await visitor.fill(delay="45m")
    # A change elsewhere on the page shows that it is renewed.
    await api.client.delete(f"/timers/{made['id']}")
    await expect(visitor.page.locator("#title .state")).to_have_text("cancelled", timeout=SOON_MS)
    # What can be done with a timer that waits can be done no more.
    await expect(visitor.page.get_by_text("Reschedule", exact=True)).to_have_count(0)


async def test_without_scripts(opened: Opened, api: Api, at_work: System) -> None:
    """Everything is there, and everything can be done; the page asks for itself again."""
    visitor = await opened(api.url, java_script_enabled=False)
    await visitor.go()
    await visitor.sees("On time", "Controllers alive", "Timers that are stored")
    assert 'http-equiv="refresh"' in await visitor.page.content()
    await visitor.go("/new")
    await visitor.fill(delay="1h", url="https://example.com", name="without scripts")
    await visitor.send("Make the timer")
    await visitor.sees("The timer is made.", "without scripts")
    await visitor.page.get_by_text("Cancel", exact=True).click()
    await visitor.send("Cancel this timer")
    await visitor.sees("cancelled")


async def test_without_a_stream(opened: Opened, api: Api) -> None:
    """As behind a proxy that has none: the page is asked for again and again."""
    visitor = await opened(api.url)

    async def refuse_streams(route: Route) -> None:
        if "event-stream" in route.request.headers.get("accept", ""):
            await route.fulfill(status=503)
        else:
            await route.continue_()

    await visitor.page.route("**/*", refuse_streams)
    made = await api.create(hours=1, url="https://example.com")
    await visitor.go(f"/timers/{made['id']}")
    await expect(visitor.page.locator("#live-words")).to_have_text("Renewed every few seconds")
    await api.client.delete(f"/timers/{made['id']}")
    await expect(visitor.page.locator("#title .state")).to_have_text("cancelled", timeout=SOON_MS)


async def test_a_copy_that_stops_is_not_held_up_by_those_who_watch(opened: Opened, at_work: System) -> None:
    """They come back when there is one again."""
    copy = await at_work.start_api()
    visitor = await opened(copy.url)
    await visitor.go()
    await _is_live(visitor)
    # Less than TIMER_API_STOP_SECONDS (8), after which it would be cut off.
    assert await copy.service.terminate(timeout_seconds=6) == 0
    await expect(visitor.page.locator("#live")).to_have_attribute("data-state", "away", timeout=SOON_MS)
    await copy.service.start()
    await copy.wait_until(200)
    await _is_live(visitor)
    await copy.service.terminate()


async def test_what_is_wrong_is_the_first_thing_one_sees(opened: Opened, alone: System) -> None:
    """Nobody calls; then somebody does."""
    api = await alone.start_api()
    await api.create(seconds=0, url=alone.receiver.url)
    visitor = await opened(api.url)
    await visitor.go()
    verdict = visitor.page.locator("#verdict")
    await expect(verdict).to_contain_text("No controller is at work")
    await expect(verdict).to_contain_text("Start timer_controller")
    await expect(visitor.page.locator("#figure-due dd")).to_have_text("1")
    await visitor.check_access()
    await alone.start_controller()
    # It was called by now, and late.
    await expect(verdict).to_contain_text("Calls begin late", timeout=SOON_MS)
    # Said once, to those who listen.
    await expect(visitor.page.locator("#alarm")).to_contain_text("Calls begin late")
    visitor.check_quiet()


async def test_without_a_database(opened: Opened, at_work: System) -> None:
    api = await at_work.start_api(503, DB_URL="mysql://nobody:x@127.0.0.1:1/none")
    visitor = await opened(api.url)
    answer = await visitor.go()
    assert answer.status == 503
    await visitor.sees("The database cannot be reached", "Nothing that was stored is lost")
    await visitor.check_access()
    await api.service.terminate()

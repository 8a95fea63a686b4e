"""Every page: it comes, says what it should, works for everybody, and the browser complains about nothing."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import Opened
from tests.browser.visitor import PHONE, Visitor
from tests.system import Api, System
from timer_api.console.places import PLACES

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def examples(at_work: System) -> dict[str, str]:
    """Something on every page; gives what stands in the braces of paths."""
    api = at_work.apis[0]
    await api.client.put("/collections/shop", json={"waiting_max": 1000, "defaults": {"priority": 3}})
    await api.client.put("/routes/billing", json={"url": f"{at_work.receiver.url}/billing", "rate_per_second": 50})
    await api.client.post("/routes/billing/pause")
    nightly = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "timer": {"url": "https://example.com/nightly"}}
    await api.client.put("/schedules/nightly", json=nightly)
    await api.create(hours=1, url="https://example.com/later", name="later", labels={"env": "prod"})
    failed = await api.create(seconds=0, url=f"{at_work.receiver.url}/gone", name="gone", meta={"order": 17})
    await api.wait_for_status_of(failed["id"], "failed")
    return {"timer_id": failed["id"], "collections": "shop", "routes": "billing", "schedules": "nightly"}


def _filled(path: str, examples: dict[str, str]) -> str:
    name = examples.get(path.split("/")[1], "") if path else ""
    return path.format(timer_id=examples["timer_id"], name=name)


SAYS = {
    "": "Timers that are stored",
    "/timers": "later",
    "/timers/{timer_id}": "answered 410 Gone",
    "/ended": "gone",
    "/new": "What is called",
    "/echo": "See a timer fly",
    "/collections": "shop",
    "/collections/{name}": "Timers that may wait",
    "/routes": "billing",
    "/routes/{name}": "paused",
    "/schedules": "nightly",
    "/schedules/{name}": "Next runs",
    "/controllers": "Last beat",
    "/events": "routes/billing",
}


@pytest.mark.parametrize("path", [place.path for place in PLACES])
async def test_every_page_is_fit_for_everybody(visitor: Visitor, examples: dict[str, str], path: str) -> None:
    """By day, by night, and on a phone."""
    answer = await visitor.go(_filled(path, examples))
    assert answer.status == 200
    await visitor.sees(SAYS[path])
    await visitor.check_access()
    await visitor.page.emulate_media(color_scheme="dark")
    await visitor.check_access("color-contrast")
    await visitor.page.set_viewport_size(PHONE)
    await visitor.check_width()
    await visitor.check_access("color-contrast", "scrollable-region-focusable", "target-size")


async def test_every_page_says_who_it_is_and_where_one_is(visitor: Visitor, examples: dict[str, str]) -> None:
    titles = set()
    for place in PLACES:
        await visitor.go(_filled(place.path, examples))
        titles.add(await visitor.page.title())
        assert await visitor.page.locator("h1").count() == 1
        section = "/" + place.path.split("/")[1] if place.path else ""
        current = visitor.page.locator("header nav a[aria-current=page]")
        assert await current.get_attribute("href") == f"/console{section}"
    assert len(titles) == len(PLACES)


@pytest.mark.parametrize("path", ["/timers", "/ended"])
async def test_the_labels_of_a_search_stand_on_one_line(
    visitor: Visitor, examples: dict[str, str], path: str
) -> None:
    await visitor.go(path)
    tops = await visitor.page.locator("#filter label").evaluate_all(
        "labels => labels.map(label => label.getBoundingClientRect().top)"
    )
    assert len(tops) >= 4
    assert max(tops) - min(tops) < 0.5


async def test_the_keyboard_alone_is_enough(visitor: Visitor, examples: dict[str, str]) -> None:
    """From the top of the page past the menu, to a timer in the list, and to what can be done with it."""
    await visitor.go("/timers")
    keyboard = visitor.page.keyboard
    await keyboard.press("Tab")
    await expect(visitor.page.get_by_role("link", name="To the content")).to_be_focused()
    await keyboard.press("Enter")
    await visitor.page.keyboard.press("Tab")
    await expect(visitor.page.get_by_label("Id or name")).to_be_focused()
    await keyboard.type("later")
    async with visitor.page.expect_navigation():
        await keyboard.press("Enter")
    link = visitor.page.get_by_role("link", name="later", exact=True)
    await link.focus()
    async with visitor.page.expect_navigation():
        await keyboard.press("Enter")
    await visitor.page.get_by_text("Reschedule").first.focus()
    await keyboard.press("Enter")
    await keyboard.press("Tab")
    await expect(visitor.page.get_by_label("In", exact=True)).to_be_focused()


async def test_what_is_not_there(opened: Opened, api: Api) -> None:
    """Pages say so, with the status that belongs to it, and lead on."""
    visitor = await opened(api.url)
    for path, status, words in (
        ("/nowhere", 404, "there is nothing at this path"),
        ("/timers/01a1f8bd-9eb2-7000-ad4d-2a6946f93bc0", 404, "no timer has the id"),
        ("/timers/17", 422, "it is no id"),
        ("/collections/none", 404, "there is no collection"),
        ("/timers?status=late", 422, "scheduled"),
    ):
        answer = await visitor.go(path)
        assert answer.status == status, path
        await visitor.sees(words)
        await visitor.check_access()


async def test_pages_ask_nobody_to_keep_or_frame_them(api: Api) -> None:
    answer = await api.client.get("/console")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"

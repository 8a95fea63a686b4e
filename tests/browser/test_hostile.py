"""Whatever a timer can carry is shown as text, and never run: not even where the policy would not stop it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import HOSTILE, Opened
from tests.browser.visitor import Visitor
from tests.system import Api, System

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def _check_harmless(visitor: Visitor) -> None:
    """Nothing of it became an element, and nothing ran."""
    assert await visitor.page.locator(".hostile, main img, main script").count() == 0
    assert await visitor.page.evaluate("typeof hacked") == "undefined"
    # The policy forbids scripts in the page; had there been one, the browser would have said so.
    visitor.check_quiet()


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def hostile_id(at_work: System) -> str:
    """A timer that is hostile wherever it can be, called at a receiver that is, too."""
    api = at_work.apis[0]
    made = await api.create(
        seconds=0,
        # What a URL may have of it: quotes and brackets that end attributes.
        url=f"{at_work.receiver.url}/hostile?x='onload=hacked(1)",
        name=HOSTILE,
        headers={"X-Hostile": HOSTILE},
        body={HOSTILE: [HOSTILE]},
        meta=HOSTILE,
        labels={"hostile": "b.class-hostile_1"},
        on_failure_url=f"{at_work.receiver.url}/x'onload=hacked(1)",
    )
    await api.wait_for_status_of(made["id"], "failed")
    return str(made["id"])


async def test_a_timer_and_its_receivers_answer(visitor: Visitor, hostile_id: str) -> None:
    await visitor.go(f"/timers/{hostile_id}")
    await expect(visitor.page.locator("h1")).to_have_text(HOSTILE)
    await expect(visitor.page.locator("#story pre")).to_have_text(HOSTILE)
    await expect(visitor.page.locator("#facts")).to_contain_text(f"X-Hostile: {HOSTILE}")
    for summary in ("Meta", "Retries"):
        await visitor.page.get_by_text(summary, exact=True).click()
    assert (await visitor.page.title()).startswith(HOSTILE)
    await _check_harmless(visitor)


@pytest.mark.parametrize("path", ["/timers", "/ended", "/timers?selector=hostile"])
async def test_lists(visitor: Visitor, hostile_id: str, path: str) -> None:
    await visitor.go(path)
    link = visitor.page.locator(f"a[href='/console/timers/{hostile_id}']")
    await expect(link).to_have_text(HOSTILE)
    await _check_harmless(visitor)


async def test_what_the_stream_brings(visitor: Visitor, api: Api, at_work: System) -> None:
    """Parts that are renewed are no way in either."""
    made = await api.create(seconds=1, url=f"{at_work.receiver.url}/hostile", name=f"later {HOSTILE}")
    await visitor.go(f"/timers/{made['id']}")
    await visitor.sees("Attempt 1: rejected")
    await expect(visitor.page.locator("#story pre")).to_have_text(HOSTILE)
    await _check_harmless(visitor)


@pytest.mark.parametrize(
    "address",
    ["/timers?find={}", "/timers?selector={}", "/timers?status={}", "/timers?collection={}", "/ended?selector={}",
     "/timers/{}", "/{}", "/new?url={}&name={}&body={}", "/timers?done={}", "/timers?cursor={}",
     "/ended?done=replayed&changed={}&refused={}&rest={}", "/collections/{}"],
)  # fmt: skip
async def test_addresses(opened: Opened, api: Api, address: str) -> None:
    """Links that somebody was sent."""
    visitor = await opened(api.url)
    await visitor.go(address.replace("{}", quote(HOSTILE, safe="")))
    visitor.complaints = [told for told in visitor.complaints if "the server responded with" not in told]
    await _check_harmless(visitor)


async def test_forms_that_come_back(opened: Opened, api: Api) -> None:
    """Filled in again with what was wrong."""
    visitor = await opened(api.url)
    await visitor.go("/new")
    fields = ("delay", "url", "method", "headers", "body", "name", "labels", "meta", "priority", "on_failure_url")
    await visitor.fill(**dict.fromkeys(fields, HOSTILE))
    await visitor.send("Make the timer")
    for name in fields:
        await expect(visitor.page.locator(f"#f-{name}")).to_have_value(HOSTILE)
    visitor.complaints = [told for told in visitor.complaints if "the server responded with" not in told]
    await _check_harmless(visitor)


async def test_the_receiver_is_no_page(opened: Opened, api: Api) -> None:
    """What it is sent it gives back as text."""
    visitor = await opened(api.url)
    answer = await visitor.page.request.post(f"{api.url}/console/echo/x", data=HOSTILE)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert HOSTILE in await answer.text()

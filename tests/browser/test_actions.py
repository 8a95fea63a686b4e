"""Everything that can be done in the console, done."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opened
from tests.browser.visitor import Visitor
from tests.system import Api, System

pytestmark = pytest.mark.asyncio(loop_scope="package")


def _id_in(visitor: Visitor) -> str:
    found = re.search(r"/timers/([0-9a-f-]{36})", visitor.page.url)
    assert found, visitor.page.url
    return found[1]


async def test_a_timer_is_made_with_all_its_fields(visitor: Visitor, api: Api) -> None:
    await visitor.go("/new")
    await visitor.fill(
        delay="1h30m",
        url="https://example.com/hook?x=1",
        method="PUT",
        headers="X-Shop: berlin\nX-Lang: de",
        body='{"order": 17}',
        name="invoice-17",
        labels="env=prod\ntier=free",
        meta="[1, 2]",
        priority="5",
        max_attempts="3",
        timeout_seconds="2.5",
        on_failure_url="https://example.com/failed",
    )
    await visitor.page.select_option("[name=on_unknown]", "hold")
    await visitor.send("Make the timer")
    await visitor.sees("The timer is made.", "invoice-17", "Called in 1 h 2", "env=prod", "X-Shop: berlin")
    made = await api.get(_id_in(visitor))
    assert (made["method"], made["headers"]) == ("PUT", {"X-Shop": "berlin", "X-Lang": "de"})
    assert (made["body"], made["meta"]) == ({"order": 17}, [1, 2])
    assert made["labels"] == {"env": "prod", "tier": "free"}
    assert (made["priority"], made["retry"]["max_attempts"], made["timeout_seconds"]) == (5, 3, 2.5)
    assert (made["on_unknown"], made["on_failure_url"]) == ("hold", "https://example.com/failed")
    assert made["append_id"] is True


async def test_the_form_says_what_is_wrong_and_keeps_the_rest(visitor: Visitor) -> None:
    await visitor.go("/new")
    await visitor.fill(delay="soon", url="ftp://example.com", meta="{", priority="high", labels="env", name="kept")
    await visitor.send("Make the timer")
    # What is no JSON, no number and no list is found first, the rest by the API.
    for name, words in (("meta", "Expecting"), ("priority", "whole number"), ("labels", "each line needs a '='")):
        await expect(visitor.page.locator(f"#h-{name}")).to_contain_text(words)
        assert await visitor.page.locator(f"#f-{name}").get_attribute("aria-invalid") == "true"
    await expect(visitor.page.locator("#problem")).to_be_focused()
    await expect(visitor.page.locator("#f-name")).to_have_value("kept")
    await visitor.check_access()
    await visitor.fill(meta="", priority="", labels="")
    await visitor.send("Make the timer")
    await expect(visitor.page.locator("#h-delay")).to_contain_text("no duration")
    await expect(visitor.page.locator("#h-url")).to_contain_text("http")
    visitor.complaints.clear()  # a 422 is one to the browser


async def test_a_timer_is_cancelled(visitor: Visitor, api: Api) -> None:
    made = await api.create(hours=1, url="https://example.com")
    await visitor.go(f"/timers/{made['id']}")
    await visitor.page.get_by_text("Cancel", exact=True).click()
    await visitor.send("Cancel this timer")
    await visitor.sees("it will not be called", "cancelled")
    assert (await api.get(made["id"]))["status"] == "cancelled"
    await visitor.check_access()


async def test_an_action_that_comes_too_late_is_told(opened: Opened, api: Api) -> None:
    """On a page that does not renew itself."""
    visitor = await opened(api.url, java_script_enabled=False)
    made = await api.create(hours=1, url="https://example.com")
    await visitor.go(f"/timers/{made['id']}")
    await visitor.page.get_by_text("Cancel", exact=True).click()
    await api.client.delete(f"/timers/{made['id']}")
    await visitor.send("Cancel this timer")
    await expect(visitor.page.locator("#problem")).to_contain_text("cannot be cancelled any more")


async def test_the_receiver_shows_the_call(visitor: Visitor, api: Api) -> None:
    """What a newcomer does in the first minute: the page counts down, and shows the call as it arrived."""
    await visitor.go("/echo")
    await visitor.fill(delay="2")
    await visitor.send("Make the timer")
    await visitor.sees("Called in")
    await visitor.sees("Delivered", "Attempt 1: delivered", "webhook-id: " + _id_in(visitor), "timer-attempt: 1")
    await expect(visitor.page.locator("#title .state")).to_have_text("delivered")


async def test_the_receiver_answers_as_asked(visitor: Visitor) -> None:
    await visitor.go("/echo")
    await visitor.fill(delay="0")
    await visitor.page.select_option("[name=status]", "503")
    await visitor.send("Make the timer")
    await visitor.sees("Attempt 1: rejected", "HTTP 503", "Next attempt 2")


async def test_with_every_answer_that_is_offered_the_call_is_shown(visitor: Visitor) -> None:
    await visitor.go("/echo")
    for status in await visitor.page.locator("[name=status] option").all_inner_texts():
        await visitor.go("/echo")
        await visitor.fill(delay="0")
        await visitor.page.select_option("[name=status]", status)
        await visitor.send("Make the timer")
        await visitor.sees(f"HTTP {status}", "webhook-id: " + _id_in(visitor))


async def test_no_answer_that_anybody_asks_for_is_an_error_of_ours(api: Api) -> None:
    """What goes without a body has none (RFC 9110, 15.3.5, 15.3.6 and 15.4.5); what is no status is none."""
    logged = len(api.service.log_text())
    asked = {"204": 204, "205": 205, "304": 304, "410": 410, "599": 599}
    asked |= dict.fromkeys(("100", "199", "600", "2000", "", "x", "٢٠٤", "2" * 5000), 200)
    for status, answered in asked.items():
        for method in ("POST", "GET", "HEAD"):
            answer = await api.client.request(method, "/console/echo/x", params={"status": status})
            assert answer.status_code == answered, status
            assert "connection" not in answer.headers
            is_empty = answered in (204, 205, 304) or method == "HEAD"
            assert answer.text.startswith("" if is_empty else f"{method} /console/echo/x")
            assert bool(answer.content) is not is_empty
    assert "Traceback" not in api.service.log_text()[logged:]


async def test_lists_are_searched(visitor: Visitor, api: Api) -> None:
    made = await api.create(hours=1, url="https://example.com", name="needle")
    await api.create(hours=1, url="https://example.com", name="hay")
    await visitor.go("/timers")
    await visitor.fill(find="needle")
    await visitor.send("Find")
    await expect(visitor.page.locator("table.list tbody tr")).to_have_count(1)
    await visitor.go("/timers")
    await visitor.fill(find=made["id"].upper())
    await visitor.send("Find")
    await visitor.sees("needle")
    assert _id_in(visitor) == made["id"]
    await visitor.go("/timers?status=scheduled")
    assert set(await visitor.page.locator("table.list .state").all_inner_texts()) == {"scheduled"}


async def test_long_lists_have_pages(visitor: Visitor, api: Api) -> None:
    await api.client.post("/timers/batch", json={"timers": [{"hours": 2, "url": "https://example.com"}] * 120})
    await visitor.go("/timers?status=scheduled")
    seen: set[str] = set()
    pages = 0
    while True:
        ids = [str(await link.get_attribute("href")) for link in await visitor.page.locator("a.id").all()]
        assert not seen & set(ids)
        seen |= set(ids)
        pages += 1
        following = visitor.page.get_by_role("link", name="Next page")
        if not await following.count():
            break
        async with visitor.page.expect_navigation():
            await following.click()
    assert len(seen) >= 120
    assert pages >= 3


async def test_collections_are_made_changed_paused_and_deleted(visitor: Visitor, api: Api) -> None:
    await visitor.go("/collections")
    await visitor.page.get_by_text("New collection").click()
    await visitor.fill(name="letters", waiting_max="10", egress_allow="10.0.0.0/8\n192.168.0.0/16", priority="7")
    await visitor.fill(retry='{"max_attempts": 2}')
    await visitor.send("Make the collection")
    await visitor.sees("Saved.", "Collection letters")
    made = (await api.client.get("/collections/letters")).json()
    assert (made["waiting_max"], made["egress_allow"]) == (10, ["10.0.0.0/8", "192.168.0.0/16"])
    assert (made["defaults"]["priority"], made["defaults"]["retry"]["max_attempts"]) == (7, 2)

    await visitor.fill(waiting_max="", timeout_seconds="3")
    await visitor.send("Save")
    changed = (await api.client.get("/collections/letters")).json()
    assert changed == {**made, "waiting_max": None, "defaults": {**made["defaults"], "timeout_seconds": 3.0}}

    await visitor.send("Pause")
    await visitor.sees("Paused", "its timers wait")
    await visitor.send("Resume")
    await visitor.sees("It goes on.")
    await visitor.page.get_by_text("Delete", exact=True).click()
    await visitor.send("Delete it")
    await visitor.sees("Deleted.")
    assert (await api.client.get("/collections/letters")).status_code == 404


async def test_a_collection_that_cannot_be_is_not_made(visitor: Visitor) -> None:
    await visitor.go("/collections")
    await visitor.page.get_by_text("New collection").click()
    await visitor.fill(name="no spaces", retention_days="-1")
    await visitor.send("Make the collection")
    await expect(visitor.page.locator("#problem")).to_be_visible()
    await visitor.check_access()
    visitor.complaints.clear()


async def test_routes_are_made_changed_signed_paused_and_deleted(visitor: Visitor, api: Api) -> None:
    await visitor.go("/routes")
    await visitor.page.get_by_text("New route").click()
    await visitor.fill(
        name="mail", url="https://example.com/mail", headers="X-A: b", calls_max="5", rate_per_second="2.5"
    )
    await visitor.page.locator("[name=append_id]").uncheck()
    await visitor.send("Make the route")
    await visitor.sees("Saved.", "Route mail")
    made = (await api.client.get("/routes/mail")).json()
    assert (made["url"], made["append_id"]) == ("https://example.com/mail", False)
    assert (made["calls_max"], made["rate_per_second"], made["headers"]) == (5, 2.5, {"X-A": "b"})

    await visitor.fill(calls_max="6")
    await visitor.send("Save")
    assert (await api.client.get("/routes/mail")).json() == {**made, "calls_max": 6}

    await visitor.send("New secret")
    await visitor.sees("shown this once", "whsec_")
    await visitor.check_access()
    await visitor.go("/routes/mail")
    assert "whsec_" not in await visitor.text()
    await visitor.sees("signed")
    await visitor.page.get_by_text("No secret").click()
    await visitor.send("Take the secrets away")
    assert not (await api.client.get("/routes/mail")).json()["has_secret"]

    await visitor.go("/routes")
    await visitor.send("Pause mail")
    await visitor.sees("paused")
    await visitor.go("/events")
    await visitor.sees("route.paused", "routes/mail")
    await visitor.go("/routes/mail")
    await visitor.page.get_by_text("Delete", exact=True).click()
    await visitor.send("Delete it")
    assert (await api.client.get("/routes/mail")).status_code == 404


async def test_controllers_are_those_at_work(visitor: Visitor, at_work: System) -> None:
    await visitor.go("/controllers")
    rows = visitor.page.locator("table.list tbody tr")
    await expect(rows).to_have_count(1)
    process = at_work.services[1].process
    assert process
    await expect(rows).to_contain_text(f":{process.pid}")


async def test_a_timer_is_moved_and_fired(visitor: Visitor, api: Api, at_work: System) -> None:
    made = await api.create(hours=1, url=at_work.receiver.url)
    await visitor.go(f"/timers/{made['id']}")
    await visitor.page.get_by_text("Reschedule", exact=True).first.click()
    await visitor.fill(delay="3h")
    await visitor.send("Reschedule")
    await visitor.sees("The timer has another time.", "Called in 2 h 59 m")
    await visitor.send("Fire now")
    await visitor.sees("The timer is due now.")
    await api.wait_for_status_of(made["id"], "delivered")
    await visitor.sees("Attempt 1: delivered")


async def test_a_timer_that_failed_is_replayed(visitor: Visitor, api: Api, at_work: System) -> None:
    made = await api.create(seconds=0, url=f"{at_work.receiver.url}/gone")
    await api.wait_for_status_of(made["id"], "failed")
    await visitor.go(f"/timers/{made['id']}")
    await visitor.send("Replay")
    await visitor.sees("Replayed.", "Attempt 2: rejected")


async def test_those_that_failed_are_replayed_some_and_all(visitor: Visitor, api: Api, at_work: System) -> None:
    url = f"{at_work.receiver.url}/gone"
    ids = await api.create_many(3, seconds=0, url=url, labels={"batch": "replayed"})
    for timer_id in ids:
        await api.wait_for_status_of(timer_id, "failed")
    await visitor.go("/ended?status=failed&selector=batch%3Dreplayed")
    await visitor.page.locator(f"input[value='{ids[0]}']").check()
    await visitor.send("Replay those chosen")
    await visitor.sees("Replayed. 1 changed.")
    await visitor.go(f"/timers/{ids[0]}")
    await visitor.sees("Attempt 2: rejected")
    await visitor.go("/ended?status=failed&selector=batch%3Dreplayed")
    await visitor.page.get_by_text("Replay all", exact=True).click()
    await visitor.send("Replay all of them")
    await visitor.sees("Replayed. 3 changed.")
    assert "batch%3Dreplayed" in visitor.page.url


async def test_schedules_are_looked_ahead_made_paused_and_deleted(visitor: Visitor, api: Api) -> None:
    await visitor.go("/schedules")
    await visitor.page.get_by_text("New schedule").click()
    await visitor.fill(name="reports", cron="0 9 * * 1-5", timezone="Europe/Berlin")
    await visitor.fill(timer='{"url": "https://example.com/reports"}')
    await visitor.send("See when it would run")
    await visitor.sees("It would run:")
    await expect(visitor.page.locator("#preview li")).to_have_count(10)
    assert (await api.client.get("/schedules/reports")).status_code == 404
    await visitor.send("Make the schedule")
    await visitor.sees("Saved.", "Schedule reports", "Next runs")
    made = (await api.client.get("/schedules/reports")).json()
    assert (made["cron"], made["timezone"]) == ("0 9 * * 1-5", "Europe/Berlin")
    await visitor.fill(cron="", every="15m")
    await visitor.send("Save")
    changed = (await api.client.get("/schedules/reports")).json()
    assert (changed["cron"], changed["every"]) == (None, "15m")
    await visitor.send("Pause")
    await visitor.sees("It would run")
    await visitor.send("Resume")
    await visitor.page.get_by_text("Delete", exact=True).click()
    await visitor.send("Delete it")
    assert (await api.client.get("/schedules/reports")).status_code == 404

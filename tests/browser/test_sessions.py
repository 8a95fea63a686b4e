"""Who gets in, for how long, to what; and what a form must bring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.api.keyed import BOOTSTRAP, bearing, make_key
from tests.browser.conftest import Opened
from tests.browser.visitor import Visitor
from tests.db.scratch import scratch_database
from tests.plans.conftest import upgraded
from tests.receiver import Arrival
from tests.system import Api, System, poll
from timer_api.console.session import COOKIE, SESSION_SECONDS, sealed
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def closed(server: EmbeddedServer) -> AsyncIterator[System]:
    """Two copies of an API that checks keys."""
    with scratch_database(server.url) as url:
        await upgraded(url)
        async with System(server, url) as system:
            for _ in range(2):
                await system.start_api(API_KEYS=BOOTSTRAP)
            first = system.apis[0]
            first.client.headers.update(bearing(BOOTSTRAP))
            await first.client.put("/collections/shop", json={})
            await first.create(hours=1, url="https://example.com", name="in the shop", collection="shop")
            await first.create(hours=1, url="https://example.com", name="elsewhere")
            yield system


async def _log_in(visitor: Visitor, key: str, path: str = "") -> None:
    await visitor.go(path)
    await visitor.page.get_by_label("API key").fill(key)
    await visitor.send("Log in")


@pytest_asyncio.fixture(loop_scope="package")
async def guest(opened: Opened, closed: System) -> Visitor:
    """Nobody yet."""
    return await opened(closed.apis[0].url)


@pytest_asyncio.fixture(loop_scope="package")
async def operator(guest: Visitor) -> Visitor:
    """May do everything."""
    await _log_in(guest, BOOTSTRAP)
    await guest.sees("Timers that are stored")
    return guest


async def _form_token(visitor: Visitor) -> str:
    return str(await visitor.page.locator("main [name=form_token]").first.get_attribute("value"))


async def test_a_key_opens_the_page_that_was_wanted(guest: Visitor) -> None:
    await guest.go("/timers?status=scheduled")
    assert "/login?next=" in guest.page.url
    await guest.check_access()
    await guest.page.get_by_label("API key").fill(BOOTSTRAP)
    await guest.send("Log in")
    assert guest.page.url.endswith("/console/timers?status=scheduled")
    await guest.sees("in the shop", "elsewhere")
    guest.check_quiet()


@pytest.mark.parametrize("key", ["", "x", "k" * 40, "tk_00000000_" + "x" * 43, "é", "k" * 9000])
async def test_a_wrong_key_opens_nothing(guest: Visitor, key: str) -> None:
    await guest.go()
    await guest.page.evaluate("document.querySelector('#f-key').required = false")
    await guest.page.get_by_label("API key").fill(key)
    await guest.send("Log in")
    await expect(guest.page.locator("#h-key")).to_contain_text(
        "unknown or revoked" if 0 < len(key) < 9000 else "Enter"
    )
    assert not await guest.page.context.cookies()
    await guest.check_access()
    await guest.go("/timers")
    assert "/login" in guest.page.url


async def test_nobody_is_led_elsewhere(guest: Visitor) -> None:
    for wanted in ("https://example.com", "//example.com/console", "/docs", "/console/../docs", "/consoles"):
        await guest.page.goto(f"{guest.url}/console/login?next={wanted}")
        await guest.page.get_by_label("API key").fill(BOOTSTRAP)
        await guest.send("Log in")
        assert guest.page.url.startswith(f"{guest.url}/console")
        await guest.page.context.clear_cookies()


async def test_the_cookie_is_for_this_page_alone(operator: Visitor) -> None:
    [cookie] = await operator.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    assert cookie["expires"] == -1
    assert BOOTSTRAP not in cookie["value"]


async def test_the_cookie_is_secure_where_the_page_is(closed: System) -> None:
    asked = {"origin": closed.apis[0].url, "x-forwarded-proto": "https"}
    answer = await closed.apis[0].client.post("/console/login", data={"key": BOOTSTRAP}, headers=asked)
    assert answer.status_code == 303
    assert "; Secure" in answer.headers["set-cookie"]
    closed.apis[0].client.cookies.clear()


async def test_every_copy_knows_the_session(operator: Visitor, closed: System) -> None:
    """A balancer may send each request elsewhere."""
    await operator.page.goto(f"{closed.apis[1].url}/console/timers")
    await operator.sees("in the shop")
    await operator.page.get_by_role("link", name="elsewhere").click()
    await operator.page.get_by_text("Cancel", exact=True).wait_for()


async def test_logging_out_ends_it(operator: Visitor) -> None:
    await operator.send("Log out", within="header")
    await operator.go("/timers")
    assert "/login" in operator.page.url


async def test_a_revoked_key_ends_its_sessions_everywhere(opened: Opened, closed: System) -> None:
    """Also of a page that is being watched, on another copy than the one that revoked it."""
    first, second = closed.apis
    made = await first.client.post("/api-keys", json={"name": "x", "scopes": ["timers:read"]})
    visitor = await opened(second.url)

    async def known() -> bool:
        answer = await second.client.get("/timers", headers=bearing(made.json()["key"]))
        return answer.status_code == 200

    await poll(known, 10, "the other copy to know the key")
    await _log_in(visitor, made.json()["key"], "/timers")
    await visitor.sees("in the shop")
    await first.client.delete(f"/api-keys/{made.json()['id']}")
    await visitor.page.wait_for_url("**/console/login*", timeout=20_000)


async def test_who_watches_without_a_key_is_sent_away_once_there_is_one(server: EmbeddedServer) -> None:
    """A stream of the overview, which reads by itself, that was opened while the API was open to all."""
    with scratch_database(server.url) as url:
        await upgraded(url)
        async with System(server, url) as system:
            api = await system.start_api()
            asked = {"accept": "text/event-stream"}
            async with api.client.stream("GET", "/console", headers=asked, timeout=20) as stream:
                lines = stream.aiter_lines()
                while await anext(lines) != "event: main":
                    pass
                await make_key(api.client, "admin", by=None)
                async with asyncio.timeout(15):
                    async for _ in lines:
                        pass
            again = await api.client.get("/console", headers=asked)
            assert again.status_code == 401


async def test_a_session_that_is_over_asks_for_the_key_again(guest: Visitor) -> None:
    over = sealed(BOOTSTRAP, time.time() - SESSION_SECONDS - 1)
    await guest.page.context.add_cookies([{"name": COOKIE, "value": over, "url": f"{guest.url}/console"}])
    await guest.go("/timers")
    assert "/login" in guest.page.url
    await guest.page.context.add_cookies(
        [{"name": COOKIE, "value": sealed(BOOTSTRAP, time.time()), "url": f"{guest.url}/console"}]
    )
    await guest.go("/timers")
    await guest.sees("in the shop")


async def test_a_form_of_a_session_that_is_over_does_nothing(operator: Visitor, closed: System) -> None:
    api = closed.apis[0]
    made = await api.create(hours=1, url="https://example.com")
    await operator.go(f"/timers/{made['id']}")
    await operator.page.get_by_text("Cancel", exact=True).click()
    await operator.page.context.clear_cookies()
    await operator.send("Cancel this timer")
    await operator.sees("the session is over")
    assert (await api.get(made["id"]))["status"] == "scheduled"


@pytest.mark.parametrize("token", ["", "x", "another session's"])
async def test_a_form_needs_the_token_of_its_session(
    opened: Opened, operator: Visitor, closed: System, token: str
) -> None:
    api = closed.apis[0]
    made = await api.create(hours=1, url="https://example.com")
    await operator.go(f"/timers/{made['id']}")
    if token.startswith("another"):
        other = await opened(api.url)
        await _log_in(other, BOOTSTRAP, f"/timers/{made['id']}")
        token = await _form_token(other)
        assert token != await _form_token(operator)
    await operator.page.evaluate(
        "token => document.querySelectorAll('[name=form_token]').forEach(field => field.value = token)", token
    )
    await operator.page.get_by_text("Cancel", exact=True).click()
    await operator.send("Cancel this timer")
    await operator.sees("The API key does not allow this", "another session")
    assert (await api.get(made["id"]))["status"] == "scheduled"


async def test_forms_of_other_sites_do_nothing(opened: Opened, operator: Visitor, closed: System) -> None:
    """From another port of the same machine, which is the same site to the browser: it sends the cookie."""
    api = closed.apis[0]
    made = await api.create(hours=1, url="https://example.com")
    await operator.go(f"/timers/{made['id']}")
    token = await _form_token(operator)
    await _send_from_elsewhere(operator, closed, f"{api.url}/console/timers/{made['id']}", token)
    await operator.sees("the form was not sent from a page of this console")
    assert (await api.get(made["id"]))["status"] == "scheduled"


async def test_forms_of_other_sites_do_nothing_in_an_open_console_either(
    visitor: Visitor, at_work: System
) -> None:
    """There, anybody may send forms: but from its own pages."""
    api = at_work.apis[0]
    made = await api.create(hours=1, url="https://example.com")
    await _send_from_elsewhere(visitor, at_work, f"{api.url}/console/timers/{made['id']}", "")
    await visitor.sees("the form was not sent from a page of this console")
    assert (await api.get(made["id"]))["status"] == "scheduled"
    visitor.complaints.clear()


async def _send_from_elsewhere(visitor: Visitor, system: System, action: str, token: str) -> None:
    page = (
        f'<form method="post" action="{action}"><input name="action" value="cancel">'
        f'<input name="form_token" value="{token}"><button>Win a prize</button></form>'
    ).encode()

    def answer(_: Arrival) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)

    usual, system.receiver.answer = system.receiver.answer, answer
    await visitor.page.goto(f"{system.receiver.url}/prize")
    await visitor.send("Win a prize", within="body")
    system.receiver.answer = usual


async def test_who_may_only_look_can_only_look(opened: Opened, closed: System) -> None:
    api = closed.apis[0]
    visitor = await opened(api.url)
    await _log_in(visitor, await make_key(api.client, "timers:read"), "/timers")
    await visitor.page.get_by_role("link", name="elsewhere").click()
    await visitor.sees("Its story")
    assert await visitor.page.get_by_role("button", name="Fire now").count() == 0
    await visitor.go("/collections")
    assert await visitor.page.get_by_role("button", name="Pause").count() == 0
    answer = await visitor.go("/new")
    assert answer.status == 403
    await visitor.sees("the key lacks the scope timers:write")
    # The menu leads to what there is for this key.
    assert await visitor.page.locator("header nav a[href='/console/new']").count() == 0


async def test_a_form_without_the_scope_is_refused(opened: Opened, closed: System) -> None:
    """Although it is in order."""
    api = closed.apis[0]
    made = await api.create(hours=1, url="https://example.com")
    visitor = await opened(api.url)
    await _log_in(visitor, await make_key(api.client, "timers:read"), "/ended")
    token = await _form_token(visitor)
    await visitor.page.evaluate(
        """([path, token]) => {
          const form = document.createElement("form");
          form.method = "post";
          form.action = path;
          for (const [name, value] of [["action", "cancel"], ["form_token", token]]) {
            const field = document.createElement("input");
            [field.name, field.value] = [name, value];
            form.append(field);
          }
          document.body.append(form);
          form.submit();
        }""",
        [f"/console/timers/{made['id']}", token],
    )
    await visitor.sees("the key lacks the scope timers:write")
    assert (await api.get(made["id"]))["status"] == "scheduled"


async def test_a_key_for_one_collection_sees_nothing_else(opened: Opened, closed: System) -> None:
    api = closed.apis[0]
    await api.client.put("/collections/secret-garden", json={})
    elsewhere = await api.create(hours=1, url="https://example.com", collection="secret-garden")
    key = await make_key(api.client, "timers:read", "timers:write", collections=["shop"])
    visitor = await opened(api.url)
    await _log_in(visitor, key)
    await visitor.sees("Waiting or firing")
    # One timer is in the shop.
    await expect(visitor.page.locator("#figure-living dd")).to_have_text("1")
    for hidden in ("#figure-due", "#figure-oldest", "#figure-firing", "#figure-next"):
        assert await visitor.page.locator(hidden).count() == 0
    columns = await visitor.page.locator("#samples").get_attribute("data-columns")
    assert columns
    assert "delivered" in columns
    for hidden in ("overdue", "in_hand", "late_seconds"):
        assert hidden not in columns
    for path in ("/timers", "/collections", "/new", "/ended", "/events"):
        await visitor.go(path)
        text = await visitor.page.content()
        assert "secret-garden" not in text, path
        assert "elsewhere" not in text, path
    for path in (f"/timers/{elsewhere['id']}", "/collections/secret-garden"):
        assert (await visitor.go(path)).status == 404
    await visitor.go("/timers")
    await visitor.sees("in the shop")


async def test_one_may_have_no_right_to_look(opened: Opened, closed: System) -> None:
    visitor = await opened(closed.apis[0].url)
    await _log_in(visitor, await make_key(closed.apis[0].client, "timers:write"))
    await visitor.sees("the key lacks the scope timers:read")
    answer = await visitor.go("/new")
    assert answer.status == 200


async def test_no_path_is_open_by_mistake(closed: System) -> None:
    """Without a session: the log-in, the files of its pages, and the receiver."""
    api: Api = closed.apis[0]
    for path in ("", "/", "/timers", "/nowhere", "/timers/x", "/login/x", "/filesystem", "/echoes"):
        answer = await api.client.get(f"/console{path}", headers={"authorization": ""})
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/console/login")
    for path in ("/login", "/files/main.js"):
        assert (await api.client.get(f"/console{path}")).status_code == 200
    for path in ("/files/../app.py", "/files/%2e%2e/app.py", "/files/nothing.js", "/files/"):
        assert (await api.client.get(f"/console{path}")).status_code in (303, 404), path
    assert (await api.client.put("/console/timers")).status_code == 405
    assert (await api.client.post("/console/login", json={})).status_code in (403, 415)

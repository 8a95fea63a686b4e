"""What is stored encrypted, and cannot be decrypted, is said where it would be shown."""

from __future__ import annotations

import base64

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opened
from tests.db.scratch import scratch_database
from tests.plans.conftest import upgraded
from tests.system import System
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="package")

KEY = f"k1:{base64.b64encode(b'1' * 32).decode()}"
WHY = "its content is encrypted with the key 'k1', which is not in TIMER_ENCRYPTION_KEYS"


async def test_what_cannot_be_decrypted_is_said(opened: Opened, server: EmbeddedServer) -> None:
    """By a copy of the API that lacks a key which another one has."""
    with scratch_database(server.url) as url:
        await upgraded(url)
        async with System(server, url) as system:
            having = await system.start_api(encryption_keys=KEY)
            made = await having.create(hours=1, url="https://example.com", name="sealed", meta="hush")
            route = {"url": "https://example.com", "headers": {"X-Secret": "hush"}}
            await having.client.put("/routes/sealed", json=route)
            schedule = {"every": "1h", "timer": {"url": "https://example.com", "meta": "hush"}}
            await having.client.put("/schedules/sealed", json=schedule)

            lacking = await system.start_api()
            visitor = await opened(lacking.url)
            for path, what in (
                (f"/timers/{made['id']}", "Headers, body and meta"),
                ("/routes/sealed", "Headers and secrets"),
                ("/schedules/sealed", "What its runs are like"),
            ):
                answer = await visitor.go(path)
                assert answer.status == 200, path
                notice = visitor.page.locator("#unreadable")
                await expect(notice).to_have_text(f"{what} cannot be read: {WHY}.")
                await visitor.check_access()
            for path in ("/timers", "/routes", "/schedules"):
                await visitor.go(path)
                await expect(visitor.page.locator("tbody tr")).to_contain_text("cannot be read")
            visitor.check_quiet()

            # What does not need the content can be done.
            await visitor.go(f"/timers/{made['id']}")
            await visitor.page.get_by_text("Cancel", exact=True).click()
            await visitor.send("Cancel this timer")
            await visitor.sees("it will not be called", WHY)

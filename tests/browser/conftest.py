"""One browser, and one system at work for the whole folder: a console that is open to all."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.visitor import Visitor
from tests.conftest import empty
from tests.one_engine import keep_one_engine
from tests.receiver import OK, Arrival
from tests.system import Api, System
from timer_db.embedded import EmbeddedServer

NO_BROWSER = "the console was NOT tested: there is no Chromium; install it (Debian: apt-get install chromium)"

Opened = Callable[..., Awaitable[Visitor]]


def chromium() -> str | None:
    """Where the browser is."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    keep_one_engine(config, items, folder)
    if chromium() is None:
        for item in items:
            if folder in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=NO_BROWSER))


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    async with async_playwright() as playwright:
        # Its sandbox needs rights that containers do not have; all it sees here is ours.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        opened = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def at_work(server: EmbeddedServer) -> AsyncIterator[System]:
    """An API, a controller and a receiver."""
    empty(server.url)
    async with System(server, server.url) as system:
        system.receiver.answer = _answer
        await system.start_api()
        await system.start_controller()
        yield system


HOSTILE = '<b class=hostile>&lt;</b><script>hacked = 1</script><img src=x onerror="hacked=1">\'"><!--'
"""Must be shown as it stands here, wherever it comes from."""


def _answer(arrival: Arrival) -> bytes:
    """By the path that is called."""
    if arrival.target.startswith("/gone"):
        return b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone"
    if arrival.target.startswith("/hostile"):
        text = HOSTILE.encode()
        return b"HTTP/1.1 410 %s\r\nContent-Length: %d\r\n\r\n%s" % (text, len(text), text)
    return OK


@pytest.fixture
def api(at_work: System) -> Api:
    """The API of that system."""
    return at_work.apis[0]


@pytest_asyncio.fixture(loop_scope="package")
async def opened(browser: Browser) -> AsyncIterator[Opened]:
    """Opens a page that knows nothing of others: (url, options of the browser's context)."""
    contexts = []

    async def open_page(url: str, **options: object) -> Visitor:
        context = await browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        return Visitor(await context.new_page(), url)

    yield open_page
    for context in contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="package")
async def visitor(opened: Opened, api: Api) -> AsyncIterator[Visitor]:
    """Somebody who looks at the open console; the browser must have nothing to complain about."""
    made = await opened(api.url)
    yield made
    made.check_quiet()

"""The console's pictures for the docs, taken of a running system in a browser: `make screenshots`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import async_playwright

from tests.browser.conftest import NO_BROWSER, chromium
from tests.browser.visitor import PHONE, Visitor
from tests.receiver import OK, Arrival
from tests.system import Api, System, free_port
from timer_db.embedded import EmbeddedServer, EngineKind, find_engine
from timer_db.engine import open_shards
from timer_db.migrate import upgrade

TARGET = Path(__file__).parents[2] / "docs/console"
DESKTOP = {"width": 1180, "height": 820}
WORK_SECONDS = 75
"""So long the system is at work before the first picture, so that charts have a past."""


class Picture(NamedTuple):
    """A page, and how it is looked at."""

    name: str
    path: str
    phone: bool = False


PICTURES = (
    Picture("overview", ""),
    Picture("overview-phone", "", phone=True),
    Picture("timers", "/timers?status=scheduled"),
    Picture("timer", "/timers/{timer_id}"),
    Picture("echo", "/echo"),
    Picture("route", "/routes/billing"),
)


async def main() -> None:
    """Start a system, let it work, look at each page."""
    if chromium() is None:
        sys.exit(NO_BROWSER)
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(find_engine(EngineKind.mysql), Path(folder) / "db", port=free_port())
        server.start()
        try:
            shards = open_shards([server.url])
            await upgrade(shards.home.engine)
            await shards.close()
            async with System(server, server.url) as system:
                await _take(system)
        finally:
            server.stop()


async def _take(system: System) -> None:
    system.receiver.answer = _answer
    api = await system.start_api()
    for _ in range(2):
        await system.start_controller()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        watching = Visitor(await browser.new_page(), api.url)
        # Charts have a past only of the time in which somebody looked.
        await watching.go()
        timer_id = await _work(api, system.receiver.url)
        TARGET.mkdir(exist_ok=True)
        for picture in PICTURES:
            context = await browser.new_context(
                viewport=PHONE if picture.phone else DESKTOP,  # type: ignore[arg-type]
                device_scale_factor=1.25,
            )
            visitor = Visitor(await context.new_page(), api.url)
            await visitor.go(picture.path.format(timer_id=timer_id))
            await visitor.page.wait_for_timeout(1500)  # two renewals
            await visitor.page.screenshot(path=TARGET / f"{picture.name}.png")
            visitor.check_quiet()
            await context.close()
        await browser.close()


async def _work(api: Api, receiver_url: str) -> str:
    """What a small shop would ask for; gives the id of a timer with a story."""
    await api.client.put("/collections/shop", json={"waiting_max": 100_000, "defaults": {"priority": 3}})
    await api.client.put(
        "/routes/billing", json={"url": f"{receiver_url}/billing", "rate_per_second": 50, "calls_max": 8}
    )
    report: dict[str, Any] = {"url": f"{receiver_url}/report", "labels": {"team": "finance"}}
    nightly = {"cron": "30 2 * * 1-5", "timezone": "Europe/Berlin", "timer": report}
    await api.client.put("/schedules/nightly-report", json=nightly)
    retry = {"max_attempts": 4, "initial_seconds": 4, "factor": 2}
    story = await api.create(
        seconds=1, url=f"{receiver_url}/flaky", name="invoice-4711", collection="shop", meta={"order": 4711},
        labels={"env": "prod", "kind": "invoice"}, retry=retry,
    )  # fmt: skip
    for day in range(1, 25):
        await api.create(
            hours=day * 7, url=f"{receiver_url}/reminder", name=f"reminder-{day}", collection="shop",
            labels={"env": "prod", "kind": "reminder"}, meta={"customer": 1000 + day},
        )  # fmt: skip
    for second in range(WORK_SECONDS):
        batch = [
            {"seconds": 1 + number % 3, "url": f"{receiver_url}/order", "labels": {"env": "prod"}}
            for number in range(30 + 20 * (second // 20 % 2))
        ]
        batch.append({"seconds": 2, "route": "billing", "labels": {"kind": "invoice"}})
        if second % 9 == 0:
            batch.append({"seconds": 1, "url": f"{receiver_url}/gone", "name": f"survey-{second}"})
        await api.client.post("/timers/batch", json={"timers": batch})
        await asyncio.sleep(1)  # it is a load of so many a second
    return str(story["id"])


def _answer(arrival: Arrival) -> bytes:
    if arrival.target.startswith("/gone"):
        return b"HTTP/1.1 410 Gone\r\nContent-Length: 21\r\n\r\nthis survey has ended"
    if arrival.target.startswith("/flaky") and int(arrival.headers["timer-attempt"]) < 3:
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 20\r\n\r\ndeploying, come back"
    return OK


if __name__ == "__main__":
    asyncio.run(main())

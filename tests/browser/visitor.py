"""Somebody at a browser: goes to pages of the console, and notes whatever the browser complains about."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Dialog, Error, Page, Response, ViewportSize, expect

PHONE: ViewportSize = {"width": 390, "height": 844}


class Visitor:
    """One page of a browser."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        page.set_default_timeout(10_000)
        page.on("console", self._note_message)
        page.on("pageerror", self._note_error)
        page.on("dialog", self._note_dialog)
        page.on("request", lambda request: self._note_request(request.url))

    async def go(self, path: str = "") -> Response:
        """To a page of the console; gives its answer."""
        answer = await self.page.goto(f"{self.url}/console{path}")
        assert answer
        return answer

    async def send(self, button: str, within: str = "main") -> None:
        """Press a button that sends a form, and wait for what comes of it."""
        async with self.page.expect_navigation():
            await self.page.locator(within).get_by_role("button", name=button, exact=True).click()

    async def fill(self, **fields: str) -> None:
        """Fill in fields by their names."""
        for name, value in fields.items():
            await self.page.locator(f"main [name={name}]:visible").first.fill(value)

    async def text(self) -> str:
        """What the page says."""
        return await self.page.locator("main").inner_text()

    async def sees(self, *words: str) -> None:
        """Until the page says all of it."""
        for each in words:
            await expect(self.page.locator("main")).to_contain_text(each, timeout=15_000)

    async def check_access(self, *rules: str) -> None:
        """Whether everybody can use this page, as far as a program can tell (axe-core): all rules, or some."""
        only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
        results = await Axe().run(self.page, options={"resultTypes": ["violations"], **only})
        found: list[dict[str, Any]] = results.response["violations"]
        told = [f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}" for each in found]
        assert not told, f"{self.page.url}\n" + "\n".join(told)

    async def check_width(self) -> None:
        """Nothing stands out at the side."""
        wide = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{self.page.url} is {wide} pixels wider than the screen"

    def check_quiet(self) -> None:
        """The browser complained about nothing."""
        assert not self.complaints

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location})")

    def _note_error(self, error: Error) -> None:
        self.complaints.append(str(error))

    async def _note_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _note_request(self, url: str) -> None:
        if not url.startswith(self.url):
            self.complaints.append(f"asked elsewhere: {url}")

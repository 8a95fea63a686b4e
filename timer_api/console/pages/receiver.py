"""The built-in receiver's page: have yourself called, and see the call arrive."""

from __future__ import annotations

from timer_api.console import echo
from timer_api.console.client import Document, Refused
from timer_api.console.pages.reading import faults
from timer_api.console.pages.when import due_form
from timer_api.console.visit import PREFIX, Answer, Moved, Page, Visit

_STATUSES = ("200", "202", "410", "503")
"""None of those that go without a body: nobody would see the call."""


async def show(visit: Visit) -> Answer:
    """The form."""
    return _page(visit, {"delay": "5", "status": "200", "base": base_url(visit)}, None)


async def act(visit: Visit) -> Answer:
    """Make a timer that calls the receiver; its page shows the call."""
    given = {name: visit.field(name) for name in ("delay", "status", "base")}
    query = "" if given["status"] in ("", "200") else f"?status={given['status']}"
    url = f"{given['base'].rstrip('/')}{PREFIX}{echo.PATH.rstrip('/')}{query}"
    document: Document = {**due_form(visit), "url": url, "labels": {"made-by": "console"}}
    try:
        made = await visit.api.post("timers", document=document)
    except Refused as refused:
        if refused.status in (401, 503):
            raise
        return _page(visit, given, refused)
    return Moved(f"/timers/{made['id']}", "made")


def base_url(visit: Visit) -> str:
    """How controllers reach this API: as the setting says, or as the browser does."""
    return visit.service.settings.api_url or str(visit.request.base_url).rstrip("/")


def _page(visit: Visit, given: Document, refused: Refused | None) -> Page:
    problem = refused.problem if refused else None
    found = faults(problem)
    return Page(
        "echo.html",
        {"given": given, "statuses": _STATUSES, "problem": problem, "faults": found},
        status=refused.status if refused else 200,
    )

"""Who is at work, and what has happened."""

from __future__ import annotations

from timer_api.console.findings import of_controllers, of_servers
from timer_api.console.known import is_silent
from timer_api.console.pages.timers import pages
from timer_api.console.visit import Page, Visit

LIVE_SECONDS = 2.0
EVENTS_PAGE = 100


async def controllers(visit: Visit) -> Page:
    """Controllers that have joined and not left, on each server that answers."""
    now = await visit.pulse_of(visit.caller).look()
    rows = [
        (each.number, member, is_silent(member, each.seen.now_us))
        for each in now.told
        for member in each.seen.members
    ]
    found = [*of_servers(now), *(() if now.is_old else of_controllers(now))]
    return Page("controllers.html", {"now": now, "rows": rows, "findings": found}, live_seconds=LIVE_SECONDS)


async def events(visit: Visit) -> Page:
    """What was paused, resumed or disabled."""
    found = await visit.api.get("events", limit=EVENTS_PAGE, cursor=visit.query.get("cursor", ""))
    return Page(
        "events.html",
        {
            "events": found["events"],
            **pages(visit, {}, found["next_cursor"]),
            "now_us": visit.service.now_us(),
        },
        live_seconds=LIVE_SECONDS,
    )

"""Who is at work, and what has happened."""

from __future__ import annotations

from timer_api.console.pages.timers import pages
from timer_api.console.visit import Page, Visit

LIVE_SECONDS = 2.0
EVENTS_PAGE = 100


async def controllers(visit: Visit) -> Page:
    """Controllers that have joined and not left."""
    seen = await visit.pulse_of(visit.caller).look()
    return Page("controllers.html", {"members": seen.members, "now_us": seen.now_us}, live_seconds=LIVE_SECONDS)


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

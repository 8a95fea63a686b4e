"""Who is at work, and what has happened."""

from __future__ import annotations

from timer_api.console.visit import Page, Visit

LIVE_SECONDS = 2.0


async def controllers(visit: Visit) -> Page:
    """Controllers that have joined and not left."""
    seen = await visit.pulse_of(visit.caller).look()
    return Page("controllers.html", {"members": seen.members, "now_us": seen.now_us}, live_seconds=LIVE_SECONDS)

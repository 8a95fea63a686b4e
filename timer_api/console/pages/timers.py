"""Timers: the search, and what it finds, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

from timer_api.console.client import Document, Refused
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_db.domain.states import TimerState

LIVE_SECONDS = 2.0
PAGE = 50
FILTERS = ("status", "selector", "collection", "route", "schedule", "due_after", "due_before", "name")


async def show(visit: Visit) -> Answer:
    """A page of timers; an id leads to its timer."""
    wanted = visit.query.get("find", "").strip()
    if _is_id(wanted):
        return Moved(f"/timers/{wanted.lower()}")
    asked = {name: visit.query.get(name, "").strip() for name in FILTERS}
    if wanted:
        asked["name"] = wanted
    given = {name: value for name, value in asked.items() if value}
    problem: Document | None = None
    found: Document = {"timers": [], "next_cursor": None}
    try:
        found = await visit.api.get("timers", **given, limit=PAGE, cursor=visit.query.get("cursor", ""))
    except Refused as refused:
        if refused.status != 422:
            raise
        problem = refused.problem
    return Page(
        "timers.html",
        {
            "asked": asked,
            "states": list(TimerState),
            "timers": found["timers"],
            **pages(visit, given, found["next_cursor"]),
            "problem": problem,
            "now_us": visit.service.now_us(),
            **names(visit),
        },
        status=422 if problem else 200,
        live_seconds=None if problem else LIVE_SECONDS,
    )


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def pages(visit: Visit, given: Mapping[str, str], cursor: object) -> dict[str, str | None]:
    """Where the next page is, if there is one, and the first, if this is another."""
    return {
        "next": "?" + urlencode({**given, "cursor": cursor}) if cursor else None,
        "first": "?" + urlencode(given) if "cursor" in visit.query else None,
    }


def names(visit: Visit) -> dict[str, list[str]]:
    """What forms offer: the collections and routes that this key sees."""
    directory = visit.service.directory.current
    return {
        "collections": sorted(
            one.name
            for one in directory.collections.values()
            if not one.is_deleted and visit.caller.sees(one.name)
        ),
        "routes": sorted(route.name for route in directory.routes.values() if not route.is_deleted),
    }

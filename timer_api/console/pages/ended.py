"""Timers that failed, or of which nobody knows: to be looked at, and to be sent again, one or all of them."""

from __future__ import annotations

from timer_api.console.client import Document, Refused
from timer_api.console.pages.timers import names, pages
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_db.domain.states import TimerState

LIVE_SECONDS = 5.0
PAGE = 50
STATES = (TimerState.failed, TimerState.unknown)
_FILTERS = ("selector", "collection", "route", "schedule")
_CALLS_MAX = 20
"""Of 10,000 timers each: one press of a button replays no more."""


async def show(visit: Visit) -> Answer:
    """A page of them, newest first."""
    return await _page(visit, visit.query.get("status", ""), {n: visit.query.get(n, "").strip() for n in _FILTERS})


async def act(visit: Visit) -> Answer:
    """Replay those that were chosen, or all that the filter finds."""
    status = visit.field("status")
    filters = {name: visit.field(name) for name in _FILTERS}
    given = {name: value for name, value in filters.items() if value}
    try:
        if "all" in visit.form:
            matched, changed = await _replay_all(visit, {"status": _state(status), **given})
        else:
            ids = visit.form.get("id", [])
            answer = await visit.api.post("timers", "replay", document={"ids": ids}) if ids else {}
            matched, changed = answer.get("matched", 0), answer.get("changed", 0)
    except Refused as refused:
        return await _page(visit, status, filters, refused)
    figures = {"changed": changed, "refused": matched - changed}
    return Moved("/ended", "replayed", {"status": _state(status), **given, **figures})


async def _replay_all(visit: Visit, chosen: Document) -> tuple[int, int]:
    matched = changed = 0
    cursor: str | None = None
    for _ in range(_CALLS_MAX):
        answer = await visit.api.post(
            "timers", "replay", document={**chosen, **({"cursor": cursor} if cursor else {})}
        )
        matched, changed, cursor = matched + answer["matched"], changed + answer["changed"], answer["next_cursor"]
        if cursor is None:
            break
    return matched, changed


async def _page(visit: Visit, status: str, filters: dict[str, str], refused: Refused | None = None) -> Page:
    problem = refused.problem if refused else None
    given = {name: value for name, value in filters.items() if value}
    found: Document = {"timers": [], "next_cursor": None}
    try:
        cursor = visit.query.get("cursor", "")
        found = await visit.api.get("timers", status=_state(status), **given, limit=PAGE, cursor=cursor)
    except Refused as wrong:
        if wrong.status != 422:
            raise
        problem = problem or wrong.problem
    return Page(
        "ended.html",
        {
            "status": _state(status),
            "states": STATES,
            "filters": filters,
            "timers": found["timers"],
            **pages(visit, {"status": _state(status), **given}, found["next_cursor"]),
            "problem": problem,
            "now_us": visit.service.now_us(),
            **names(visit),
        },
        status=refused.status if refused else 422 if problem else 200,
        live_seconds=None if problem else LIVE_SECONDS,
    )


def _state(text: str) -> str:
    return text if text in STATES else STATES[0].value

"""Timers that failed, or of which nobody knows: to be looked at, and to be sent again, one or all of them."""

from __future__ import annotations

from dataclasses import dataclass

from timer_api.console.client import Document, Refused
from timer_api.console.pages.timers import names, pages
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_db.domain.states import TimerState

LIVE_SECONDS = 5.0
PAGE = 50
STATES = (TimerState.failed, TimerState.unknown)
_FILTERS = ("selector", "collection", "route", "schedule")
_CALLS_MAX = 20
_CALL_TIMERS = 10_000
"""One press of a button replays no more than so many times so many."""


@dataclass(slots=True)
class _Replayed:
    """What came of one press: also of one that was cut short."""

    matched: int = 0
    changed: int = 0
    cursor: str | None = None
    """Where the rest begins; None: there is none."""
    refused: Refused | None = None
    """Why it was cut short."""

    @property
    def figures(self) -> dict[str, object]:
        """For the sentence that says what was done."""
        more = {"rest": self.cursor} if self.cursor else {}
        return {"changed": self.changed, "refused": self.matched - self.changed, **more}


async def show(visit: Visit) -> Answer:
    """A page of them, newest first."""
    return await _page(visit, visit.query.get("status", ""), {n: visit.query.get(n, "").strip() for n in _FILTERS})


async def act(visit: Visit) -> Answer:
    """Replay those that were chosen, or all that the filter finds."""
    status = visit.field("status")
    filters = {name: visit.field(name) for name in _FILTERS}
    given = {name: value for name, value in filters.items() if value}
    chosen = visit.form.get("id", [])
    if "all" in visit.form:
        done = await _replay_all(visit, {"status": _state(status), **given}, visit.field("rest") or None)
    else:
        done = await _replay(visit, {"ids": chosen}) if chosen else _Replayed()
    if done.refused:
        return await _page(visit, status, filters, done)
    return Moved("/ended", "replayed", {"status": _state(status), **given, **done.figures})


async def _replay(visit: Visit, document: Document) -> _Replayed:
    try:
        answer = await visit.api.post("timers", "replay", document=document)
    except Refused as refused:
        return _Replayed(cursor=document.get("cursor"), refused=refused)
    return _Replayed(answer["matched"], answer["changed"], answer["next_cursor"])


async def _replay_all(visit: Visit, chosen: Document, rest: str | None) -> _Replayed:
    """Those that a filter finds, from where an earlier press stopped."""
    done = _Replayed(cursor=rest)
    for _ in range(_CALLS_MAX):
        cursor = {"cursor": done.cursor} if done.cursor else {}
        more = await _replay(visit, {**chosen, "limit": _CALL_TIMERS, **cursor})
        done = _Replayed(done.matched + more.matched, done.changed + more.changed, more.cursor, more.refused)
        if more.refused or more.cursor is None:
            break
    return done


async def _page(visit: Visit, status: str, filters: dict[str, str], done: _Replayed | None = None) -> Page:
    refused = done.refused if done else None
    problem = refused.problem if refused else None
    has_replayed = done is not None and done.changed > 0
    given = {name: value for name, value in filters.items() if value}
    found: Document = {"timers": [], "next_cursor": None}
    try:
        cursor = visit.query.get("cursor", "")
        found = await visit.api.get("timers", status=_state(status), **given, limit=PAGE, cursor=cursor)
    except Refused as wrong:
        # What was done must be said, also when nothing can be listed beside it.
        if wrong.status != 422 and not has_replayed:
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
            "replayed": done.figures if done and has_replayed else None,
            "rest": (done.cursor if done else visit.query.get("rest")) or "",
            "problem": problem,
            # Something was read or replayed, so the clock was looked at.
            "now_us": visit.service.clock.latest_us(),
            **names(visit),
        },
        status=refused.status if refused else 422 if problem else 200,
        live_seconds=None if problem else LIVE_SECONDS,
    )


def _state(text: str) -> str:
    return text if text in STATES else STATES[0].value

"""One timer: its whole story, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from timer_api.console.client import Document, Refused
from timer_api.console.held import holder
from timer_api.console.pages.when import due_form
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_api.console.words import time_us
from timer_api.errors import Kind, Problem
from timer_api.reading import of_one
from timer_db.domain.representation import represent
from timer_db.domain.timer import Timer
from timer_db.operations.inspect import get_timer
from timer_db.operations.overview import where_is

LIVE_SECONDS = 1.0
_LATER_SECONDS = 30.0
_DONE = {"cancel": "cancelled", "fire": "fired", "replay": "replayed", "reschedule": "rescheduled"}


async def show(visit: Visit) -> Answer:
    """The story as it stands."""
    return await _page(visit)


async def act(visit: Visit) -> Answer:
    """Cancel, fire, replay or reschedule it. What the API refuses is shown above the story."""
    timer_id, action = visit.place["timer_id"], visit.field("action")
    try:
        match action:
            case "cancel":
                await visit.api.delete("timers", timer_id)
            case "fire" | "replay":
                await visit.api.post("timers", timer_id, action)
            case "reschedule":
                await visit.api.patch("timers", timer_id, document=due_form(visit))
            case _:
                raise Problem(Kind.bad_request, "the form does not say what is to be done")
    except Refused as refused:
        return await _page(visit, refused)
    return Moved(f"/timers/{timer_id}", _DONE[action])


async def _page(visit: Visit, refused: Refused | None = None) -> Page:
    timer_id = visit.place["timer_id"]
    timer = await _timer(visit, timer_id)
    attempts = (await visit.api.get("timers", timer_id, "attempts"))["attempts"]
    now_us = visit.service.now_us()
    return Page(
        "timer.html",
        {
            "timer": timer,
            "attempts": _with_lateness(timer, attempts),
            "story": await _whereabouts(visit, timer, now_us),
            "facts": _facts(timer),
            "now_us": now_us,
            "problem": refused.problem if refused else None,
        },
        status=refused.status if refused else 200,
        live_seconds=LIVE_SECONDS,
    )


async def _timer(visit: Visit, timer_id: str) -> Document:
    """As the API shows it. One whose content cannot be decrypted it refuses to those who may see it: they are
    shown the rest, and why."""
    try:
        return await visit.api.get("timers", timer_id)
    except Refused as refused:
        if refused.problem["type"] != Kind.content_unreadable.type:
            raise
    stored = await _stored(visit, timer_id)
    directory = await visit.service.directory.covering([stored.owner])
    return represent(stored, visit.service.now_us(), directory)


async def _stored(visit: Visit, timer_id: str) -> Timer:
    shards, wanted = visit.service.shards, UUID(timer_id)
    return await of_one(visit.service, shards.holding(wanted), lambda: get_timer(shards, wanted))


async def _whereabouts(visit: Visit, timer: Mapping[str, Any], now_us: int) -> dict[str, Any]:
    """Where a timer is that neither waits for its time nor has ended."""
    is_overdue = timer["status"] == "scheduled" and time_us(timer["next_attempt_at"]) < now_us
    if timer["status"] != "firing" and not is_overdue:
        return {"controller": None, "claimed_at_us": None, "holder": None, "is_overdue": False}
    # The API has shown it to this caller, so it may be looked at.
    stored = await _stored(visit, timer["id"])
    shards = visit.service.shards
    found = await of_one(visit.service, shards.holding(stored.id), lambda: where_is(shards, stored))
    return {
        "controller": found.controller,
        "claimed_at_us": found.claimed_at_us,
        "holder": found.held and holder(found.held, visit.service.directory.current),
        "is_overdue": is_overdue,
    }


def _with_lateness(timer: Document, attempts: list[Document]) -> list[Document]:
    """The first attempt also with how late it began; when later ones were to begin is not kept."""
    return [
        {**attempt, "late_ms": _late_ms(timer, attempt) if number == 0 else None}
        for number, attempt in enumerate(attempts)
    ]


def _late_ms(timer: Document, attempt: Document) -> float:
    return max(0.0, (time_us(attempt["started_at"]) - time_us(timer["due_at"])) / 1000)


def _facts(timer: Document) -> dict[str, str]:
    """What was asked for, as text."""
    found = {
        "headers": "\n".join(f"{name}: {value}" for name, value in timer["headers"].items()),
        "body": "" if timer["body"] is None else _json(timer["body"]),
        "meta": "" if timer["meta"] is None else _json(timer["meta"]),
        "retry": "" if timer["retry"] is None else _json(timer["retry"]),
    }
    if "body_base64" in timer:
        found["body"] = timer["body_base64"]
    return found


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()

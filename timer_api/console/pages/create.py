"""The form that makes a timer."""

from __future__ import annotations

import base64
import secrets

from timer_api.console.client import Document, Refused
from timer_api.console.pages.reading import Reader, faults, fraction, json_of, pairs, whole
from timer_api.console.pages.timers import names
from timer_api.console.pages.when import due_form
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_api.errors import Problem

_FIELDS = (
    *("delay", "due_at", "timezone", "url", "route", "collection", "name", "method", "headers", "body"),
    *("body_is_text", "append_id", "meta", "labels", "priority", "max_attempts", "timeout_seconds", "on_unknown"),
    *("on_failure_url", "once"),
)
_PLACES = {"retry.max_attempts": "max_attempts", "body_base64": "body"}


async def show(visit: Visit) -> Answer:
    """The empty form, or with what the address says."""
    given = {name: visit.query.get(name, "") for name in _FIELDS}
    return _page(visit, {**given, "delay": given["delay"] or "1m", "append_id": "on"}, None)


async def act(visit: Visit) -> Answer:
    """Make it; the API says what is wrong with it."""
    given = {name: visit.field(name) for name in _FIELDS}
    try:
        document = _asked_for(visit)
        # Sent twice by a double click, it is made once.
        headers = {"Idempotency-Key": given["once"]} if given["once"] else {}
        made = await visit.api.post("timers", document=document, headers=headers)
    except Problem as problem:
        return _page(visit, given, Refused.by(problem))
    except Refused as refused:
        if refused.status in (401, 503):
            raise
        return _page(visit, given, refused)
    return Moved(f"/timers/{made['id']}", "made")


def _page(visit: Visit, given: Document, refused: Refused | None) -> Page:
    problem = refused.problem if refused else None
    # Once it is said what is wrong, another try is another timer.
    given = {**given, "once": secrets.token_urlsafe(16)}
    return Page(
        "create.html",
        {"given": given, "problem": problem, "faults": faults(problem, _PLACES), **names(visit)},
        status=refused.status if refused else 200,
    )


def _asked_for(visit: Visit) -> Document:
    """The form as the API takes it. Raises Problem for a field that is no JSON, no number or no list."""
    form = Reader(visit, due_form(visit))
    for name in ("route" if visit.field("route") else "url", "name", "method", "on_unknown", "on_failure_url"):
        form.put(name)
    if visit.field("collection") != "default":
        form.put("collection")
    if not visit.field("append_id"):
        form.document["append_id"] = False
    form.put("headers", lambda text: pairs(text, ":"))
    form.put("labels", lambda text: pairs(text, "="))
    if visit.field("body_is_text"):
        form.put("body", lambda text: base64.b64encode(text.encode()).decode(), to="body_base64")
    else:
        form.put("body", json_of)
    form.put("meta", json_of)
    form.put("priority", whole)
    form.put("timeout_seconds", fraction)
    form.put("max_attempts", whole, into="retry")
    return form.done()

"""The form that makes a timer."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any

from timer_api import json_value
from timer_api.console.client import Document, Refused
from timer_api.console.pages.timers import names
from timer_api.console.pages.when import due_form
from timer_api.console.visit import Answer, Moved, Page, Visit
from timer_api.errors import FieldError, Problem, invalid

_FIELDS = (
    *("delay", "due_at", "timezone", "target", "url", "route", "collection", "name", "method", "headers", "body"),
    *("body_is_text", "append_id", "meta", "labels", "priority", "max_attempts", "timeout_seconds", "on_unknown"),
    *("on_failure_url", "once"),
)


async def show(visit: Visit) -> Answer:
    """The empty form, or with what the address says."""
    given = {name: visit.query.get(name, "") for name in _FIELDS}
    return await _page(visit, {**given, "delay": given["delay"] or "1m", "append_id": "on"}, None)


async def act(visit: Visit) -> Answer:
    """Make it; the API says what is wrong with it."""
    given = {name: visit.field(name) for name in _FIELDS}
    try:
        document = asked_for(visit)
        # Sent twice by a double click, it is made once.
        headers = {"Idempotency-Key": given["once"]} if given["once"] else {}
        made = await visit.api.post("timers", document=document, headers=headers)
    except Problem as problem:
        return await _page(visit, given, Refused(problem.kind.status, problem.document("")))
    except Refused as refused:
        if refused.status in (401, 503):
            raise
        return await _page(visit, given, refused)
    return Moved(f"/timers/{made['id']}", "made")


async def _page(visit: Visit, given: Document, refused: Refused | None) -> Page:
    problem = refused.problem if refused else None
    # With what is wrong named, another try is another timer.
    once = secrets.token_urlsafe(16)
    return Page(
        "create.html",
        {"given": {**given, "once": once}, "problem": problem, "faults": faults(problem), **await names(visit)},
        status=refused.status if refused else 200,
    )


def faults(problem: Document | None) -> dict[str, str]:
    """What is wrong, by the form's field: `labels.env` is a fault of `labels`."""
    found: dict[str, str] = {}
    for fault in (problem or {}).get("errors", ()):
        name = {"retry.max_attempts": "max_attempts", "body_base64": "body"}.get(
            fault["field"], fault["field"].partition(".")[0]
        )
        found.setdefault(name, fault["message"])
    return found


def asked_for(visit: Visit) -> Document:
    """The form as the API takes it. Raises Problem for a field that is no JSON, no number or no list."""
    document: Document = due_form(visit)
    wrong: list[FieldError] = []

    def put(name: str, read: Callable[[str], Any], *, into: Document = document, to: str = "") -> None:
        text = visit.field(name)
        if not text:
            return
        try:
            into[to or name] = read(text)
        except Problem as problem:
            wrong.append(FieldError(name, problem.errors[0].message if problem.errors else problem.detail))
        except ValueError as error:
            wrong.append(FieldError(name, str(error)))

    for name in ("route" if visit.field("route") else "url", "name", "method", "on_unknown", "on_failure_url"):
        put(name, str)
    if visit.field("collection") not in ("", "default"):
        put("collection", str)
    if not visit.field("append_id"):
        document["append_id"] = False
    put("headers", lambda text: pairs(text, ":"))
    put("labels", lambda text: pairs(text, "="))
    if visit.field("body_is_text"):
        put("body", lambda text: base64.b64encode(text.encode()).decode(), to="body_base64")
    else:
        put("body", json_of)
    put("meta", json_of)
    put("priority", whole)
    put("timeout_seconds", fraction)
    retry: Document = {}
    put("max_attempts", whole, into=retry)
    if retry:
        document["retry"] = retry
    if wrong:
        raise invalid(wrong)
    return document


def pairs(text: str, between: str) -> dict[str, str]:
    """One pair a line. ValueError for a line that is none."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, mark, value = line.partition(between)
        if not mark:
            raise ValueError(f"each line needs a {between!r} between name and value")
        found[name.strip()] = value.strip()
    return found


def json_of(text: str) -> Any:
    """Any JSON. Raises Problem."""
    value, is_suspect = json_value.parse(text.encode())
    if is_suspect and (found := json_value.flaws(value)):
        raise invalid(found)
    return value


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def fraction(text: str) -> float:
    """A number."""
    try:
        return float(json.loads(text))
    except (TypeError, ValueError):
        raise ValueError("it must be a number") from None

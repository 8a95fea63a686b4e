"""Rules between the fields of some calls, which the document tells in words: what they refuse is left out where
schemathesis takes it for valid."""

from __future__ import annotations

from typing import Any

_DURATIONS = frozenset({"hours", "minutes", "seconds"})
_WHO_IS_NOT_THERE = frozenset({"route", "schedule"})
_BULK = frozenset({"/timers/cancel", "/timers/replay", "/timers/reschedule"})


def is_refused(method: str, path: str, query: dict[str, Any], body: Any) -> bool:
    """Whether the API refuses such a call, by a rule that JSON Schema does not have."""
    fields = body if isinstance(body, dict) else {}
    if path == "/timers" and method == "GET":
        # A cursor goes with the filters that it came from.
        return bool(_WHO_IS_NOT_THERE & query.keys()) or ("cursor" in query and len(query) > 1)
    if path == "/timers/{timer_id}" and method == "PATCH":
        return not fields or _is_due_unclear(fields) or {"body", "body_base64"} <= fields.keys()
    if path in _BULK:
        return _is_bulk_refused(path, fields)
    return False


def _is_bulk_refused(path: str, fields: dict[str, Any]) -> bool:
    forms = _forms(fields) + ("shift" in fields)
    names = fields.keys() - {"hours", "minutes", "seconds", "delay", "shift"}
    # By ids, and by nothing else: filters name what is not there.
    return names != {"ids"} or forms != (path == "/timers/reschedule")


def _is_due_unclear(fields: dict[str, Any]) -> bool:
    return _forms(fields) > 1 or bool({"due_at", "timezone"} & fields.keys())


def _forms(fields: dict[str, Any]) -> int:
    return bool(_DURATIONS & fields.keys()) + ("delay" in fields) + ("due_at" in fields)

"""The fields of forms that say when."""

from __future__ import annotations

from timer_api.console.client import Document
from timer_api.console.visit import Visit


def due_form(visit: Visit) -> Document:
    """`due_at` with its time zone when a time was filled in, else `delay`; numbers are seconds."""
    if due_at := visit.field("due_at"):
        timezone = visit.field("timezone")
        return {"due_at": due_at, "timezone": timezone} if timezone else {"due_at": due_at}
    delay = visit.field("delay")
    if not delay:
        return {}
    return {"delay": float(delay) if delay.replace(".", "", 1).isdecimal() else delay}

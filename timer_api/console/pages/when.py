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
    return {"delay": duration(delay)} if delay else {}


def duration(text: str) -> float | str:
    """A number of seconds, or the text that the API reads."""
    return float(text) if text.isascii() and text.replace(".", "", 1).isdecimal() else text

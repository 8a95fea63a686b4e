"""`events`: what operators should know of."""

from __future__ import annotations

from timer_db.domain.event import EventKind
from timer_db.statements.literals import NOW_US, of_text

DETAIL_MAX = 1000


def add(kind: EventKind, subject: str, detail: str) -> str:
    """It happens now."""
    return (
        "INSERT INTO events (at_us, kind, subject, detail)"
        f" VALUES ({NOW_US}, '{kind}', {of_text(subject)}, {of_text(detail[:DETAIL_MAX])})"
    )


def page(kind: EventKind | None, before: int | None, limit: int) -> str:
    """Newest first: (id, when, kind, subject, detail)."""
    bounds = [f"kind = '{kind}'"] if kind else []
    bounds += [f"id < {before}"] if before is not None else []
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    return f"SELECT id, at_us, kind, subject, detail FROM events{where} ORDER BY id DESC LIMIT {limit}"


def forget(until_us: int, limit: int) -> str:
    """Those before that time, the oldest first."""
    return f"DELETE FROM events WHERE at_us < {until_us} ORDER BY id LIMIT {limit}"

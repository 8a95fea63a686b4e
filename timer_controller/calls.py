"""The call that a timer makes: its URL, headers and body."""

from __future__ import annotations

import orjson

from timer_controller.sender.protocol import Call
from timer_controller.version import USER_AGENT
from timer_db.domain.claim import Claim
from timer_db.domain.representation import represent, rfc3339
from timer_db.domain.timer import NewTimer

# Methods whose requests usually have content (RFC 9110); the others carry a body only when one was given.
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})


def call_of(claim: Claim, now_us: int) -> Call:
    """The request to make now, at `now_us` by the database's clock."""
    timer = claim.timer
    timer_id = str(timer.id)
    body, content_type = body_of(claim, now_us)
    headers = [
        ("User-Agent", USER_AGENT),
        ("webhook-id", timer_id),
        ("webhook-timestamp", str(now_us // 1_000_000)),
        ("Idempotency-Key", timer_id),
        ("Timer-Attempt", str(claim.attempt)),
        ("Timer-Due-At", rfc3339(timer.due_at_us)),
    ]
    if claim.possible_duplicate:
        headers.append(("Timer-Possible-Duplicate", "true"))
    if content_type:
        headers.append(("Content-Type", content_type))
    if timer.headers:
        chosen = {name.lower() for name in timer.headers}
        headers = [(name, value) for name, value in headers if name.lower() not in chosen]
        headers += timer.headers.items()
    return Call(timer.method, url_of(timer, timer_id), headers, body, timer.timeout_seconds)


def url_of(timer: NewTimer, timer_id: str) -> str:
    """`url/id`: one slash joins them, and a query string stays behind the id."""
    if not timer.append_id:
        return timer.url
    path, mark, query = timer.url.partition("?")
    return f"{path.removesuffix('/')}/{timer_id}{mark}{query}"


def body_of(claim: Claim, now_us: int) -> tuple[bytes, str | None]:
    """The body and its content type; without one of its own, the timer as `GET` shows it."""
    timer = claim.timer
    if timer.body is not None:
        return timer.body, "application/json" if timer.body_is_json else "application/octet-stream"
    if timer.method not in _WITH_CONTENT:
        return b"", None
    return orjson.dumps(represent(timer, now_us)), "application/json"

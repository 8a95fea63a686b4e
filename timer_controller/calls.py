"""The call that a timer makes: its URL, headers and body."""

from __future__ import annotations

import orjson

from timer_controller.sender.protocol import Call
from timer_controller.version import USER_AGENT
from timer_db.domain.claim import Claim
from timer_db.domain.ids import bytes_to_text
from timer_db.domain.representation import represent, rfc3339
from timer_db.domain.timer import NewTimer

# Methods whose requests usually have content (RFC 9110); the others carry a body only when one was given.
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_JSON, _BYTES = "application/json", "application/octet-stream"


def call_of(claim: Claim, now_us: int) -> Call:
    """The request to make now, at `now_us` by the database's clock."""
    timer = claim.timer
    timer_id = bytes_to_text(claim.entry.due_key[8:])
    body, content_type = body_of(claim, now_us)
    lines = (
        f"User-Agent: {USER_AGENT}\r\nwebhook-id: {timer_id}\r\nwebhook-timestamp: {now_us // 1_000_000}\r\n"
        f"Idempotency-Key: {timer_id}\r\nTimer-Attempt: {claim.attempt}\r\n"
        f"Timer-Due-At: {rfc3339(timer.due_at_us)}\r\n"
    )
    if claim.possible_duplicate:
        lines += "Timer-Possible-Duplicate: true\r\n"
    if content_type:
        lines += f"Content-Type: {content_type}\r\n"
    call = Call(timer.method, url_of(timer, timer_id), (), body, timer.timeout_seconds, lines)
    return _with_own_headers(call, timer.headers) if timer.headers else call


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
        return timer.body, _JSON if timer.body_is_json else _BYTES
    if timer.method not in _WITH_CONTENT:
        return b"", None
    return orjson.dumps(represent(timer, now_us)), _JSON


def _with_own_headers(call: Call, own: dict[str, str]) -> Call:
    """The owner's headers stand in the place of ours with the same name."""
    chosen = {name.lower() for name in own}
    kept = [line for line in call.lines.split("\r\n")[:-1] if line.partition(":")[0].lower() not in chosen]
    call.lines = "".join([f"{line}\r\n" for line in kept])
    call.headers = list(own.items())
    return call

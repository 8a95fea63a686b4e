"""The call that a timer makes: its URL, headers and body."""

from __future__ import annotations

from timer_controller.sender.protocol import Call
from timer_controller.version import USER_AGENT
from timer_db.domain.claim import Claim
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.representation import represent_firing, rfc3339

# Methods whose requests usually have content (RFC 9110); the others carry a body only when one was given.
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_JSON, _BYTES = "Content-Type: application/json\r\n", "Content-Type: application/octet-stream\r\n"


def call_of(claim: Claim, now_us: int) -> Call:
    """The request to make now, at `now_us` by the database's clock."""
    timer = claim.timer
    timer_id = timer.id_text
    due_at = rfc3339(timer.due_at_us)
    body, type_line = body_of(timer, due_at)
    duplicate_line = "Timer-Possible-Duplicate: true\r\n" if claim.possible_duplicate else ""
    lines = (
        f"User-Agent: {USER_AGENT}\r\nwebhook-id: {timer_id}\r\nwebhook-timestamp: {now_us // 1_000_000}\r\n"
        f"Idempotency-Key: {timer_id}\r\nTimer-Attempt: {claim.attempt}\r\n"
        f"Timer-Due-At: {due_at}\r\n{duplicate_line}{type_line}"
    )
    call = Call(timer.method, url_of(timer), (), body, timer.timeout_seconds, lines)
    return _with_own_headers(call, timer.headers) if timer.headers_json else call


def url_of(timer: ClaimedTimer) -> str:
    """`url/id`: one slash joins them, and a query string stays behind the id."""
    url = timer.url
    if not timer.append_id:
        return url
    if "?" not in url:
        return f"{url}{timer.id_text}" if url[-1] == "/" else f"{url}/{timer.id_text}"
    path, _, query = url.partition("?")
    return f"{path.removesuffix('/')}/{timer.id_text}?{query}"


def body_of(timer: ClaimedTimer, due_at: str) -> tuple[bytes, str]:
    """The body and its line among the headers; without one of its own, the timer as `GET` shows it. `due_at` is
    its due time as text."""
    if timer.body is not None:
        return timer.body, _JSON if timer.body_is_json else _BYTES
    if timer.method not in _WITH_CONTENT:
        return b"", ""
    return represent_firing(timer, due_at).encode(), _JSON


def _with_own_headers(call: Call, own: dict[str, str]) -> Call:
    """The owner's headers stand in the place of ours with the same name."""
    chosen = {name.lower() for name in own}
    kept = [line for line in call.lines.split("\r\n")[:-1] if line.partition(":")[0].lower() not in chosen]
    call.lines = "".join([f"{line}\r\n" for line in kept])
    call.headers = list(own.items())
    return call

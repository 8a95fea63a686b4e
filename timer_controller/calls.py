"""The call that a timer makes: its URL, headers and body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from timer_controller.sender.protocol import Call
from timer_controller.signing import Signer, signer_with
from timer_controller.version import USER_AGENT
from timer_db.domain.claim import Claim
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.errors import ContentUnreadable
from timer_db.domain.representation import represent_firing, rfc3339
from timer_db.domain.route import Route
from timer_db.encryption import NO_KEYS, Keyring

# Methods whose requests usually have content (RFC 9110); the others carry a body only when one was given.
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_OURS_ALONE = "webhook-"
"""Headers that say who calls and prove it. No client chooses them: the API refuses them; here they are dropped."""
_JSON, _BYTES = "Content-Type: application/json\r\n", "Content-Type: application/octet-stream\r\n"


def call_of(
    claim: Claim,
    now_us: int,
    signer: Signer | None = None,
    keyring: Keyring = NO_KEYS,
    directory: Directory = ONLY_DEFAULT,
    traceparent: str = "",
) -> Call:
    """The request to make now, at `now_us` by the database's clock, signed when there is a signer. `directory`
    knows the timer's owner: what its route says is as it stands now. `traceparent` is where the call belongs in a
    trace, if it does.

    Raises ContentUnreadable for a timer or a route whose content is sealed and cannot be opened with `keyring`.
    """
    timer = claim.timer
    if timer.sealed_with:
        timer = _opened(timer, keyring)
    route = directory.routes[timer.owner.route_id] if timer.owner.route_id else None
    method, url, timeout_seconds = timer.method, timer.url, timer.timeout_seconds
    own = timer.headers if timer.headers_json else {}
    if route is not None:
        if route.unreadable:
            raise ContentUnreadable(timer.id, f"of its route, {route.unreadable}")
        settings = route.settings
        method, url = method or settings.method, settings.url
        timeout_seconds = timeout_seconds or settings.timeout_seconds
        own = _over(settings.headers, own)
        signer = _signer_of(route, now_us) or signer
    timer_id = timer.id_text
    due_at = rfc3339(timer.due_at_us)
    body, type_line = body_of(timer, method, due_at, directory)
    at_seconds = now_us // 1_000_000
    signature_line = ""
    if signer is not None:
        signature_line = f"webhook-signature: {signer.signatures(timer_id, at_seconds, body)}\r\n"
    duplicate_line = "Timer-Possible-Duplicate: true\r\n" if claim.possible_duplicate else ""
    trace_line = f"traceparent: {traceparent}\r\n" if traceparent else ""
    lines = (
        f"User-Agent: {USER_AGENT}\r\nwebhook-id: {timer_id}\r\nwebhook-timestamp: {at_seconds}\r\n"
        f"{signature_line}Idempotency-Key: {timer_id}\r\nTimer-Attempt: {claim.attempt}\r\n"
        f"Timer-Due-At: {due_at}\r\n{duplicate_line}{trace_line}{type_line}"
    )
    if timer.append_id and (route is None or route.settings.append_id):
        url = with_id(url, timer_id)
    call = Call(method, url, (), body, timeout_seconds, lines)
    if directory.narrowed:
        call.within = directory.narrowed.get(timer.owner.collection_id)
    return _with_own_headers(call, own) if own else call


def _over(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """A route's headers, and in the place of those with the same name the timer's own."""
    chosen = {name.lower() for name in own}
    return {**{name: value for name, value in headers.items() if name.lower() not in chosen}, **own}


def _signer_of(route: Route, now_us: int) -> Signer | None:
    """None for a route without secrets."""
    keys = route.keys_at(now_us) if route.secrets else ()
    return signer_with(keys) if keys else None


def _opened(timer: ClaimedTimer, keyring: Keyring) -> ClaimedTimer:
    content = keyring.open(timer.id.bytes, timer.sealed_with, timer.body or b"")
    return replace(
        timer, headers_json=content.headers or "", meta_json=content.meta or "", body=content.body, sealed_with=""
    )


def with_id(url: str, id_text: str) -> str:
    """`url/id`: one slash joins them, and a query string stays behind the id."""
    if "?" not in url:
        return f"{url}{id_text}" if url[-1] == "/" else f"{url}/{id_text}"
    path, _, query = url.partition("?")
    return f"{path.removesuffix('/')}/{id_text}?{query}"


def body_of(
    timer: ClaimedTimer, method: str, due_at: str, directory: Directory = ONLY_DEFAULT
) -> tuple[bytes, str]:
    """The body of a call by this method and its line among the headers; without one of its own, the timer as `GET`
    shows it. `due_at` is its due time as text."""
    if timer.body is not None:
        return timer.body, _JSON if timer.body_is_json else _BYTES
    if method not in _WITH_CONTENT:
        return b"", ""
    return represent_firing(timer, due_at, directory).encode(), _JSON


def _with_own_headers(call: Call, own: Mapping[str, str]) -> Call:
    """The owner's headers stand in the place of ours with the same name."""
    own = {name: value for name, value in own.items() if not name.lower().startswith(_OURS_ALONE)}
    chosen = {name.lower() for name in own}
    kept = [line for line in call.lines.split("\r\n")[:-1] if line.partition(":")[0].lower() not in chosen]
    call.lines = "".join([f"{line}\r\n" for line in kept])
    call.headers = list(own.items())
    return call

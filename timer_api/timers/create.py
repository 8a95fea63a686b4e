"""`POST /timers`, the call that must be cheap.

It works on the raw request: FastAPI's own way through router, dependencies and models costs several times
what everything here does. `app.FrontDoor` brings requests straight to `handle`; the route in `routes`
documents the call.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from starlette.types import Receive, Scope, Send

from timer_api import idempotency, json_body, json_value
from timer_api.api_keys.caller import Caller
from timer_api.errors import Kind, Problem
from timer_api.intake import LineFull
from timer_api.service import Service
from timer_api.timers.creation import build, check
from timer_api.timers.owner import directory_for, owner_of
from timer_api.timers.schemas import TimerAsked
from timer_api.timers.shown import shown
from timer_db.domain.idempotency import KeptAnswer, KeyAsked
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.domain.timer import Timer
from timer_db.domain.traceparent import traceparent_of
from timer_db.operations.idempotency import choose_ids, find_answer, find_stored
from timer_db.operations.schedule import Scheduled, choose_id

PATH = "/timers"
_NO_ID = UUID(int=0)


async def handle(service: Service, caller: Caller, scope: Scope, receive: Receive, send: Send) -> int:
    """Make the timer that the request asks for, and answer; gives the status.

    Raises Problem, or an error of the data layer.
    """
    headers = scope["headers"]
    json_body.check_media_type(headers)
    key = idempotency.key_of(headers)
    raw = await json_body.read(headers, receive, service.settings.api_body_bytes)
    asked = check(json_value.parse_object(raw))
    request = _Request(service, caller, asked, len(raw), traceparent_of(headers))
    if key is None:
        answer, is_replayed = await _made(request), False
    else:
        key_asked = await idempotency.ask(caller, key, PATH, raw, service.now_us())
        answer, is_replayed = await _made_once(request, key_asked)
    answer_headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer.body)),
        (b"location", answer.location.encode()),
    ]
    if is_replayed:
        answer_headers.append(idempotency.IS_REPLAYED)
    await send({"type": "http.response.start", "status": answer.status, "headers": answer_headers})
    await send({"type": "http.response.body", "body": answer.body})
    return answer.status


class _Request(NamedTuple):
    service: Service
    caller: Caller
    asked: TimerAsked
    size_bytes: int
    traceparent: str | None


async def _made(request: _Request) -> KeptAnswer:
    service, caller, asked, size_bytes, traceparent = request
    now_us = service.now_us()
    directory = await directory_for(service.directory, [asked])
    owner = owner_of(asked, caller, directory)
    defaults = directory.usual_of(owner)
    collection, name = asked.get("collection", DEFAULT_COLLECTION), asked.get("name")
    timer_id = choose_id(service.shards, now_us, collection, name, service.avoided)
    timer = build(asked, timer_id, now_us, owner, defaults, traceparent)
    return await _answer(service, await _stored(service, timer, size_bytes), service.clock.latest_us())


async def _made_once(request: _Request, key: KeyAsked) -> tuple[KeptAnswer, bool]:
    """The answer, and whether an earlier request with this key had stored the timer or was answered so."""
    service, caller, asked, size_bytes, traceparent = request
    try:
        directory = await directory_for(service.directory, [asked])
        owner = owner_of(asked, caller, directory)
        # What is wrong is told before the key stands for it, so that it can be mended under the same key.
        build(asked, _NO_ID, key.now_us, owner, directory.usual_of(owner))
    except Problem:
        # Its collection or route may be gone since it was answered.
        if packed := await find_answer(service.shards, key):
            return await idempotency.unpacked(packed), True
        raise
    held = await idempotency.hold(service, key)
    if held.answer:
        return await idempotency.unpacked(held.answer), True
    collection, name = asked.get("collection", DEFAULT_COLLECTION), asked.get("name")
    (timer_id,) = choose_ids(service.shards, held, [None if name is None else (collection, name)])
    defaults = directory.usual_of(owner)
    timer = build(asked, timer_id, held.first_us, owner, defaults, traceparent)
    is_stored = held.is_repeat and bool(await find_stored(service.shards, [timer_id]))
    made = Scheduled(timer, True) if is_stored else await _stored(service, timer, size_bytes)
    answer = await _answer(service, made, held.first_us)
    kept = await idempotency.keep(service, held, answer)
    return kept, is_stored or kept is not answer


async def _stored(service: Service, timer: Timer, size_bytes: int) -> Scheduled:
    try:
        return await service.store(timer, size_bytes)
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None


async def _answer(service: Service, made: Scheduled, now_us: int) -> KeptAnswer:
    directory = await service.directory.covering([made.timer.owner])
    body = shown(made, now_us, directory).encode()
    return KeptAnswer(201 if made.created else 200, f"{PATH}/{made.timer.id}", body)

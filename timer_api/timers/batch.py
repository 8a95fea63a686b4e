"""`POST /timers/batch`: up to 10,000 creates in one call. Here is the call; `batch_work` makes the timers."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from timer_api import idempotency, json_body
from timer_api.api_keys.caller import Caller
from timer_api.errors import RETRY_AFTER_SECONDS
from timer_api.service import Service
from timer_api.timers import batch_body
from timer_api.timers.batch_work import CHUNK_BYTES, PATH, BatchWork
from timer_db.domain.idempotency import KeptAnswer, KeyHeld
from timer_db.domain.traceparent import traceparent_of

__all__ = ["PATH", "handle"]

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 60
"""For a client to take its answer: it holds room that others wait for."""


async def handle(service: Service, caller: Caller, scope: Scope, receive: Receive, send: Send) -> int:
    """Make the timers that the request asks for, and answer; gives the status.

    Raises Problem, before anything is sent, when the request as a whole is refused.
    """
    headers = scope["headers"]
    json_body.check_media_type(headers)
    key = idempotency.key_of(headers)
    limit_bytes = service.settings.api_batch_body_bytes
    with service.admission.enter(min(json_body.announced_bytes(headers, limit_bytes), limit_bytes)):
        raw = await json_body.read(headers, receive, limit_bytes)
        async with service.admission.work:
            items = await batch_body.read(raw, min(service.settings.api_body_bytes, CHUNK_BYTES))
            caller.charge(len(items.values), taken=1)
            held = None
            if key is not None:
                asked = await idempotency.ask(caller, key, PATH, raw, service.now_us())
                held = await idempotency.hold(service, asked)
            del raw
            work = BatchWork(service, caller, items, held, traceparent_of(headers))
            answer = await _answer(service, work, held)
        await _send(answer, send)
    return answer.status


class _Answer(NamedTuple):
    status: int
    pieces: list[bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def _answer(service: Service, work: BatchWork, held: KeyHeld | None) -> _Answer:
    """Make the timers, unless the same request was answered before."""
    if held and held.answer:
        first = await idempotency.unpacked(held.answer)
        return _Answer(first.status, [first.body], (idempotency.IS_REPLAYED,))
    await work.make()
    status = 207 if work.refused else 201
    replayed = (idempotency.IS_REPLAYED,) if work.replayed else ()
    if work.lost:
        # Nobody knows yet what comes of all of them: a repeat tries again.
        return _Answer(status, work.pieces, ((b"retry-after", b"%d" % RETRY_AFTER_SECONDS), *replayed))
    if held is None or not work.is_final:
        return _Answer(status, work.pieces, replayed)
    given = KeptAnswer(status, "", b"".join(work.pieces))
    work.pieces.clear()
    kept = await idempotency.keep(service, held, given)
    return _Answer(kept.status, [kept.body], replayed if kept is given else (idempotency.IS_REPLAYED,))


async def _send(answer: _Answer, send: Send) -> None:
    """Chunk by chunk: the server passes one on when the client has taken the one before."""
    size_bytes = sum(map(len, answer.pieces))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % size_bytes),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for number, piece in enumerate(answer.pieces, 1):
                more = number < len(answer.pieces)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
    except TimeoutError:
        # The server closes the connection when an answer does not end.
        log.warning("a client did not take the answer to its batch within %d seconds", _PATIENCE_SECONDS)

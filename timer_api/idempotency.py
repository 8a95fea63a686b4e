"""The header `Idempotency-Key`: a create that comes again makes nothing twice, and has the answer that it had."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from timer_api.api_keys.caller import Caller
from timer_api.errors import FieldError, Kind, Problem, from_error, invalid
from timer_api.intake import LineFull
from timer_api.service import Service
from timer_db.domain.errors import KeyReused
from timer_db.domain.idempotency import (
    KEY_CHARACTERS_MAX,
    PACKED_BYTES_MAX,
    AnswerGiven,
    KeptAnswer,
    KeyAsked,
    KeyHeld,
    key_sha256,
)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""In answers: an earlier request with this key had stored the timers."""
PATTERN = rf"^[!-~]{{1,{KEY_CHARACTERS_MAX}}}$"
WRONG = FieldError(HEADER, f"it must be 1 to {KEY_CHARACTERS_MAX} visible ASCII characters, without spaces")

DOCUMENTED: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "Of your choice, such as a UUID: another one for each new request. The same request "
            "with the same key gets the first answer again for a day, and makes nothing twice.",
            "schema": {"type": "string", "pattern": PATTERN, "maxLength": KEY_CHARACTERS_MAX},
            "example": "order-4711-reminder",
        }
    ]
}
"""For a route's `openapi_extra`."""
REPLAYED_DOCUMENTED = {REPLAYED: "`true` when an earlier request with the same key had stored it."}
REUSED = from_error(KeyReused())
"""An example of the problem."""
IS_REPLAYED = (REPLAYED.lower().encode(), b"true")

_NAME = HEADER.lower().encode()
_IS_KEY = re.compile(PATTERN.encode()).match
# Below that, to call a thread costs more than to hash or to pack.
_WORKED_AT_ONCE_BYTES = 256 * 1024


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key of a request, if it has one. 422 for one that cannot be, or two."""
    found: bytes | None = None
    for name, value in headers:
        if name == _NAME:
            if found is not None:
                raise invalid([FieldError(HEADER, "there are two; send one")])
            found = value
    if found is not None and not _IS_KEY(found):
        raise invalid([WRONG])
    return found


async def ask(caller: Caller, key: bytes, path: str, body: bytes, now_us: int) -> KeyAsked:
    """What is asked of the key by this very request."""
    if len(body) > _WORKED_AT_ONCE_BYTES:
        content = await asyncio.to_thread(_hash, path, body)
    else:
        content = _hash(path, body)
    return KeyAsked(key_sha256(caller.key_sha256, key), content, now_us)


async def hold(service: Service, asked: KeyAsked) -> KeyHeld:
    """The key for this very request. Raises KeyReused, or 503 when too much waits."""
    try:
        return await service.hold(asked)
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; try again soon") from None


async def keep(service: Service, held: KeyHeld, answer: KeptAnswer) -> KeptAnswer:
    """Keep what the request is to be answered, or give what it was answered before."""
    if len(answer.body) > _WORKED_AT_ONCE_BYTES:
        packed = await asyncio.to_thread(answer.packed)
    else:
        packed = answer.packed()
    if len(packed) > PACKED_BYTES_MAX:
        return answer  # a repeat makes it again
    try:
        kept = await service.keep_answer(AnswerGiven(held.key_sha256, held.first_us, packed))
    except LineFull:
        raise Problem(Kind.busy, "too many creates are waiting; send this again, with its key") from None
    return answer if kept == packed else await unpacked(kept)


async def unpacked(packed: bytes) -> KeptAnswer:
    """An answer that was kept."""
    if len(packed) > _WORKED_AT_ONCE_BYTES // 8:
        return await asyncio.to_thread(KeptAnswer.unpacked, packed)
    return KeptAnswer.unpacked(packed)


def _hash(path: str, body: bytes) -> bytes:
    return hashlib.sha256(path.encode() + b"\0" + body).digest()

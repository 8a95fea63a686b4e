"""Timers as `statements.timers.packed` gives them: the decoding that every delivered timer pays for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

import orjson

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.claim import Claim
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.domain.timer import Timer
from timer_db.statements.timers import FIELD, IS_LARGE, IS_NULL, ROW

_ON_UNKNOWN = {choice.value: choice for choice in OnUnknown}
_FIRING = TimerState.firing


def claims_of(packed: str, batch: int, entries: Mapping[bytes, QueueEntry]) -> list[Claim]:
    """The claims, in no order; `entries` are their places in the queue by id."""
    return list(_decode(packed, batch, entries))


def _decode(packed: str, batch: int, entries: Mapping[bytes, QueueEntry]) -> Iterator[Claim]:
    for row in packed.split(ROW):
        (
            hex_id, body, name, priority, due_at_us, created_at_us, attempts_made, possible_duplicate, url,
            append_id, method, headers, body_is_json, meta, labels, retry, timeout_ms, on_unknown,
        ) = row.split(FIELD)  # fmt: skip
        raw_id = bytes.fromhex(hex_id)
        is_large = body == IS_LARGE
        made = int(attempts_made)
        # By position: see the note at `NewTimer`.
        timer = Timer(
            UUID(bytes=raw_id),
            int(due_at_us),
            int(created_at_us),
            url,
            method,
            orjson.loads(headers) if headers else {},
            None if is_large or body == IS_NULL else bytes.fromhex(body),
            body_is_json == "1",
            orjson.loads(meta) if meta else None,
            bytes.fromhex(name).decode() if name else None,
            orjson.loads(labels) if labels else {},
            int(priority),
            append_id == "1",
            RetryPolicy(**orjson.loads(retry)) if retry else DEFAULT_RETRY,
            int(timeout_ms) / 1000,
            _ON_UNKNOWN[on_unknown],
            "",
            _FIRING,
            made,
        )
        yield Claim(batch, entries[raw_id], timer, made + 1, possible_duplicate == "1", is_large)

"""Timers as rows, and rows as timers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import orjson

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.errors import ContentUnreadable
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.encryption import NO_KEYS, Content, Keyring

_BY_DEFAULT = (BY_DEFAULT.collection_id, None, None, None)


def row_of(timer: NewTimer) -> tuple[str | int | bytes | None, ...]:
    """The values of a new row of `timers`, as `statements.timers.insert` orders them."""
    return (
        timer.id.bytes,
        timer.name,
        timer.priority,
        timer.due_at_us,
        next_at_us(timer),
        timer.created_at_us,
        timer.url,
        int(timer.append_id),
        timer.method or "",
        _json(timer.headers) if timer.headers else None,
        timer.body,
        int(timer.body_is_json),
        _json(timer.meta) if timer.meta is not None else None,
        _json(timer.labels) if timer.labels else None,
        _policy(timer),
        round(timer.timeout_seconds * 1000) if timer.timeout_seconds is not None else 0,
        str(timer.on_unknown),
        None,
        *(_of_group(timer) if timer.owner != BY_DEFAULT or timer.on_failure_url else _BY_DEFAULT),
        timer.traceparent,
    )


def _policy(timer: NewTimer) -> str | None:
    retry = timer.retry
    if retry is None:
        return None
    is_default = retry is DEFAULT_RETRY or retry == DEFAULT_RETRY
    # The default one is not said, unless a route would say something else then.
    return None if is_default and not timer.owner.route_id else _json(asdict(retry))


def _of_group(timer: NewTimer) -> tuple[int, int | None, int | None, str | None]:
    collection_id, route_id, schedule_id = timer.owner
    return collection_id, route_id or None, schedule_id or None, timer.on_failure_url


def sealed(row: tuple[Any, ...], keyring: Keyring) -> tuple[Any, ...]:
    """The same row with its content as one sealed value; one that has none stays as it is."""
    timer_id, headers, body, meta = row[0], row[9], row[10], row[12]
    if headers is body is meta is None:
        return row
    value = keyring.seal(timer_id, Content(headers, meta, body))
    return (*row[:9], None, value, row[11], None, *row[13:17], keyring.sealing_id, *row[18:])


def next_at_us(timer: NewTimer) -> int:
    """When a new timer may be called first: what is due in the past is due now, and stands behind what
    already waited."""
    return max(timer.due_at_us, timer.created_at_us)


def fields_of(row: Sequence[Any], keyring: Keyring) -> dict[str, Any]:
    """What was asked for, from the columns `statements.timers.ASKED`."""
    unreadable = ""
    (raw_id, name, priority, due, _next, created, _cancelled, _made, _doubt, url, append_id, method) = row[:12]
    headers, body, body_is_json, meta, labels, retry, timeout_ms, on_unknown, sealed_with = row[12:21]
    collection_id, route_id, schedule_id, on_failure_url, attempts_before, traceparent = row[21:27]
    if sealed_with is not None:
        try:
            headers, meta, body = keyring.open(bytes(raw_id), sealed_with, bytes(body or b""))
        except ContentUnreadable as error:
            headers, meta, body, unreadable = None, None, None, error.reason
    return {
        "id": UUID(bytes=raw_id),
        "name": name,
        "priority": priority,
        "due_at_us": due,
        "created_at_us": created,
        "url": url,
        "append_id": bool(append_id),
        "method": method or None,
        "headers": orjson.loads(headers) if headers else {},
        "body": body,
        "body_is_json": bool(body_is_json),
        "meta": orjson.loads(meta) if meta is not None else None,
        "labels": orjson.loads(labels) if labels else {},
        "retry": RetryPolicy(**orjson.loads(retry)) if retry else None if route_id else DEFAULT_RETRY,
        "timeout_seconds": timeout_ms / 1000 if timeout_ms else None,
        "on_unknown": OnUnknown(on_unknown),
        "owner": Owner(collection_id, route_id or 0, schedule_id or 0),
        "on_failure_url": on_failure_url,
        "traceparent": traceparent,
        "attempts_before": attempts_before,
        "unreadable": unreadable,
    }


def timer_of(row: Sequence[Any], keyring: Keyring = NO_KEYS) -> Timer:
    """A timer with its state, from a row of `statements.reading`."""
    next_us, cancelled_us, attempts_made = row[4], row[6], row[7]
    waits, ended_as, ended_us = row[27:30]
    if ended_as is not None:
        state = TimerState(ended_as)
        attempts_made += 1
    elif cancelled_us is not None:
        state, ended_us = TimerState.cancelled, cancelled_us
    else:
        state = TimerState.scheduled if waits else TimerState.firing
    return Timer(
        **fields_of(row, keyring),
        state=state,
        attempts=attempts_made,
        next_attempt_at_us=next_us if state is TimerState.scheduled else None,
        ended_at_us=ended_us,
    )


def content_sha256(timer: NewTimer) -> bytes:
    """What makes two creates with the same name the same: everything but id, time of creation and trace.

    The due time counts only as the client gave it: a delay gives another moment each time.
    """
    row = row_of(timer)
    content: tuple[Any, ...] = (row[2], timer.due_as_given, row[6:17])
    # Written down like that before there were any others.
    if row[18:22] != _BY_DEFAULT:
        content = (*content, row[18:22])
    return hashlib.sha256(repr(content).encode()).digest()


def _json(value: object) -> str:
    return orjson.dumps(value).decode()

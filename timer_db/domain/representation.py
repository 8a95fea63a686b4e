"""A timer as JSON: what `GET /timers/{id}` answers, and what a call without a body of its own carries."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from timer_db.domain.backoff import DEFAULT_RETRY
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.states import ENDED, TimerState
from timer_db.domain.timer import Timer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(time_us: int) -> str:
    """Microseconds since the epoch as RFC 3339 in UTC: `2026-11-20T10:09:56.123456Z`."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{_to_the_second(seconds)}.{rest:06d}Z"


# Timers that are due together share their second, and so do those that are made together.
@lru_cache(maxsize=4096)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def microseconds(moment: datetime) -> int:
    """An aware datetime as microseconds since the epoch, exactly."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def time_left_seconds(due_at_us: int, state: TimerState, now_us: int) -> int:
    """Whole seconds until the timer is due, rounded up; 0 once it is due or has ended."""
    if state in ENDED:
        return 0
    return max(0, -((now_us - due_at_us) // 1_000_000))


def represent(timer: Timer, now_us: int, directory: Directory = ONLY_DEFAULT) -> dict[str, Any]:
    """The timer's JSON object at `now_us`. `directory` knows its owner."""
    collection, route, schedule = directory.names_of(timer.owner)
    shown: dict[str, Any] = {
        "id": str(timer.id),
        "time_left": time_left_seconds(timer.due_at_us, timer.state, now_us),
        "status": timer.state.value,
        "due_at": rfc3339(timer.due_at_us),
        "created_at": rfc3339(timer.created_at_us),
        "collection": collection,
        "route": route,
        "schedule": schedule,
        "name": timer.name,
        "url": timer.url,
        "append_id": timer.append_id,
        "method": timer.method,
        "headers": timer.headers,
        "body": None,
        "meta": timer.meta,
        "labels": timer.labels,
        "priority": timer.priority,
        "retry": None if timer.retry is None else asdict(timer.retry),
        "timeout_seconds": timer.timeout_seconds,
        "on_unknown": timer.on_unknown.value,
        "on_failure_url": timer.on_failure_url,
        "attempts": timer.attempts,
        "next_attempt_at": None if timer.next_attempt_at_us is None else rfc3339(timer.next_attempt_at_us),
        "ended_at": None if timer.ended_at_us is None else rfc3339(timer.ended_at_us),
    }
    if timer.body is not None:
        if timer.body_is_json:
            shown["body"] = json.loads(timer.body)
        else:
            shown["body_base64"] = base64.b64encode(timer.body).decode()
    if timer.unreadable:
        shown["unreadable"] = timer.unreadable
    return shown


def represent_firing(timer: ClaimedTimer, due_at: str, directory: Directory = ONLY_DEFAULT) -> str:
    """The JSON text of `represent` for a timer without a body that is being called, put together from what is
    stored, at a third of the price. `due_at` is `rfc3339` of its due time; `directory` knows its owner."""
    return (
        f'{{"id":"{timer.id_text}","time_left":0,"status":"firing","due_at":"{due_at}",'
        f'"created_at":"{rfc3339(timer.created_at_us)}",{directory.json_of(timer.owner)},'
        f'"name":{"null" if timer.name is None else _quoted(timer.name)},"url":{_quoted(timer.url)},'
        f'"append_id":{"true" if timer.append_id else "false"},"method":{_quoted(timer.method)},'
        f'"headers":{timer.headers_json or "{}"},"body":null,"meta":{timer.meta_json or "null"},'
        f'"labels":{timer.labels_json or "{}"},"priority":{timer.priority},'
        f'"retry":{_policy(timer)},"timeout_seconds":{timer.timeout_seconds or "null"},'
        f'"on_unknown":"{timer.on_unknown}",'
        f'"on_failure_url":{_quoted(timer.on_failure_url)},'
        f'"attempts":{timer.attempts},'
        '"next_attempt_at":null,"ended_at":null}'
    )


def _policy(timer: ClaimedTimer) -> str:
    return timer.retry_json or ("null" if timer.owner.route_id else _DEFAULT_RETRY_JSON)


_DEFAULT_RETRY_JSON = orjson.dumps(asdict(DEFAULT_RETRY)).decode()


# Many timers, few URLs.
@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return orjson.dumps(text or None).decode()

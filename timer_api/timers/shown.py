"""A timer that was just made, as JSON.

`representation.represent` says how any timer looks, and a test compares the two. This one is cheaper: it puts the
answer together from pieces of text, most of which are the same for many timers.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import orjson

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.ids import bytes_to_text
from timer_db.domain.representation import represent, rfc3339
from timer_db.domain.states import OnUnknown
from timer_db.domain.timer import DEFAULT_TIMEOUT_SECONDS, Timer
from timer_db.operations.schedule import Scheduled


def shown(stored: Scheduled, now_us: int, directory: Directory = ONLY_DEFAULT) -> str:
    """What a create is answered at `now_us`. `directory` knows the timer's owner."""
    timer = stored.timer
    # What a repeated name led to may stand anywhere, and bytes are no JSON.
    if not stored.created or not timer.body_is_json:
        return _json(represent(timer, now_us, directory))
    due_at = _moment(timer.due_at_us)
    time_left = max(0, -((now_us - timer.due_at_us) // 1_000_000))
    return (
        f'{{"id":"{bytes_to_text(timer.id.bytes)}"'
        f',"time_left":{time_left},"status":"scheduled","due_at":"{due_at}"'
        f',"created_at":"{_moment(timer.created_at_us)}",{directory.json_of(timer.owner)}'
        f',"name":{"null" if timer.name is None else _json(timer.name)}'
        f"{_target(timer.url, timer.append_id, timer.method)}"
        f',"headers":{_json(timer.headers) if timer.headers else "{}"}'
        f',"body":{"null" if timer.body is None else timer.body.decode()}'
        f',"meta":{"null" if timer.meta is None else _json(timer.meta)}'
        f',"labels":{_json(timer.labels) if timer.labels else "{}"}'
        f"{_policy(timer)}"
        f',"attempts":0,"next_attempt_at":"{due_at}","ended_at":null}}'
    )


@lru_cache(maxsize=1024)
def _target(url: str | None, append_id: bool, method: str | None) -> str:
    return _members({"url": url, "append_id": append_id, "method": method})


def _policy(timer: Timer) -> str:
    is_usual = timer.retry is DEFAULT_RETRY and timer.on_unknown is OnUnknown.resend and not timer.priority
    if is_usual and timer.timeout_seconds == DEFAULT_TIMEOUT_SECONDS and timer.on_failure_url is None:
        return _USUAL_POLICY
    return _policy_of(timer.priority, timer.retry, timer.timeout_seconds, timer.on_unknown, timer.on_failure_url)


@lru_cache(maxsize=1024)
def _policy_of(
    priority: int,
    retry: RetryPolicy | None,
    timeout_seconds: float | None,
    on_unknown: OnUnknown,
    on_failure_url: str | None,
) -> str:
    return _members(
        {
            "priority": priority,
            "retry": retry and asdict(retry),
            "timeout_seconds": timeout_seconds,
            "on_unknown": on_unknown.value,
            "on_failure_url": on_failure_url,
        }
    )


# The timers of one batch were made at one moment, and often are due at one.
_moment = lru_cache(maxsize=1024)(rfc3339)


def _members(values: dict[str, Any]) -> str:
    return f",{_json(values)[1:-1]}"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


_USUAL_POLICY = _policy_of(0, DEFAULT_RETRY, DEFAULT_TIMEOUT_SECONDS, OnUnknown.resend, None)

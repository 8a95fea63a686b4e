"""From what a client asked for, once it was checked, to a `Timer`: what it leaves out is as usual."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.collection import NO_DEFAULTS, Defaults
from timer_db.domain.owner import Owner
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.domain.timer import DEFAULT_TIMEOUT_SECONDS, Timer


def timer_of(
    asked: Mapping[str, Any],
    timer_id: UUID,
    due_at_us: int,
    now_us: int,
    owner: Owner,
    defaults: Defaults = NO_DEFAULTS,
    due_as_given: str = "",
    traceparent: str | None = None,
) -> Timer:
    """The timer as it stands once it is stored. What is left out its route decides, if it has one, or the
    `defaults` of its collection. ValueError when `body_base64` is none."""
    body, body_is_json = _body(asked) if "body" in asked or "body_base64" in asked else (None, True)
    has_route = owner.route_id != 0
    # By position: see the note at `NewTimer`.
    return Timer(
        timer_id,
        due_at_us,
        now_us,
        asked.get("url"),
        asked.get("method", None if has_route else "POST"),
        asked.get("headers") or {},
        body,
        body_is_json,
        asked.get("meta"),
        asked.get("name"),
        asked.get("labels") or {},
        asked.get("priority", defaults.priority or 0),
        asked.get("append_id", True),
        _retry(asked, has_route, defaults.retry or DEFAULT_RETRY),
        _timeout_seconds(asked, has_route, defaults.timeout_seconds or DEFAULT_TIMEOUT_SECONDS),
        OnUnknown(asked["on_unknown"]) if "on_unknown" in asked else defaults.on_unknown or OnUnknown.resend,
        owner,
        asked.get("on_failure_url"),
        due_as_given,
        traceparent,
        TimerState.scheduled,
        0,
        due_at_us,
    )


def _body(asked: Mapping[str, Any]) -> tuple[bytes | None, bool]:
    if asked.get("body") is not None:
        return orjson.dumps(asked["body"]), True
    if "body_base64" not in asked:
        return None, True
    return base64.b64decode(asked["body_base64"], validate=True), False


def _retry(asked: Mapping[str, Any], has_route: bool, usual: RetryPolicy) -> RetryPolicy | None:
    if "retry" in asked:
        return policy_of(asked["retry"], usual)
    return None if has_route else usual


def _timeout_seconds(asked: Mapping[str, Any], has_route: bool, usual: float) -> float | None:
    if "timeout_seconds" in asked:
        return round(float(asked["timeout_seconds"]), 3)  # it is stored in milliseconds
    return None if has_route else usual


def policy_of(asked: Mapping[str, Any], usual: RetryPolicy = DEFAULT_RETRY) -> RetryPolicy:
    """The policy that was asked for; what it leaves out is as usual."""
    return RetryPolicy(
        max_attempts=asked.get("max_attempts", usual.max_attempts),
        initial_seconds=asked.get("initial_seconds", usual.initial_seconds),
        factor=asked.get("factor", usual.factor),
        max_seconds=asked.get("max_seconds", usual.max_seconds),
        jitter=asked.get("jitter", usual.jitter),
    )

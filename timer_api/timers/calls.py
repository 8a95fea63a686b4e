"""What receivers get, for the OpenAPI document: the call of a timer, and the notice of one that failed."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from timer_api.groups import Moment
from timer_api.openapi import REF
from timer_api.timers.examples import TIMER, TIMER_ID
from timer_db.domain.states import Outcome, TimerState


class NoticeTimer(TypedDict):
    """The timer that has ended; `attempts` counts those that were made."""

    id: str
    status: TimerState
    name: str | None
    labels: dict[str, str]
    meta: object
    due_at: Moment
    created_at: Moment
    attempts: int


class NoticeAttempt(TypedDict):
    """The attempt that ended it."""

    number: int
    outcome: Outcome
    http_status: int | None
    reason: str
    started_at: Moment
    finished_at: Moment


class Notice(TypedDict):
    """What the `on_failure_url` of a timer is told; `type` is `timer.failed` or `timer.unknown`."""

    type: str
    timer: NoticeTimer
    attempt: NoticeAttempt


NOTICE: dict[str, Any] = {
    "type": "timer.failed",
    "timer": {
        "id": TIMER_ID,
        "status": "failed",
        "name": "invoice-17",
        "labels": {"env": "prod"},
        "meta": {"order": 17},
        "due_at": "2026-11-20T10:19:56.123456Z",
        "created_at": "2026-11-20T10:09:56.123456Z",
        "attempts": 5,
    },
    "attempt": {
        "number": 5,
        "outcome": "rejected",
        "http_status": 503,
        "reason": "the receiver answered 503",
        "started_at": "2026-11-20T10:23:16.125000Z",
        "finished_at": "2026-11-20T10:23:16.167000Z",
    },
}

_HEADERS = {
    "webhook-id": ("The timer's id: the same at every attempt.", TIMER_ID, True),
    "webhook-timestamp": ("When this attempt was made, Unix time in seconds.", "1795170596", True),
    "webhook-signature": ("With secrets only, as Standard Webhooks has it.", "v1,K5oZfzN95Z9UVu1E=", False),
    "Idempotency-Key": ("The timer's id once more.", TIMER_ID, True),
    "Timer-Attempt": ("1 at first.", "1", True),
    "Timer-Due-At": ("When it was due.", "2026-11-20T10:19:56.123456Z", True),
    "Timer-Possible-Duplicate": ("Only there when an earlier attempt may have arrived.", "true", False),
    "traceparent": ("Where the timer's create belonged in its client's trace, if it did.", "", False),
}  # fmt: skip


def _webhook(operation_id: str, summary: str, description: str, model: str, example: object) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": is_required,
            "description": text,
            "schema": {"type": "string"},
            **({"example": shown} if shown else {}),
        }
        for name, (text, shown, is_required) in _HEADERS.items()
    ]
    return {
        "post": {
            "tags": ["timers"],
            "operationId": operation_id,
            "summary": summary,
            "description": description,
            "parameters": parameters,
            "requestBody": {
                "content": {"application/json": {"schema": {"$ref": REF.format(model=model)}, "example": example}}
            },
            "responses": {
                "2XX": {"description": "It is delivered."},
                "408": {
                    "description": "Called again later; so are 425, 429 and every 5xx, and Retry-After is kept."
                },
                "default": {"description": "It is not: the timer ends as failed."},
            },
        }
    }


WEBHOOKS: dict[str, Any] = {
    "timer": _webhook(
        "call_timer",
        "A timer is due",
        "To `url/id`, by the timer's method and with its headers. Without a body of its own it carries the timer"
        " as it stands.",
        "TimerShown",
        {**TIMER, "time_left": 0, "status": "firing", "next_attempt_at": None},
    ),
    "notice": _webhook(
        "call_on_failure",
        "A timer has failed, or nobody knows",
        "To the timer's `on_failure_url`, once. It is a timer of its own, with an id of its own, and tried again"
        " as such. Signed with `TIMER_SIGNING_SECRETS`, never with a route's secret.",
        "Notice",
        NOTICE,
    ),
}
MODELS: dict[str, Any] = {"Notice": Notice}

"""What the OpenAPI document shows. The creates are real: a test makes each of them."""

from __future__ import annotations

from typing import Any

from timer_api.errors import FieldError, Kind, Problem

TIMER_ID = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"
OTHER_ID = "019a9f2e-5c3d-7000-8b07-18293a4b5c6d"

CREATES: dict[str, dict[str, Any]] = {
    "minutes": {
        "summary": "In ten minutes",
        "value": {"minutes": 10, "url": "https://example.com/hook"},
    },
    "delay": {
        "summary": "After a delay, with a body and headers of your own",
        "value": {
            "delay": "1h30m",
            "url": "https://example.com/orders",
            "method": "PUT",
            "headers": {"X-Shop": "berlin"},
            "body": {"order": 17, "state": "abandoned"},
        },
    },
    "due_at": {
        "summary": "At a local time",
        "value": {
            "due_at": "2030-12-24T18:00:00",
            "timezone": "Europe/Berlin",
            "url": "https://example.com/gifts",
            "append_id": False,
        },
    },
    "everything": {
        "summary": "By name, with labels, a retry policy, and at most one call",
        "value": {
            "due_at": "2030-01-31T18:00:00Z",
            "url": "https://example.com/invoices?tenant=7",
            "name": "invoice-17",
            "labels": {"env": "prod", "example.com/tier": "gold"},
            "priority": 100,
            "meta": {"invoice": 17},
            "body_base64": "aGVsbG8=",
            "headers": {"Content-Type": "text/plain"},
            "timeout_seconds": 5,
            "retry": {"max_attempts": 8, "initial_seconds": 2, "factor": 2, "max_seconds": 600, "jitter": 0.2},
            "on_unknown": "fail",
        },
    },
}

BATCHES: dict[str, dict[str, Any]] = {
    "some": {
        "summary": "Two timers by name",
        "value": {
            "timers": [
                {"minutes": 10, "url": "https://example.com/hook", "name": "reminder-1"},
                {"hours": 24, "url": "https://example.com/hook", "name": "reminder-2", "meta": {"user": 4711}},
            ]
        },
    },
    "mixed": {
        "summary": "One of them is refused",
        "value": {
            "timers": [
                {"minutes": 10, "url": "https://example.com/hook"},
                {"minutes": 10, "url": "example.com/hook"},
            ]
        },
    },
}

CHANGES: dict[str, dict[str, Any]] = {
    "later": {"summary": "Another time", "value": {"due_at": "2030-12-24T18:00:00", "timezone": "Europe/Berlin"}},
    "content": {
        "summary": "Another body and labels; its retry policy is the usual one again",
        "value": {"body": {"order": 18}, "labels": {"env": "prod"}, "retry": None},
    },
}

BULKS: dict[str, dict[str, Any]] = {
    "ids": {"summary": "By their ids", "value": {"ids": [TIMER_ID, OTHER_ID]}},
    "selector": {"summary": "By labels", "value": {"selector": "env=prod,zone in (a,b),!canary", "limit": 1000}},
    "due": {"summary": "By time", "value": {"due_before": "2030-01-31T18:00:00+01:00", "collection": "default"}},
}

RESCHEDULES: dict[str, dict[str, Any]] = {
    "shift": {"summary": "Each an hour later", "value": {"selector": "env=prod", "shift": "+1h"}},
    "due": {"summary": "All at one time", "value": {"ids": [TIMER_ID], "due_at": "2030-01-31T18:00:00Z"}},
}

TIMER: dict[str, Any] = {
    "id": TIMER_ID,
    "time_left": 600,
    "status": "scheduled",
    "due_at": "2026-11-20T10:19:56.123456Z",
    "created_at": "2026-11-20T10:09:56.123456Z",
    "collection": "default",
    "route": None,
    "schedule": None,
    "name": None,
    "url": "https://example.com/hook",
    "append_id": True,
    "method": "POST",
    "headers": {},
    "body": None,
    "meta": None,
    "labels": {},
    "priority": 0,
    "retry": {"max_attempts": 5, "initial_seconds": 5.0, "factor": 3.0, "max_seconds": 3600.0, "jitter": 0.1},
    "timeout_seconds": 10.0,
    "on_unknown": "resend",
    "on_failure_url": None,
    "attempts": 0,
    "next_attempt_at": "2026-11-20T10:19:56.123456Z",
    "ended_at": None,
}

_REFUSED = Problem(
    Kind.invalid_request,
    "url: it must be an absolute URL, such as https://example.com/hook",
    errors=[FieldError("url", "it must be an absolute URL, such as https://example.com/hook")],
)

ANSWERS: dict[str, object] = {
    "timer": TIMER,
    "named timer": {**TIMER, "name": "invoice-17"},
    "timer by name": {**TIMER, "name": "reminder-4711", "collection": "newsletters"},
    "batch": {"results": [{**TIMER, "name": "reminder-1"}, {**TIMER, "id": OTHER_ID, "name": "reminder-2"}]},
    "partial batch": {"results": [TIMER, {"error": {**_REFUSED.document("/timers/batch"), "index": 1}}]},
    "cancelled timer": {
        **TIMER,
        "time_left": 0,
        "status": "cancelled",
        "next_attempt_at": None,
        "ended_at": "2026-11-20T10:12:01.000000Z",
    },
    "cancelled timer by name": {
        **TIMER,
        "name": "reminder-4711",
        "collection": "newsletters",
        "time_left": 0,
        "status": "cancelled",
        "next_attempt_at": None,
        "ended_at": "2026-11-20T10:12:01.000000Z",
    },
    "due timer": {
        **TIMER,
        "time_left": 0,
        "due_at": "2026-11-20T10:12:01.000000Z",
        "next_attempt_at": "2026-11-20T10:12:01.000000Z",
    },
    "replayed timer": {
        **TIMER,
        "time_left": 0,
        "due_at": "2026-11-20T12:00:00.000000Z",
        "attempts": 5,
        "next_attempt_at": "2026-11-20T12:00:00.000000Z",
    },
    "bulk": {
        "matched": 2,
        "changed": 1,
        "refused": [
            {
                "id": OTHER_ID,
                "status": "firing",
                "reason": f"timer {OTHER_ID} is firing; only a scheduled timer can be cancelled",
            }
        ],
        "refused_count": 1,
        "next_cursor": None,
    },
    "page": {"timers": [TIMER], "next_cursor": "AAABmpLe"},
    "attempts": {
        "attempts": [
            {
                "number": 1,
                "outcome": "rejected",
                "status": "scheduled",
                "started_at": "2026-11-20T10:19:56.125000Z",
                "finished_at": "2026-11-20T10:19:56.167000Z",
                "latency_ms": 42.0,
                "http_status": 503,
                "controller": "1 (worker-1:4711)",
                "reason": "the receiver answered 503",
                "answer": "try later",
            }
        ]
    },
}

NOT_FOUND = Problem(Kind.timer_not_found, f"no timer has the id {TIMER_ID}")
UNREADABLE = Problem(
    Kind.content_unreadable,
    f"timer {TIMER_ID} cannot be read: its content is encrypted with the key 'k1', which is not in"
    " TIMER_ENCRYPTION_KEYS",
)
NOT_CANCELLABLE = Problem(
    Kind.not_cancellable,
    f"timer {TIMER_ID} is firing; only a scheduled timer can be cancelled",
    timer_status="firing",
)
NOT_CHANGEABLE = Problem(
    Kind.not_changeable,
    f"timer {TIMER_ID} is firing; only a scheduled timer can be changed",
    timer_status="firing",
)
NOT_REPLAYABLE = Problem(
    Kind.not_replayable,
    f"timer {TIMER_ID} is scheduled; only a failed, unknown or delivered timer can be replayed",
    timer_status="scheduled",
)
NAME_IN_USE = Problem(
    Kind.name_taken,
    f"the name 'invoice-17' of timer {TIMER_ID} belongs to timer {OTHER_ID}, which has not ended",
    errors=[FieldError("name", "another timer has it, which has not ended")],
    holder=OTHER_ID,
)
NAME_TAKEN = Problem(
    Kind.name_taken,
    f"the name 'invoice-17' belongs to timer {TIMER_ID}, which has other content",
    errors=[FieldError("name", "a timer with this name and other content exists")],
    holder=TIMER_ID,
)
FULL = Problem(
    Kind.collection_full,
    "1,000,000 timers of the collection 'newsletters' may wait, and as many do",
    errors=[FieldError("collection", "1,000,000 of its timers may wait, and as many do")],
)
BUSY = Problem(Kind.busy, "too many creates are waiting; try again soon")
NO_JSON = Problem(Kind.malformed_json, "Expecting ',' delimiter: line 1 column 14")
TOO_SLOW = Problem(Kind.request_timeout, "the request did not arrive within 60 seconds")
BATCH_TOO_LARGE = Problem(Kind.body_too_large, "a body has at most 16,777,216 bytes")
TOO_LARGE = Problem(Kind.body_too_large, "a body has at most 1,048,576 bytes")
NOT_JSON = Problem(
    Kind.unsupported_media_type,
    "application/x-www-form-urlencoded is not supported: send JSON with the header Content-Type: application/json",
)

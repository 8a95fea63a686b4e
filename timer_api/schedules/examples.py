"""What the OpenAPI document shows about schedules."""

from __future__ import annotations

from typing import Any

from timer_api.errors import Kind, Problem
from timer_api.timers.examples import TIMER_ID

NAME = "daily-report"
_TIMER: dict[str, Any] = {"url": "https://example.com/reports", "labels": {"env": "prod"}, "timeout_seconds": 60.0}

SHOWN: dict[str, Any] = {
    "name": NAME,
    "paused": False,
    "cron": "0 9 * * 1-5",
    "every": None,
    "timezone": "Europe/Berlin",
    "start_at": None,
    "end_at": None,
    "jitter_seconds": 0.0,
    "overlap": "skip",
    "catch_up": "last",
    "timer": _TIMER,
    "next_run_at": "2026-11-23T08:00:00.000000Z",
    "last_run_at": "2026-11-20T08:00:00.000000Z",
    "last_timer_id": TIMER_ID,
    "counts": {"scheduled": 1, "firing": 0, "delivered": 5, "failed": 0, "unknown": 0, "cancelled": 0},
    "created_at": "2026-11-02T10:09:56.123456Z",
}
ASKED: dict[str, dict[str, Any]] = {
    "cron": {
        "summary": "At nine on working days, in Berlin",
        "value": {
            "cron": "0 9 * * 1-5",
            "timezone": "Europe/Berlin",
            "overlap": "skip",
            "timer": {**_TIMER, "timeout_seconds": 60},
        },
    },
    "every": {
        "summary": "Every 15 minutes, spread over one of them, for a month",
        "value": {
            "every": "15m",
            "start_at": "2030-01-01T00:00:00Z",
            "end_at": "2030-02-01T00:00:00Z",
            "jitter_seconds": 60,
            "catch_up": "none",
            "timer": {"url": "https://example.com/poll", "body": {"source": "crm"}, "retry": {"max_attempts": 2}},
        },
    },
    "seconds": {
        "summary": "Every 10 seconds, by six fields",
        "value": {"cron": "*/10 * * * * *", "timer": {"url": "https://example.com/tick", "append_id": False}},
    },
}
PREVIEWS: dict[str, dict[str, Any]] = {
    "change of clocks": {
        "summary": "A time that the clock skips once a year",
        "value": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    }
}
BACKFILLS: dict[str, dict[str, Any]] = {
    "day": {"summary": "A day", "value": {"from": "2025-11-20T00:00:00+01:00", "to": "2025-11-21T00:00:00+01:00"}},
    "local": {"summary": "In local time", "value": {"from": "2025-11-20T00:00:00", "to": "2025-11-21T00:00:00"}},
}
ANSWERS: dict[str, object] = {
    "schedule": SHOWN,
    "paused schedule": {**SHOWN, "paused": True, "next_run_at": None},
    "schedules": {"schedules": [SHOWN], "next_cursor": None},
    "runs": {"runs": ["2026-11-23T08:00:00.000000Z", "2026-11-24T08:00:00.000000Z"]},
    "backfill": {"made": 1000, "next_from": "2025-11-20T16:40:00.000000Z"},
}

NOT_FOUND = Problem(Kind.schedule_not_found, f"there is no schedule {NAME!r}")
UNREADABLE = Problem(
    Kind.content_unreadable,
    f"the schedule {NAME!r} cannot be read: its content is encrypted with the key 'k1', which is not in"
    " TIMER_ENCRYPTION_KEYS",
)

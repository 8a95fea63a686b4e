"""A timer as JSON."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_db.domain.representation import microseconds, represent, rfc3339, time_left_seconds
from timer_db.domain.states import ENDED, OnUnknown, TimerState
from timer_db.domain.timer import Timer
from timer_db.models import FOREVER_US

DUE_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
TIMES_US = st.integers(0, FOREVER_US)


def _timer(**fields: Any) -> Timer:
    asked: dict[str, Any] = {
        "id": UUID("01a31ad6-5e00-7001-8000-000000000001"),
        "due_at_us": DUE_US,
        "created_at_us": DUE_US - 60 * SECOND_US,
        "url": "https://example.com/hook",
        "state": TimerState.scheduled,
    }
    return Timer(**{**asked, **fields})


@pytest.mark.parametrize(
    ("until_due_us", "shown"),
    [
        (90 * SECOND_US, 90),
        (89 * SECOND_US + 1, 90),
        (SECOND_US, 1),
        (1, 1),
        (0, 0),
        (-1, 0),
        (-SECOND_US, 0),
        (-90 * SECOND_US, 0),
    ],
)
def test_time_left_is_rounded_up_and_ends_at_zero(until_due_us: int, shown: int) -> None:
    assert time_left_seconds(DUE_US, TimerState.scheduled, DUE_US - until_due_us) == shown


@given(TIMES_US, TIMES_US)
def test_time_left_is_never_too_short(due_us: int, now_us: int) -> None:
    left = time_left_seconds(due_us, TimerState.scheduled, now_us)
    assert left >= 0
    assert now_us + left * SECOND_US >= due_us
    assert left == 0 or now_us + (left - 1) * SECOND_US < due_us


@pytest.mark.parametrize("state", TimerState)
def test_only_a_living_timer_has_time_left(state: TimerState) -> None:
    assert time_left_seconds(DUE_US, state, DUE_US - 5 * SECOND_US) == (0 if state in ENDED else 5)


@given(TIMES_US)
def test_rfc3339_is_exact(time_us: int) -> None:
    text = rfc3339(time_us)
    assert len(text) == len("2026-11-20T10:09:56.123456Z")
    assert text.endswith("Z")
    assert microseconds(datetime.fromisoformat(text)) == time_us


def test_rfc3339_of_known_moments() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(FOREVER_US) == "9999-12-31T23:59:59.999999Z"
    assert rfc3339(1_795_169_396_000_001) == "2026-11-20T10:09:56.000001Z"


@given(TIMES_US, st.integers(-23 * 60, 23 * 60))
def test_microseconds_heeds_the_offset(time_us: int, offset_minutes: int) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    try:
        there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).astimezone(zone)
    except OverflowError:  # the year 10,000 in that zone
        return
    assert microseconds(there) == time_us


def test_a_waiting_timer_is_shown_whole() -> None:
    shown = represent(
        _timer(next_attempt_at_us=DUE_US, name="n", labels={"a": "b"}, headers={"X": "y"}, meta=[1], priority=7),
        DUE_US - 1_500_000,
    )
    assert shown == {
        "id": "01a31ad6-5e00-7001-8000-000000000001",
        "time_left": 2,
        "status": "scheduled",
        "due_at": "2027-01-15T08:00:00.000000Z",
        "created_at": "2027-01-15T07:59:00.000000Z",
        "collection": "default",
        "route": None,
        "schedule": None,
        "name": "n",
        "url": "https://example.com/hook",
        "append_id": True,
        "method": "POST",
        "headers": {"X": "y"},
        "body": None,
        "meta": [1],
        "labels": {"a": "b"},
        "priority": 7,
        "retry": {
            "max_attempts": 5,
            "initial_seconds": 5.0,
            "factor": 3.0,
            "max_seconds": 3600.0,
            "jitter": 0.1,
        },
        "timeout_seconds": 10.0,
        "on_unknown": OnUnknown.resend.value,
        "on_failure_url": None,
        "attempts": 0,
        "next_attempt_at": "2027-01-15T08:00:00.000000Z",
        "ended_at": None,
    }


def test_an_ended_timer_says_when() -> None:
    shown = represent(_timer(state=TimerState.delivered, ended_at_us=DUE_US + 1, attempts=1), DUE_US - 1)
    assert (shown["time_left"], shown["next_attempt_at"], shown["attempts"]) == (0, None, 1)
    assert shown["ended_at"] == "2027-01-15T08:00:00.000001Z"


def test_a_body_is_shown_as_it_was_given() -> None:
    as_json = represent(_timer(body=b'{"order":17}'), 0)
    assert as_json["body"] == {"order": 17}
    assert "body_base64" not in as_json

    as_bytes = represent(_timer(body=b"\xff\x00", body_is_json=False), 0)
    assert as_bytes["body"] is None
    assert base64.b64decode(as_bytes["body_base64"]) == b"\xff\x00"

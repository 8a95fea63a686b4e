"""Cron expressions: known dates, and what is refused. (`tests/properties/test_cron.py` looks at all others.)"""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from timer_db.domain.cron import CRON_TEXT_MAX, Cron
from timer_db.domain.representation import microseconds, rfc3339


def runs(text: str, zone_name: str, begin: str, count: int) -> list[str]:
    """The first runs after a local time, in UTC, to the minute."""
    zone = ZoneInfo(zone_name)
    begin_us = microseconds(datetime.fromisoformat(begin).replace(tzinfo=zone))
    found = itertools.islice(Cron(text, zone).after(begin_us), count)
    return [rfc3339(run_us)[:16] for run_us in found]


@pytest.mark.parametrize(
    ("text", "zone", "begin", "due"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("0,15,30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", ["2026-04-23T22:00", "2026-04-24T21:00"]),
        ("0 9 * * *", "Asia/Kolkata", "2026-03-28T12:00", ["2026-03-29T03:30", "2026-03-30T03:30"]),
    ],
)
def test_a_time_that_is_skipped_or_doubled_runs_once(text: str, zone: str, begin: str, due: list[str]) -> None:
    assert runs(text, zone, begin, len(due)) == due


def test_what_runs_in_every_hour_takes_no_notice_of_a_change() -> None:
    due = ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"]
    assert runs("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:40", 5) == due
    assert runs("*/30 0-23 * * *", "Europe/Berlin", "2026-10-25T01:40", 5) == due
    due = ["2026-03-29T00:30", "2026-03-29T01:30"]
    assert runs("30 * * * *", "Europe/Berlin", "2026-03-29T01:00", 2) == due


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("0 0 29 2 *", ["2096-02-29T00:00", "2104-02-29T00:00", "2108-02-29T00:00"]),  # 2100 is no leap year
        ("0 0 29 2 */7", ["2128-02-29T00:00", "2156-02-29T00:00"]),  # a leap day that is a Sunday, after 40 years
        ("0 0 31 * *", ["2095-01-31T00:00", "2095-03-31T00:00", "2095-05-31T00:00"]),
        ("0 0 L 2 *", ["2095-02-28T00:00", "2096-02-29T00:00"]),
        ("0 0 LW * *", ["2095-01-31T00:00", "2095-02-28T00:00"]),
        ("0 9 * * MON#1", ["2095-01-03T09:00", "2095-02-07T09:00"]),
        ("0 9 * * 5L", ["2095-01-28T09:00", "2095-02-25T09:00"]),
        ("0 9 13 * FRI", ["2095-01-07T09:00", "2095-01-13T09:00", "2095-01-14T09:00"]),  # one or the other
        ("0 9 * jan-feb mon", ["2095-01-03T09:00", "2095-01-10T09:00"]),
        ("5/20 0 1 1 *", ["2095-01-01T00:05", "2095-01-01T00:25", "2095-01-01T00:45", "2096-01-01T00:05"]),
    ],
)
def test_dates(text: str, due: list[str]) -> None:
    begin = "2089-01-01T00:00" if "29 2" in text else "2094-12-31T23:00"
    found = runs(text, "UTC", begin, len(due) + 1)
    assert [at for at in found if at >= due[0]][: len(due)] == due


def test_seconds_come_first() -> None:
    zone = ZoneInfo("UTC")
    [first, second] = itertools.islice(Cron("*/20 0 0 1 1 *", zone).after(0), 2)
    assert (first, second) == (20_000_000, 40_000_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60 * * * *", "a minute is 0-59"),
        ("60 * * * * *", "a second is 0-59"),
        ("0 24 * * *", "an hour is 0-23"),
        ("0 0 0 * *", "a day of the month is 1-31"),
        ("0 0 * 13 *", "a month is 1-12 or JAN-DEC"),
        ("0 0 * * 8", "a day of the week is 0-7 or SUN-SAT"),
        ("0 5-2 * * *", "an hour is 0-23"),
        ("*/0 * * * *", "a minute is 0-59"),
        ("0 0 30 2 *", "one that its months have"),
        ("0 0 31 4,6 *", "one that its months have"),
        ("0 0 */5 2 MON#5", "it never comes"),
        ("0 0 */31 * MON#2", "it never comes"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("@daily", "five fields"),
        ("0 9 ? * *", "five fields"),
        ("", "five fields"),
        ("0 9 * * ١", "five fields"),
        ("1," * CRON_TEXT_MAX + "1 * * * *", "at most 200 characters"),
    ],
)
def test_what_is_refused_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Cron(text, ZoneInfo("UTC"))

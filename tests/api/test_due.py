"""Durations and due times by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_api.timers.due import SECONDS_MAX, US_MAX, delay_us, due_at_us

WEEK, DAY, HOUR, MINUTE = 604_800, 86_400, 3600, 60


def at(text: str, zone: str | None = None) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due_at_us(text, zone))


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (0, 0),
        (90, 90),
        (0.1, Fraction("0.1")),
        (1e-6, Fraction("0.000001")),
        (SECONDS_MAX, SECONDS_MAX),
        ("90s", 90),
        ("1h30m", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("2d", 2 * DAY),
        ("1w2d3h4m5s6ms", WEEK + 2 * DAY + 3 * HOUR + 4 * MINUTE + 5 + Fraction("0.006")),
        ("250ms", Fraction("0.25")),
        ("0.0000001s", Fraction("0.000001")),
        ("PT90S", 90),
        ("PT1H30M", 90 * MINUTE),
        ("P1DT12H", 36 * HOUR),
        ("P2W", 2 * WEEK),
        ("PT0.5S", Fraction("0.5")),
        ("P36525D", SECONDS_MAX),
    ],
)
def test_a_delay_in_each_notation(delay: object, seconds: Fraction) -> None:
    assert delay_us(delay) == seconds * 1_000_000


@pytest.mark.parametrize(
    "delay",
    [
        "",
        "1",
        "h",
        "1x",
        "1h1h",
        "1m1h",
        "+1h",
        "1 h",
        "1H",
        "pt1h",
        "P",
        "PT",
        "P1DT",
        "P1H",
        "PT1D",
        "P1W1D",
        "P1Y",
    ],
)
def test_what_is_no_duration_is_refused(delay: str) -> None:
    with pytest.raises(ValueError, match=r"duration|fixed length"):
        delay_us(delay)


parts = st.integers(min_value=0, max_value=10_000)


@given(days=parts, hours=parts, minutes=parts, seconds=parts)
def test_both_text_notations_mean_the_sum_of_their_parts(
    days: int, hours: int, minutes: int, seconds: int
) -> None:
    total = (days * DAY + hours * HOUR + minutes * MINUTE + seconds) * 1_000_000
    assert delay_us(f"{days}d{hours}h{minutes}m{seconds}s") == total
    assert delay_us(f"P{days}DT{hours}H{minutes}M{seconds}S") == total


@given(st.text(alphabet="0123456789wdhmsPTHMSDWY.-+ ", max_size=70) | st.text(max_size=20))
def test_any_text_is_a_duration_within_bounds_or_refused(text: str) -> None:
    try:
        us = delay_us(text)
    except ValueError:
        return
    assert 0 <= us <= US_MAX


@given(st.floats(min_value=0, max_value=SECONDS_MAX))
def test_a_number_of_seconds_is_kept_to_the_microsecond(seconds: float) -> None:
    assert abs(delay_us(seconds) - Fraction(seconds) * 1_000_000) <= 1


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), float("-inf"), -1e-9, 1e308, 10**30])
def test_numbers_out_of_bounds_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="it must"):
        delay_us(seconds)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_rfc_3339_with_an_offset_is_read_exactly(local: datetime, offset_minutes: int) -> None:
    hours, minutes = divmod(abs(offset_minutes), 60)
    text = f"{local.isoformat()}{'-' if offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"
    assert at(text) == local.replace(tzinfo=UTC) - timedelta(minutes=offset_minutes)


@pytest.mark.parametrize(
    ("fraction", "microseconds"), [("5", 500_000), ("000001", 1), ("0000001", 1), ("9999999", 1_000_000)]
)
def test_what_is_finer_than_a_microsecond_is_rounded_up(fraction: str, microseconds: int) -> None:
    expected = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert at(f"2030-01-01T00:00:00.{fraction}Z") == expected


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        # Clocks go from 02:00 to 03:00 on 28 March 2027, and from 03:00 to 02:00 on 31 October.
        ("2027-03-28T01:59:59", "00:59:59"),
        ("2027-03-28T02:00:00", "01:00:00"),
        ("2027-03-28T02:30:00", "01:30:00"),
        ("2027-03-28T03:00:00", "01:00:00"),
        ("2027-10-31T01:59:59", "23:59:59"),
        ("2027-10-31T02:30:00", "00:30:00"),
        ("2027-10-31T03:00:00", "02:00:00"),
    ],
)
def test_local_times_that_are_skipped_move_on_and_those_that_come_twice_mean_the_first(
    local: str, utc: str
) -> None:
    assert at(local, "Europe/Berlin").strftime("%H:%M:%S") == utc

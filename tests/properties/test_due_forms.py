"""The three forms of a due time, through all checks of the API: exact where they are legal, and a problem that
names the field where they are not. (`tests/api/test_due.py` has the grammar of each.)"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given
from hypothesis import strategies as st

from tests.profiles import look_at
from timer_api.errors import Problem
from timer_api.timers.creation import build, check
from timer_api.timers.due import SECONDS_MAX, US_MAX, delay_us, due_at_us
from timer_db.domain.representation import microseconds, rfc3339

NOW_US = 1_800_000_000_000_000
FORMS = ("hours", "minutes", "seconds", "delay", "due_at", "timezone")
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime", "posixrules", "Factory"}))
MOMENTS = st.datetimes(datetime(1902, 1, 1), datetime(2400, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
WHOLE = st.integers(-1, SECONDS_MAX + 1) | st.integers()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
TEXTS = st.from_regex(
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,18})?)?(Z|[+-][0-9]{2}:[0-9]{2})?\Z"
)


def due_of(**asked: Any) -> int:
    """When the timer is due that is asked for so."""
    return build(check({"url": "https://a.test", **asked}), UUID(int=1), NOW_US).due_at_us


@look_at(400)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "hours": WHOLE | ANYTHING,
            "minutes": WHOLE | ANYTHING,
            "seconds": WHOLE | ANYTHING,
            "delay": WHOLE | st.floats() | st.from_regex(r"\A[0-9]{1,19}(w|d|h|ms|m|s)\Z") | ANYTHING,
            "due_at": TEXTS | ANYTHING,
            "timezone": ZONES | ANYTHING,
        },
    )
)
def test_whatever_is_asked_is_due_within_a_hundred_years_or_names_its_field(asked: dict[str, Any]) -> None:
    problem = None
    try:
        due_us = due_of(**asked)
    except Problem as raised:
        problem = raised
    if problem is None:
        assert NOW_US <= due_us <= NOW_US + US_MAX
    else:
        assert problem.kind.status == 422
        assert problem.errors
        assert {error.field.split(".")[0].split("[")[0] for error in problem.errors} <= set(FORMS)


@look_at(200)
@given(st.integers(0, 1000), st.integers(0, 10_000), st.integers(0, 1_000_000))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    total_us = (hours * 3600 + minutes * 60 + seconds) * 1_000_000
    assert due_of(hours=hours, minutes=minutes, seconds=seconds) == NOW_US + total_us
    assert due_of(delay=total_us // 1_000_000) == NOW_US + total_us
    assert due_of(delay=f"{hours}h{minutes}m{seconds}s") == NOW_US + total_us


@look_at(200)
@given(st.integers(0, US_MAX))
def test_a_duration_in_text_is_exact_to_the_microsecond(us: int) -> None:
    text = f"{us // 1_000_000}.{us % 1_000_000:06d}"
    assert delay_us(f"{text}s") == delay_us(f"PT{text}S") == us


@look_at(300)
@given(st.integers(NOW_US, NOW_US + US_MAX), st.integers(-1439, 1439))
def test_a_moment_comes_back_from_its_text_in_any_offset(at_us: int, offset_minutes: int) -> None:
    assert due_at_us(rfc3339(at_us), None) == at_us == due_of(due_at=rfc3339(at_us))
    there = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    local = there.astimezone(timezone(timedelta(minutes=offset_minutes)))
    assert due_at_us(local.isoformat(), None) == at_us


@look_at(400)
@given(MOMENTS, ZONES)
def test_a_local_time_that_a_clock_shows_means_that_moment_or_the_first_one(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    local = moment.astimezone(zone)
    read = due_at_us(local.replace(tzinfo=None, fold=0).isoformat(), name)
    if local.fold == 0:
        assert read == microseconds(moment)
    else:
        assert read < microseconds(moment)
        back = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=read)).astimezone(zone)
        assert back.replace(tzinfo=None) == local.replace(tzinfo=None, fold=0)


@look_at(400)
@given(st.datetimes(datetime(1902, 1, 1), datetime(2400, 1, 1)), ZONES)
def test_a_local_time_that_no_clock_shows_moves_on_by_the_gap(local: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    read = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due_at_us(local.isoformat(), name))
    shown = read.astimezone(zone)
    skipped = shown.replace(tzinfo=None, fold=0) - local
    if skipped:
        # The clock never shows `local`: it was put forward by that much at some moment within a day.
        assert timedelta(0) < skipped <= timedelta(days=1)
        assert all(
            (read + timedelta(minutes=minutes)).astimezone(zone).replace(tzinfo=None, fold=0) != local
            for minutes in range(-1500, 1501, 15)
        )

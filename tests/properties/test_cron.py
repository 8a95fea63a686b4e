"""Cron expressions against a second reading of the rules, minute by minute and second by second, around changes of
real clocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tests.profiles import look_at
from timer_db.domain.cron import CRON_TEXT_MAX, Cron
from timer_db.domain.representation import microseconds

CHANGES = {
    "Europe/Berlin forward": ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "Europe/Berlin back": ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York forward": ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    "America/New_York back": ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "half an hour forward": ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "half an hour back": ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, 0, tzinfo=UTC)),
    "no midnight": ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
    "midnight twice": ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    "the last hour of a day twice": ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)),
    "a day that never was": ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    "no change": ("Asia/Kolkata", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "UTC": ("UTC", datetime(2100, 2, 28, 12, tzinfo=UTC)),
}


class Field(NamedTuple):
    """A field as it is written, and the values that it means."""

    text: str
    values: frozenset[int]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> Field:
    """A field of a range."""
    whole = range(low, high + 1)
    # cronsim takes `7-7/5` for `7/5`, which goes on from 7; nobody writes it.
    first, last = sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True)))
    step = draw(st.integers(1, high - low + 1))
    several = draw(st.sets(st.integers(low, high), min_size=1, max_size=4))
    return draw(
        st.sampled_from(
            [
                Field("*", frozenset(whole)),
                Field(f"*/{step}", frozenset(whole[::step])),
                Field(str(first), frozenset([first])),
                Field(f"{first}-{last}", frozenset(range(first, last + 1))),
                Field(f"{first}-{last}/{step}", frozenset(range(first, last + 1, step))),
                Field(",".join(map(str, several)), frozenset(several)),
            ]
        )
    )


@lru_cache
def shown_around(change: str, reach: timedelta, step: timedelta) -> tuple[tuple[datetime, datetime], ...]:
    """Each moment around a change, and what the clock shows then."""
    zone_name, change_at = CHANGES[change]
    moments = [change_at + step * number for number in range(-(reach // step), reach // step)]
    return tuple((at, at.astimezone(ZoneInfo(zone_name)).replace(tzinfo=None)) for at in moments)


def expected(
    change: str, reach: timedelta, step: timedelta, is_wanted: Callable[[datetime], bool], *, in_every_hour: bool
) -> list[datetime]:
    """The runs around a change, by what the clock shows."""
    shown = shown_around(change, reach, step)
    first_shown = {local: at for at, local in reversed(shown)}
    found = [at for at, local in shown if is_wanted(local) and (in_every_hour or first_shown[local] == at)]
    for (_, before), (at, after) in itertools.pairwise(shown):
        skipped = (before + step * number for number in range(1, (after - before) // step))
        if not in_every_hour and after - before > step and any(map(is_wanted, skipped)):
            found.append(at)
    return sorted(set(found))


def runs_between(cron: Cron, begin: datetime, end: datetime) -> list[datetime]:
    """The runs of a stretch that has its beginning in it, and its end not."""
    runs = itertools.takewhile(lambda run_us: run_us < microseconds(end), cron.after(microseconds(begin) - 1))
    return [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=run_us) for run_us in runs]


@look_at(400)
@given(st.sampled_from(sorted(CHANGES)), fields(0, 59), fields(0, 23), st.integers(-1500, 120))
def test_five_fields_around_a_change(change: str, minute: Field, hour: Field, begin_minutes: int) -> None:
    zone_name, change_at = CHANGES[change]
    begin, reach = change_at + timedelta(minutes=begin_minutes), timedelta(hours=26)
    due = expected(
        change,
        reach,
        timedelta(minutes=1),
        lambda local: local.minute in minute.values and local.hour in hour.values,
        in_every_hour=len(hour.values) == 24,
    )
    cron = Cron(f"{minute.text} {hour.text} * * *", ZoneInfo(zone_name))
    assert runs_between(cron, begin, change_at + reach) == [at for at in due if at >= begin]


@look_at(60)
@given(st.sampled_from(sorted(CHANGES)), fields(0, 59), fields(0, 59), fields(0, 23), st.integers(-3600, 1800))
def test_six_fields_around_a_change(
    change: str, second: Field, minute: Field, hour: Field, begin_seconds: int
) -> None:
    zone_name, change_at = CHANGES[change]
    begin, reach = change_at + timedelta(seconds=begin_seconds), timedelta(seconds=3700)
    due = expected(
        change,
        reach,
        timedelta(seconds=1),
        lambda local: (
            local.second in second.values and local.minute in minute.values and local.hour in hour.values
        ),
        in_every_hour=len(hour.values) == 24,
    )
    cron = Cron(f"{second.text} {minute.text} {hour.text} * * *", ZoneInfo(zone_name))
    assert runs_between(cron, begin, change_at + reach) == [at for at in due if at >= begin]


@look_at(300)
@given(
    st.sampled_from(sorted({zone for zone, _ in CHANGES.values()})),
    fields(0, 59),
    fields(0, 23),
    fields(1, 31),
    fields(1, 12),
    fields(0, 7),
    st.datetimes(datetime(2000, 1, 1), datetime(2190, 1, 1)),
)
def test_an_expression_is_refused_or_its_runs_can_be_computed_from_anywhere(
    zone_name: str, minute: Field, hour: Field, day: Field, month: Field, weekday: Field, moment: datetime
) -> None:
    try:
        cron = Cron(" ".join(field.text for field in (minute, hour, day, month, weekday)), ZoneInfo(zone_name))
    except ValueError:
        # Whatever else they say: these days are in no month, or never on that day of the week.
        longest = max(31 if n in (1, 3, 5, 7, 8, 10, 12) else 29 if n == 2 else 30 for n in month.values)
        assert min(day.values) > longest or max(day.values) > 28
        return
    at_us = microseconds(moment.replace(tzinfo=UTC))
    runs = list(itertools.islice(cron.after(at_us), 3))
    assert len(runs) == 3
    assert at_us < runs[0] < runs[1] < runs[2]
    assert next(cron.after(runs[0] - 1)) == runs[0]
    assert [next(cron.after(run_us)) for run_us in runs[:2]] == runs[1:]
    assert cron.last_until(runs[1]) == runs[1]
    assert cron.last_until(runs[1] - 1) == runs[0]
    before = cron.last_until(at_us)
    assert before is None or before <= at_us < runs[0] == next(cron.after(before))


@look_at(500)
@given(st.text(max_size=30) | st.text("0123456789*,-/#LWMONFEB? ", max_size=CRON_TEXT_MAX + 10))
def test_no_text_does_worse_than_to_be_refused(text: str) -> None:
    try:
        cron = Cron(text, ZoneInfo("Europe/Berlin"))
    except ValueError:
        return
    assert len(text.split()) in (5, 6)
    assert next(cron.after(0)) > 0

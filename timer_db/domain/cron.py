"""Cron expressions, and the moments that they mean in a time zone.

cronsim reads them and walks the calendar. What it does about daylight saving follows Debian's cron, for some
expressions and not for others. Here one rule holds for all that name hours: a local time that the clock skips runs
once, right after the gap; one that the clock shows twice runs at the first. An expression that runs in every hour
knows neither: it goes on by the clock on the wall, through both passes of a doubled hour.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from timer_db.domain.representation import microseconds

CRON_TEXT_MAX = 200
SECOND_US = 1_000_000
_HOURS = frozenset(range(24))
_SHAPE = re.compile(r"[0-9A-Za-z*,/#-]+(?: +[0-9A-Za-z*,/#-]+){4,5}")
_ALLOWED = {
    "second": "a second is 0-59",
    "minute": "a minute is 0-59",
    "hour": "an hour is 0-23",
    "day-of-month": "a day of the month is 1-31, L (the last) or LW (the last from Monday to Friday), and one that"
    " its months have",
    "month": "a month is 1-12 or JAN-DEC",
    "day-of-week": "a day of the week is 0-7 or SUN-SAT (0 and 7 are Sunday), MON#2 (the second Monday) or 5L (the"
    " last Friday)",
}
# Within these years every combination of a date and a day of the week comes that ever comes.
_BEFORE_ALL = datetime(1999, 12, 31, 23, 59, 59)
# No search from before it leaves what `datetime` can tell.
_LAST_US = microseconds(datetime(9900, 1, 1, tzinfo=ZoneInfo("UTC")))
# How far to look back for the last run, nearest first: most expressions run often.
_WINDOWS_US = [
    round(timedelta(**span).total_seconds()) * SECOND_US
    for span in ({"minutes": 1}, {"hours": 1}, {"days": 1}, {"days": 32}, {"days": 366}, {"days": 366 * 50})
]


class Cron:
    """An expression of five fields (minute, hour, day of month, month, day of week), or six with seconds first, in
    a time zone. ValueError says what is wrong with it, or that it never comes.

    Moments are microseconds since the epoch; all are whole seconds.
    """

    def __init__(self, text: str, zone: ZoneInfo) -> None:
        if len(text) > CRON_TEXT_MAX:
            raise ValueError(f"it must have at most {CRON_TEXT_MAX} characters")
        if not _SHAPE.fullmatch(text):
            raise ValueError(
                "it must have five fields (minute, hour, day of month, month, day of week) or six (second first),"
                " such as 0 9 * * 1-5"
            )
        fields = text.split()
        # With seconds, always: cronsim leaves the clock changes of such expressions to us.
        self._expression = " ".join(["0", *fields] if len(fields) == 5 else fields)
        self._zone = zone
        try:
            walk = CronSim(self._expression, _BEFORE_ALL)
        except CronSimError as error:
            field = str(error).removeprefix("Bad ")
            raise ValueError(_ALLOWED.get(field, "it cannot be read")) from None
        if next(walk, None) is None:
            raise ValueError("it never comes: no such day is in the calendar")
        self._is_in_every_hour = walk.hours == _HOURS

    def after(self, at_us: int) -> Iterator[int]:
        """Every run after a moment, in order."""
        if at_us >= _LAST_US:
            return
        start = datetime.fromtimestamp(at_us // SECOND_US, self._zone)
        yield from self._in_every_hour(start) if self._is_in_every_hour else self._at_hours(start, at_us)

    def _at_hours(self, start: datetime, at_us: int) -> Iterator[int]:
        last_us = at_us
        for local in CronSim(self._expression, start.replace(tzinfo=None)):
            first_us, second_us = self._shown(local)
            moment_us = first_us if first_us <= second_us else self._end_of_gap(second_us, first_us)
            # Several that were skipped are one run; those of the second pass were at the first.
            if moment_us > last_us:
                yield moment_us
                last_us = moment_us

    def _in_every_hour(self, start: datetime) -> Iterator[int]:
        local, is_second_pass = start.replace(tzinfo=None), start.fold == 1
        # A time of an hour that is doubled, once the walk has come there for the first time.
        doubled = local if not is_second_pass and self._is_doubled(local) else None
        while True:
            for reading in CronSim(self._expression, local):
                first_us, second_us = self._shown(reading)
                if first_us < second_us:
                    doubled = None if is_second_pass else reading
                    yield second_us if is_second_pass else first_us
                elif doubled is not None:
                    # The first pass is over; before this one comes the second.
                    local, is_second_pass = self._before_doubled(doubled), True
                    break
                elif first_us == second_us:
                    is_second_pass = False
                    yield first_us
            else:
                return
            doubled = None

    def last_until(self, at_us: int) -> int | None:
        """The last run that is not after a moment."""
        for window_us in _WINDOWS_US:
            begin_us = max(0, at_us - window_us)
            first_us = next(self.after(begin_us), None)
            if first_us is not None and first_us <= at_us:
                break
        else:
            return None
        # The last run is the first second after which none comes until then.
        seconds = range(first_us // SECOND_US, at_us // SECOND_US + 1)
        return SECOND_US * seconds[bisect_left(seconds, True, key=lambda second: self._is_quiet(second, at_us))]

    def _is_quiet(self, second: int, until_us: int) -> bool:
        following_us = next(self.after(second * SECOND_US), None)
        return following_us is None or following_us > until_us

    def _shown(self, local: datetime) -> tuple[int, int]:
        """When a clock shows a local time first, and when for the second time. As PEP 495 has it, the second comes
        before the first for one that is skipped, and the end of the gap lies between them."""
        first, second = local.replace(tzinfo=self._zone), local.replace(tzinfo=self._zone, fold=1)
        return microseconds(first), microseconds(second)

    def _is_doubled(self, local: datetime) -> bool:
        first_us, second_us = self._shown(local)
        return first_us < second_us

    def _before_doubled(self, doubled: datetime) -> datetime:
        """The last second before the hour, or so, that is doubled, and of which this is one."""
        first_us, second_us = self._shown(doubled)
        length = (second_us - first_us) // SECOND_US
        earliest = doubled - timedelta(seconds=length)
        ahead = bisect_left(range(length), True, key=lambda at: self._is_doubled(earliest + timedelta(seconds=at)))
        return earliest + timedelta(seconds=ahead - 1)

    def _end_of_gap(self, from_us: int, until_us: int) -> int:
        seconds = range(from_us // SECOND_US, until_us // SECOND_US + 1)
        offset = self._offset(seconds[-1])
        return SECOND_US * seconds[bisect_left(seconds, True, key=lambda second: self._offset(second) == offset)]

    def _offset(self, second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, self._zone).utcoffset()

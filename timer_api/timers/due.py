"""When a timer is due: the three forms that a client may choose from.

A duration becomes microseconds, exactly: text is never read as a binary fraction, and what is finer than a
microsecond is rounded up, so that nothing is early.
"""

from __future__ import annotations

import functools
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_CEILING, Decimal

DAYS_MAX = 36_525
SECONDS_MAX = DAYS_MAX * 86_400
"""A hundred years."""
US_MAX = SECONDS_MAX * 1_000_000
_TOO_LONG = f"it must be at most {SECONDS_MAX:,} seconds (100 years)"

DELAY_TEXT_MAX = 64
DUE_AT_TEXT_MAX = 64

_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_UNITS_US = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1000,
}
SHORT_PATTERN = "".join(rf"(?:{_NUMBER}{unit})?" for unit in _UNITS_US)
# ISO 8601-1, 5.5.2.2 and 5.5.2.4, without years and months, whose length depends on when they begin.
ISO_PATTERN = rf"P(?:{_NUMBER}W|(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?)"
_SHORT = re.compile(SHORT_PATTERN)
_ISO = re.compile(ISO_PATTERN)
_PARTS = re.compile(rf"({_NUMBER})(ms|[A-Za-z])")
_CALENDAR = re.compile(r"P[0-9.]+[YM]")

# RFC 3339, section 5.6; the offset may be missing when a time zone is named, and so may the seconds.
DUE_AT_PATTERN = (
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,18}))?)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
DUE_AT_OFFSET_PATTERN = r"([Zz]|[+-][0-9]{2}:[0-9]{2})$"
MOMENT_PATTERN = f"^{DUE_AT_PATTERN.removesuffix('?')}$"
"""With an offset in any case."""
_DUE_AT = re.compile(DUE_AT_PATTERN)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
# What some systems put beside the IANA names: it depends on the machine, or is no place at all.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def delay_us(value: object) -> int:
    """`delay` as microseconds: a number of seconds, `1h30m`, or `PT1H30M`. ValueError says what is wrong."""
    if isinstance(value, str):
        us = _text_us(value)
        if us > US_MAX:
            raise ValueError(_TOO_LONG)
        return us
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError('it must be a number of seconds, "1h30m" or "PT1H30M"')
    if value < 0:
        raise ValueError("it must not be negative")
    # Also for what is no number at all: every comparison with NaN is false.
    if not value <= SECONDS_MAX:
        raise ValueError(_TOO_LONG)
    # JSON numbers are binary fractions by now: 0.1 s are 100,000 µs, not one more.
    return round(value * 1_000_000)


def _text_us(text: str) -> int:
    if len(text) > DELAY_TEXT_MAX:
        raise ValueError(f"it must have at most {DELAY_TEXT_MAX} characters")
    if _CALENDAR.match(text):
        raise ValueError("years and months have no fixed length; give days")
    known = _ISO.fullmatch(text) if text.startswith("P") else _SHORT.fullmatch(text)
    parts = _PARTS.findall(text)
    if not known or not parts or text.endswith("T"):
        raise ValueError('it is no duration; write 90, "1h30m" (w, d, h, m, s, ms) or "PT1H30M"')
    us = sum((Decimal(number) * _UNITS_US[unit.lower()] for number, unit in parts), Decimal())
    return int(us.to_integral_value(ROUND_CEILING))


def shift_us(value: object) -> int:
    """`shift` as microseconds: a `delay` that may have a sign before it. ValueError says what is wrong."""
    if isinstance(value, str) and value[:1] in ("+", "-"):
        return delay_us(value[1:]) * (-1 if value[0] == "-" else 1)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        return -delay_us(-value)
    return delay_us(value)


def has_offset(text: str) -> bool:
    """Whether a moment says how far its clock is from UTC."""
    return re.search(DUE_AT_OFFSET_PATTERN, text) is not None


def due_at_us(text: str, zone_name: str | None) -> int:
    """`due_at` as microseconds since the epoch: RFC 3339 with an offset, or local time in the named zone.

    A local time that a clock skips (spring) is read with the offset from before the change, so it moves
    forward by the gap; one that a clock shows twice (autumn) means the first. RFC 5545 (3.3.5) has the same
    rule. ValueError says what is wrong.
    """
    match = _DUE_AT.fullmatch(text)
    if not match:
        raise ValueError("it must look like 2030-01-31T18:00:00Z, or 2030-01-31T18:00:00 with a timezone")
    year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
    second, fraction, offset = match.groups()[5:]
    if offset and zone_name is not None:
        raise ValueError("it has an offset of its own, so timezone must be left out")
    if not offset and zone_name is None:
        raise ValueError("it has no offset; add one (Z, +01:00), or name its timezone")
    zone = _offset(offset) if offset else zone_named(zone_name or "")
    try:
        moment = datetime(year, month, day, hour, minute, int(second or 0), tzinfo=zone)
        since = moment.astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise ValueError(f"there is no such time: {error}") from None
    whole = (since.days * 86_400 + since.seconds) * 1_000_000
    rest = Decimal(f"0.{fraction or 0}") * 1_000_000
    return whole + int(rest.to_integral_value(ROUND_CEILING))


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    shift = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-shift if text[0] == "-" else shift)


def text_schema(shortest: int, pattern: str, form: str) -> dict[str, object]:
    """The JSON schema of a duration in one of the text forms."""
    bounds = {"minLength": shortest, "maxLength": DELAY_TEXT_MAX}
    return {"type": "string", **bounds, "pattern": f"^{pattern}$", "format": form}


class UnknownZone(ValueError):
    """The fault lies in `timezone`, not in `due_at`."""


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """The zone with this IANA name. `UnknownZone` if there is none."""
    # Only known names reach ZoneInfo: it opens files by them.
    if not _ZONE_NAME.fullmatch(name) or name not in _known_zones():
        raise UnknownZone("it is no IANA time zone, such as Europe/Berlin")
    return zoneinfo.ZoneInfo(name)


@functools.cache
def _known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _NO_ZONES

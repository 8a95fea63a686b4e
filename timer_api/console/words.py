"""Figures and times in words, for the templates."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from timer_db.domain.representation import microseconds, rfc3339

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def number(value: float | None) -> str:
    """`12,345`; small fractions keep two digits."""
    if value is None:
        return "–"
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.2g}"


def milliseconds(value: float | None) -> str:
    """`3.2 ms`, `14 s`."""
    if value is None:
        return "–"
    return f"{number(value)} ms" if value < 1000 else span(value / 1000)


def span(seconds: float | None) -> str:
    """`3.2 s`, `4 m 10 s`, `2 d 3 h`: the two largest units."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    rest = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 "))


def from_now(at_us: int, now_us: int) -> str:
    """`in 4 m 10 s`, `3 s ago`."""
    seconds = (at_us - now_us) / 1_000_000
    if abs(seconds) < 1:
        return "now"
    return f"in {span(int(seconds))}" if seconds > 0 else f"{span(int(-seconds))} ago"


def time_us(text: str) -> int:
    """What the API shows as RFC 3339, in microseconds."""
    return microseconds(datetime.fromisoformat(text))


def moment(text: str) -> str:
    """RFC 3339 for people: `2026-11-27 14:46:05 UTC`."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def local(text: str, zone: str) -> str:
    """The same as clocks in this time zone show it: `2026-11-27 15:46:05 Fri`."""
    return f"{datetime.fromisoformat(text).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %a}"


FILTERS = {
    "number": number,
    "milliseconds": milliseconds,
    "span": span,
    "from_now": from_now,
    "time_us": time_us,
    "moment": moment,
    "local": local,
    "rfc3339": rfc3339,
}

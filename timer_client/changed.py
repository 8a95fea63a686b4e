"""Whether a timer is as a change wanted it: when the answer was lost, and the repeat is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from timer_client.answers import Timer

_CLOCKS_APART = timedelta(seconds=5)
"""So far the service's clock may be from ours."""
_UNITS = {"hours": 3_600, "minutes": 60, "seconds": 1}
_WHEN = frozenset({*_UNITS, "delay", "due_at", "timezone"})


def is_as_asked(timer: Timer, asked: Mapping[str, Any], began: datetime) -> bool:
    """Whether it stands as the JSON of a change asks, which was sent first at `began`. What cannot be told, such
    as what a default is or how long a text is, counts as no."""
    if not all(_fits(name, value, timer.raw.get(name)) for name, value in asked.items() if name not in _WHEN):
        return False
    return _WHEN.isdisjoint(asked) or _is_due_as_asked(timer, asked, began)


def _fits(name: str, asked: Any, shown: Any) -> bool:
    if asked is None:
        return shown is None or shown == {}
    if name == "retry" and shown is not None:
        # What was left out is shown too.
        return bool(asked.items() <= shown.items())
    return bool(asked == shown)


def _is_due_as_asked(timer: Timer, asked: Mapping[str, Any], began: datetime) -> bool:
    first, last = began - _CLOCKS_APART, datetime.now(UTC) + _CLOCKS_APART
    if "due_at" in asked:
        try:
            at = datetime.fromisoformat(asked["due_at"])
        except ValueError:
            return False
        # What is in the past is due now.
        return at.tzinfo is not None and max(at, first) <= timer.due_at <= max(at, last)
    delay = asked.get("delay", sum(asked.get(name, 0) * seconds for name, seconds in _UNITS.items()))
    if not isinstance(delay, (int, float)):
        return False
    return first <= timer.due_at - timedelta(seconds=delay) <= last

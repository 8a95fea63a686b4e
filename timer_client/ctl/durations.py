"""Durations as people write them."""

from __future__ import annotations

import re

from timer_client.ctl.faults import Fault

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(w|d|h|ms|m|s)")


def number_or_text(text: str | None) -> float | str | None:
    """A duration as the service takes it: of digits alone, a number of seconds; else what it reads itself."""
    if text is None or not re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
        return text
    return float(text) if "." in text else int(text)


def seconds_of(text: str) -> float:
    """`90`, `2h`, `1d12h`, as seconds. Fault for what is none, or less than nothing."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or _PART.sub("", text):
        raise Fault(f"{text}: it is no duration, such as 90, 2h or 1d12h")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))

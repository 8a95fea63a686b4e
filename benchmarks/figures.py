"""What a workload hands back, and the little arithmetic that all of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Value = float | int | str | None


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says in one line why, and what to do."""


@dataclass(slots=True)
class Result:
    """One case of one workload on one engine."""

    engine: str
    workload: str
    case: dict[str, int]
    """What was asked for: sizes, rates, numbers of processes."""
    figures: dict[str, Value] = field(default_factory=dict)
    """`catalogue` has the meaning of each."""
    series: dict[str, list[list[float]]] = field(default_factory=dict)
    """Points for plots."""
    error: str | None = None
    """Why there are no figures."""

    @property
    def title(self) -> str:
        """The case in words."""
        return ", ".join(f"{value:,} {_counted(name, value)}" for name, value in self.case.items())


def _counted(name: str, value: int) -> str:
    words = name.replace("_", " ")
    return words.removesuffix("s") if value == 1 else words


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank); they are sorted."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread_of(values: Sequence[float]) -> dict[str, Value]:
    """p50, p99, p99.9 and the maximum."""
    ordered = sorted(values)
    return {
        "p50": round(percentile(ordered, 50), 3),
        "p99": round(percentile(ordered, 99), 3),
        "p999": round(percentile(ordered, 99.9), 3),
        "max": round(ordered[-1], 3) if ordered else None,
    }


def quantile_curve(values: Sequence[float]) -> list[list[float]]:
    """Points (percent, value) for a plot; dense where it matters, at the end."""
    ordered = sorted(values)
    percents = [*range(0, 99, 2), 99, 99.5, 99.9, 99.99, 100]
    return [[percent, round(percentile(ordered, percent), 3)] for percent in percents] if ordered else []


def per_timer_us(seconds: float, timers: int) -> float:
    """CPU seconds as microseconds per timer."""
    return round(seconds / timers * 1e6, 1)


def ratio(part: float, whole: float) -> float | None:
    """None when there is nothing to compare with."""
    return round(part / whole, 3) if whole else None

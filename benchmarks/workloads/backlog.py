"""N timers of five priorities that have been due for a while: do they come highest first, then oldest?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.figures import BenchmarkError, Result, percentile
from benchmarks.ground import Ground
from benchmarks.loading import template
from benchmarks.programs import Program

PRIORITIES = (32_767, 9, 5, 1, 0)
_AGE_US = 3_600_000_000
_PATIENCE_SECONDS = 60.0
_SLOWEST_PER_SECOND = 400


def run(ground: Ground) -> Iterator[Result]:
    """One case per number of controllers."""
    each = ground.options.backlog_timers // len(PRIORITIES)
    for controllers in ground.options.controllers:
        result = ground.result("backlog", timers=each * len(PRIORITIES), controllers=controllers)
        ground.observer.empty()
        tags = _load(ground, each)
        ground.calm()
        ground.sink.forget()
        began = time.monotonic()
        with ground.controllers(controllers) as programs:
            _wait(ground, each * len(PRIORITIES), programs)
            seconds = time.monotonic() - began
            ground.wait_written(programs)
        result.figures = {
            **_order(ground.sink.sequence(tags), each),
            "seconds_from_start": round(seconds, 2),
            "logged_delivered": ground.observer.delivered(),
        }
        yield result


def _load(ground: Ground, each: int) -> list[str]:
    """The oldest of each priority has number 0, and is as old as those of the others."""
    first_due_us = time.time_ns() // 1000 - _AGE_US
    tags = []
    for priority in reversed(PRIORITIES):
        tags.append(ground.tag("backlog"))
        ground.load(replace(template(ground.sink.url(tags[-1])), priority=priority), each, first_due_us, 1)
    return tags[::-1]


def _wait(ground: Ground, timers: int, programs: Sequence[Program]) -> None:
    if not ground.sink.wait_for(timers, _PATIENCE_SECONDS + timers / _SLOWEST_PER_SECOND, programs):
        raise BenchmarkError("the backlog was not delivered in time")


def _order(arrived: Sequence[tuple[int, int]], each: int) -> dict[str, int | float]:
    """How far timers were from the place that their priority and age gave them."""
    places_off = sorted(abs(place - (tag * each + number)) for place, (tag, number) in enumerate(arrived))
    lowest_so_far, overtaken = len(PRIORITIES), 0
    for tag, _ in reversed(arrived):
        overtaken += tag > lowest_so_far
        lowest_so_far = min(lowest_so_far, tag)
    return {
        "overtaking_share": round(overtaken / len(arrived), 4),
        "places_off_p99": round(percentile(places_off, 99)),
        "places_off_max": places_off[-1],
        "missed": each * len(PRIORITIES) - len(set(arrived)),
        "doubled": len(arrived) - len(set(arrived)),
    }

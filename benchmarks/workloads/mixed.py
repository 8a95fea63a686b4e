"""Creates at a steady rate while a burst is delivered: do claims make inserts wait?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.delivery import Burst, deliver_burst
from benchmarks.figures import Result, ratio
from benchmarks.ground import Ground
from benchmarks.machine import cpu_seconds
from benchmarks.programs import Program
from benchmarks.workloads.create import check_created, create_request

_CONNECTIONS = 64
_SECONDS_MAX = 60
_ENDLESS = 100_000_000


def run(ground: Ground) -> Iterator[Result]:
    """One case: the same creates with nothing else to do, then beside the burst."""
    options = ground.options
    timers, rate, controllers = options.mixed_timers, options.mixed_rate, options.controllers[-1]
    result = ground.result("mixed", timers=timers, controllers=controllers, creates_per_second=rate)
    ground.observer.empty()
    with ground.api() as (api, port):
        idle: dict[str, Any] = {}
        with _creates(ground, port, rate, idle):
            time.sleep(options.mixed_idle_seconds)
        busy: dict[str, Any] = {}
        api_seconds = cpu_seconds(api.pid)
        burst = deliver_burst(
            ground,
            "mixed",
            timers,
            controllers,
            meanwhile=lambda: _creates(ground, port, rate, busy),
            known_seconds=lambda: busy["process_seconds"] + cpu_seconds(api.pid) - api_seconds,
        )
    _note(result, idle, busy, burst)
    yield result


@contextmanager
def _creates(ground: Ground, port: int, rate: int, report: dict[str, Any]) -> Iterator[Program]:
    """Creates as long as the body runs; the report is filled at the end."""
    generator = ground.generator(port, create_request(port), connections=_CONNECTIONS, count=_ENDLESS, rate=rate)
    with generator:
        yield generator
        generator.ask_to_end()
        report.update(generator.report(_SECONDS_MAX))
        check_created(report)


def _note(result: Result, idle: dict[str, Any], busy: dict[str, Any], burst: Burst) -> None:
    result.figures = {
        "p99_times_idle": ratio(busy["latency_ms"]["p99"], idle["latency_ms"]["p99"]),
        "row_lock_waits": burst.figures.pop("row_lock_waits"),
        "create_p50_ms": busy["latency_ms"]["p50"],
        "create_p99_ms": busy["latency_ms"]["p99"],
        "create_max_ms": busy["latency_ms"]["max"],
        "idle_p50_ms": idle["latency_ms"]["p50"],
        "idle_p99_ms": idle["latency_ms"]["p99"],
        "created": busy["requests"],
        **burst.figures,
    }
    result.series = {"progress": burst.progress}

"""One receiver of ten hangs: are the other nine called on time?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext

from benchmarks.figures import Result, Value, quantile_curve, ratio, spread_of
from benchmarks.ground import RECEIVERS, Ground
from benchmarks.loading import Load, template
from benchmarks.programs import sleep_until

NEVER_SECONDS = 3600.0
_PATIENCE_SECONDS = 20.0
"""Longer than the time limit of a call: what a hanging receiver held up is through by then, or counts as lost."""
_DRAIN_SECONDS = 1


def run(ground: Ground) -> Iterator[Result]:
    """One case: all ten answer, then nine of them."""
    rate, seconds = ground.options.slow_rate, ground.options.slow_seconds
    result = ground.result("slow", per_second=rate, seconds=seconds, controllers=ground.options.controllers[0])
    healthy, _ = _measure(ground, rate, seconds, hangs=False)
    beside, undelivered = _measure(ground, rate, seconds, hangs=True)
    without, with_it = spread_of(healthy), spread_of(beside)
    result.figures = {
        "p99_times_healthy": ratio(_number(with_it["p99"]), _number(without["p99"])),
        **{f"lateness_{name}_ms": value for name, value in with_it.items()},
        **{f"healthy_{name}_ms": value for name, value in without.items()},
        "undelivered": undelivered,
    }
    result.series = {"beside_ms": quantile_curve(beside), "healthy_ms": quantile_curve(healthy)}
    yield result


def _measure(ground: Ground, rate: int, seconds: int, *, hangs: bool) -> tuple[list[float], int]:
    """Lateness of the calls to the nine, by their log; what did not arrive is as late as we waited."""
    ground.observer.empty()
    tag, count = ground.tag("slow"), rate * seconds // RECEIVERS * RECEIVERS
    urls = [ground.sink.url(f"{tag}r{n}", port=n) for n in range(RECEIVERS)]
    hanging, port = ground.late_receiver(NEVER_SECONDS) if hangs else (nullcontext(), 0)
    with hanging:
        if hangs:
            urls[-1] = f"http://127.0.0.1:{port}/{tag}"
        loads = ground.load_ahead([template(url) for url in urls], count, 1_000_000 // rate)
        with ground.controllers(ground.options.controllers[0], drain_seconds=_DRAIN_SECONDS) as programs:
            sleep_until(loads[0].first_due_us - 1_000_000)
            ground.sink.forget()
            wanted = count if not hangs else count - loads[-1].count
            ground.sink.wait_for(wanted, seconds + _PATIENCE_SECONDS, programs)
            waited_until_us = time.time_ns() // 1000
    return _lateness(ground, tag, loads[:-1], waited_until_us)


def _lateness(ground: Ground, tag: str, loads: list[Load], waited_until_us: int) -> tuple[list[float], int]:
    late_ms: list[float] = []
    missed = 0
    for n, load in enumerate(loads):
        arrivals = ground.sink.arrivals(f"{tag}r{n}", load.count)
        late_ms += arrivals.lateness_ms(load.first_due_us, load.step_us)
        for number, arrived in enumerate(arrivals.counts):
            if not arrived:
                missed += 1
                late_ms.append((waited_until_us - load.first_due_us - number * load.step_us) / 1000)
    return late_ms, missed


def _number(value: Value) -> float:
    return value if isinstance(value, (int, float)) else 0.0

"""A burst from its load to its last outcome, measured; several workloads are variations of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from benchmarks import machine
from benchmarks.figures import BenchmarkError, Value, per_timer_us
from benchmarks.ground import CONTROLLER, PURGE_SECONDS, Ground
from benchmarks.loading import Load, template
from benchmarks.meter import Meter, Spent
from benchmarks.programs import Program, sleep_until
from benchmarks.sink import Arrivals

BEFORE_US = 1_000_000
"""Counting begins so long before the instant: claims for it begin three quarters of a second ahead."""
_PATIENCE_SECONDS = 60.0
_SLOWEST_PER_SECOND = 400
_BUCKET_MS = 100


@dataclass(slots=True)
class Burst:
    """What was measured."""

    figures: dict[str, Value] = field(default_factory=dict)
    progress: list[list[float]] = field(default_factory=list)
    """Points (seconds since the instant, timers delivered by then)."""

    @property
    def per_second(self) -> float:
        """Deliveries per second, from the instant to the last arrival."""
        value = self.figures["deliveries_per_second"]
        assert isinstance(value, (int, float))
        return value


Meanwhile = Callable[[], AbstractContextManager[object]]


def deliver_burst(
    ground: Ground,
    name: str,
    timers: int,
    controllers: int,
    meanwhile: Meanwhile = nullcontext,
    known_seconds: Callable[[], float] = lambda: 0.0,
    *,
    module: str = CONTROLLER,
    ports: Sequence[int] = (),
) -> Burst:
    """Load `timers` for one instant, deliver them. `meanwhile` lasts from just before it to the end;
    `known_seconds` tells afterwards how much CPU it took. The controllers are processes of `module`, and show
    their metrics on these ports."""
    tag = ground.tag(name)
    load = ground.load_ahead([template(ground.sink.url(tag))], timers)[0]
    with ground.controllers(controllers, module=module, ports=ports) as programs:
        sleep_until(load.first_due_us - BEFORE_US)
        ground.sink.forget()
        meter = Meter(ground.observer, _parts(ground, programs))
        with meanwhile():
            sleep_until(load.first_due_us)
            busy_seconds = machine.busy_seconds()
            arrivals = _await(ground, tag, timers, programs)
            ground.wait_written(programs)
            written_at_us = time.time_ns() // 1000
            busy_seconds = machine.busy_seconds() - busy_seconds
        time.sleep(PURGE_SECONDS)
        spent = meter.spent(known_seconds())
        memory = max(machine.resident_peak_mb(program.pid) for program in programs)
    figures = {
        **_outcome(arrivals, load, written_at_us),
        **_cost(spent, timers),
        "cores_busy": round(busy_seconds * 1e6 / (written_at_us - load.first_due_us), 2),
        "controller_peak_mb": memory,
        "logged_delivered": ground.observer.delivered(),
        **spent.statements_per(ground.observer.batches()),
        "others_cores": spent.others_cores,
    }
    return Burst(figures, _progress(arrivals, load))


def _parts(ground: Ground, programs: Sequence[Program]) -> dict[str, list[int]]:
    return {
        "database": [ground.server_pid],
        "nginx": [ground.sink.program.pid],
        "controllers": [program.pid for program in programs],
    }


def _await(ground: Ground, tag: str, timers: int, programs: Sequence[Program]) -> Arrivals:
    """Until all have arrived, or the time is over. A timer that arrived twice does not count for another."""
    patience_ends = time.monotonic() + _PATIENCE_SECONDS + timers / _SLOWEST_PER_SECOND
    wanted = timers
    while True:
        in_time = ground.sink.wait_for(wanted, patience_ends - time.monotonic(), programs)
        arrivals = ground.sink.arrivals(tag, timers)
        if not in_time or not arrivals.missed:
            return arrivals
        wanted += max(1, arrivals.doubled)


def _outcome(arrivals: Arrivals, load: Load, written_at_us: int) -> dict[str, Value]:
    if not arrivals.delivered:
        raise BenchmarkError("nothing arrived")
    # The log cuts to milliseconds: the last one may have come up to one later.
    seconds = (arrivals.last_ms + 1) / 1000 - load.first_due_us / 1e6
    return {
        "deliveries_per_second": round(arrivals.delivered / seconds),
        "seconds_to_last_arrival": round(seconds, 2),
        "seconds_to_last_outcome": round((written_at_us - load.first_due_us) / 1e6, 2),
        "missed": arrivals.missed,
        "doubled": arrivals.doubled,
        "early": arrivals.early(load.first_due_us, load.step_us),
    }


def _cost(spent: Spent, timers: int) -> dict[str, Value]:
    parts = ("database", "controllers", "nginx")
    cpu = {name: spent.cpu[name] for name in parts}
    return {
        **{f"{name}_us": per_timer_us(seconds, timers) for name, seconds in cpu.items()},
        "all_us": per_timer_us(sum(cpu.values()), timers),
        "row_lock_waits": spent.status["Innodb_row_lock_waits"],
    }


def _progress(arrivals: Arrivals, load: Load) -> list[list[float]]:
    first_ms = load.first_due_us // 1000
    buckets: dict[int, int] = {}
    for at_ms in arrivals.first_ms:
        if at_ms:
            bucket = max(0, at_ms - first_ms) // _BUCKET_MS
            buckets[bucket] = buckets.get(bucket, 0) + 1
    points, done = [[0.0, 0.0]], 0
    for bucket in range(max(buckets, default=-1) + 1):
        done += buckets.get(bucket, 0)
        points.append([round((bucket + 1) * _BUCKET_MS / 1000, 1), done])
    return points

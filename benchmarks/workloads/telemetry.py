"""The same burst with and without what is counted and scraped: what do metrics cost?"""

from __future__ import annotations

import statistics
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.delivery import Burst, deliver_burst
from benchmarks.figures import BenchmarkError, Result, ratio
from benchmarks.ground import Ground
from benchmarks.programs import free_ports

_RATE = "deliveries_per_second"
_SCRAPE_SECONDS = 1.0
"""Far more often than anybody does."""
_TIMEOUT_SECONDS = 10.0


def run(ground: Ground) -> Iterator[Result]:
    """One case: pairs of bursts in turn, so that a machine that grows slower meanwhile hits both alike."""
    options = ground.options
    timers, controllers = options.telemetry_timers, options.controllers[-1]
    result = ground.result("telemetry", timers=timers, controllers=controllers, pairs=options.telemetry_pairs)
    told: list[Burst] = []
    untold: list[Burst] = []
    scrapes = 0
    for pair in range(options.telemetry_pairs):
        # Who begins changes, too: what one burst leaves behind is the other one's.
        for is_told in (True, False) if pair % 2 else (False, True):
            ground.observer.empty()
            if is_told:
                with _scraped(free_ports(controllers)) as (ports, bodies):
                    told.append(deliver_burst(ground, "telemetry", timers, controllers, ports=ports))
                scrapes += len(bodies)
            else:
                module = "benchmarks.controller_without_telemetry"
                untold.append(deliver_burst(ground, "telemetry", timers, controllers, module=module))
    shares = [_cost(with_it) / _cost(without) - 1 for with_it, without in zip(told, untold, strict=True)]
    result.figures = {
        "share_of_burst": round(statistics.median(shares), 4),
        "share_least": round(min(shares), 4),
        "share_most": round(max(shares), 4),
        "share_of_rate": ratio(_median(told, _RATE), _median(untold, _RATE)),
        **{
            f"{name}_{part}_us": _median(bursts, f"{part}_us")
            for part in ("all", "controllers", "database")
            for name, bursts in (("told", told), ("untold", untold))
        },
        "told_per_second": _median(told, _RATE),
        "untold_per_second": _median(untold, _RATE),
        "scrapes": scrapes,
        "others_cores": max(_number(burst, "others_cores") for burst in told + untold),
    }
    yield result


def _cost(burst: Burst) -> float:
    """CPU per timer of everything, which is what a burst on busy cores is bound by."""
    return _number(burst, "all_us")


def _median(bursts: Sequence[Burst], key: str) -> float:
    return round(statistics.median(_number(burst, key) for burst in bursts), 1)


def _number(burst: Burst, key: str) -> float:
    value = burst.figures[key]
    assert isinstance(value, (int, float))
    return value


@contextmanager
def _scraped(ports: list[int]) -> Iterator[tuple[list[int], list[bytes]]]:
    """Each port is asked for its metrics every second, as soon as something listens there."""
    over = threading.Event()
    bodies: list[bytes] = []

    def scrape() -> None:
        while not over.wait(_SCRAPE_SECONDS):
            for port in ports:
                try:
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/metrics", timeout=_TIMEOUT_SECONDS
                    ) as got:
                        bodies.append(got.read())
                except OSError:
                    continue  # it has not begun, or has ended

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield ports, bodies
    finally:
        over.set()
        scraper.join()
    if not any(b"timer_lateness_seconds" in body for body in bodies):
        raise BenchmarkError("no controller told its metrics")

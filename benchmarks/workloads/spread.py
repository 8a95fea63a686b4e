"""R timers per second, scheduled ahead: how late is each, by the receiver's clock and by our log?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Result, Value, quantile_curve, spread_of
from benchmarks.ground import PURGE_SECONDS, Ground
from benchmarks.loading import Load, template
from benchmarks.meter import Meter
from benchmarks.programs import sleep_until
from benchmarks.sink import Arrivals

_PATIENCE_SECONDS = 60.0


def run(ground: Ground) -> Iterator[Result]:
    """One case per rate."""
    for rate in ground.options.spread_rates:
        controllers, seconds = ground.options.controllers[0], ground.options.spread_seconds
        result = ground.result("spread", per_second=rate, seconds=seconds, controllers=controllers)
        ground.observer.empty()
        _measure(ground, result, rate * seconds, 1_000_000 // rate, controllers)
        yield result


def _measure(ground: Ground, result: Result, timers: int, step_us: int, controllers: int) -> None:
    tag = ground.tag("spread")
    load = ground.load_ahead([template(ground.sink.url(tag))], timers, step_us)[0]
    with ground.controllers(controllers) as programs:
        sleep_until(load.first_due_us - 1_000_000)
        ground.sink.forget()
        meter = Meter(
            ground.observer,
            {"database": [ground.server_pid], "controllers": [program.pid for program in programs]},
        )
        ground.sink.wait_for(timers, timers * step_us / 1e6 + _PATIENCE_SECONDS, programs)
        ground.wait_written(programs)
        sleep_until(load.first_due_us + timers * step_us + round(PURGE_SECONDS * 1e6))
        spent = meter.spent()
    arrivals = ground.sink.arrivals(tag, timers)
    by_log = _lateness_by_log(ground, load)
    result.figures = {
        **{f"lateness_{name}_ms": value for name, value in spread_of(by_log).items()},
        **_by_sink(arrivals, load),
        "early_by_log": sum(1 for late_ms in by_log if late_ms < 0),
        "controllers_cores": round(spent.cpu["controllers"] / spent.seconds, 2),
        "database_cores": round(spent.cpu["database"] / spent.seconds, 2),
        "others_cores": spent.others_cores,
    }
    result.series = {"lateness_ms": quantile_curve(by_log)}


def _by_sink(arrivals: Arrivals, load: Load) -> dict[str, Value]:
    late_ms = arrivals.lateness_ms(load.first_due_us, load.step_us)
    return {
        **{f"arrival_{name}_ms": value for name, value in spread_of(late_ms).items()},
        "missed": arrivals.missed,
        "doubled": arrivals.doubled,
        "early": arrivals.early(load.first_due_us, load.step_us),
    }


def _lateness_by_log(ground: Ground, load: Load) -> list[float]:
    """Milliseconds from the due time to the first byte, to the microsecond."""
    return [(at_us - load.due_us(timer_id)) / 1000 for timer_id, at_us in ground.observer.first_bytes_us()]

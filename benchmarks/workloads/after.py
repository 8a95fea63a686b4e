"""A burst after millions were delivered, whose timers and attempts are all still there: does what has been slow
down what is due?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.delivery import deliver_burst
from benchmarks.figures import Result, ratio
from benchmarks.ground import Ground

_AT_A_TIME = 1_000_000


def run(ground: Ground) -> Iterator[Result]:
    """One case: the same burst on an empty database and on one that delivered so many before, in bursts too."""
    timers, before = ground.options.after_timers, ground.options.after_delivered
    controllers = ground.options.controllers[-1]
    result = ground.result("after", timers=timers, controllers=controllers, delivered_before=before)
    ground.observer.empty()
    fresh = deliver_burst(ground, "after", timers, controllers)
    for start in range(0, before, _AT_A_TIME):
        deliver_burst(ground, "after", min(_AT_A_TIME, before - start), controllers)
    after = deliver_burst(ground, "after", timers, controllers)
    ground.observer.empty()
    result.figures = {
        "share_of_fresh": ratio(after.per_second, fresh.per_second),
        "fresh_per_second": fresh.per_second,
        "fresh_all_us": fresh.figures["all_us"],
        **after.figures,
    }
    yield result

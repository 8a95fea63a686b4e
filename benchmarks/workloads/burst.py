"""N timers due at one instant: how long until the last of them has arrived, and at what cost?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.delivery import deliver_burst
from benchmarks.figures import Result
from benchmarks.ground import Ground


def run(ground: Ground) -> Iterator[Result]:
    """One case per number of timers and controllers."""
    for timers in ground.options.burst_timers:
        for controllers in ground.options.controllers:
            result = ground.result("burst", timers=timers, controllers=controllers)
            ground.observer.empty()
            burst = deliver_burst(ground, "burst", timers, controllers)
            result.figures, result.series = burst.figures, {"progress": burst.progress}
            yield result

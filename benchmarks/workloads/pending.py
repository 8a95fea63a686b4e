"""A burst while millions of others wait, and after others that are not purged: does what waits, or what has been,
slow down what is due?"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.delivery import Burst, deliver_burst
from benchmarks.figures import Result, ratio
from benchmarks.ground import Ground
from benchmarks.loading import template
from benchmarks.workloads.floor import drain_bare

_LATER_US = 86_400_000_000
_STEP_US = 1000


def run(ground: Ground) -> Iterator[Result]:
    """One case: the same burst without the others, with them, and with them after a burst that is not purged."""
    timers, others = ground.options.pending_timers, ground.options.pending_others
    controllers = ground.options.controllers[-1]
    result = ground.result("pending", timers=timers, controllers=controllers, others=others)
    ground.observer.empty()
    claim_ms, alone = _measure(ground, timers, controllers)
    ground.observer.empty()
    first_due_us = time.time_ns() // 1000 + _LATER_US
    load = ground.load(template(ground.sink.url(ground.tag("later"))), others, first_due_us, _STEP_US)
    ground.calm()
    claim_among_ms, among = _measure(ground, timers, controllers)
    ground.observer.forget_outcomes()
    with ground.observer.old_state():
        deliver_burst(ground, "pending", timers, controllers)
        ground.observer.forget_outcomes()
        unpurged = deliver_burst(ground, "pending", timers, controllers)
    ground.observer.empty()
    result.figures = {
        "share_of_empty": ratio(among.per_second, alone.per_second),
        "claim_times_empty": ratio(claim_among_ms, claim_ms),
        "empty_per_second": alone.per_second,
        "empty_claim_ms": claim_ms,
        "claim_ms": claim_among_ms,
        "share_unpurged": ratio(unpurged.per_second, alone.per_second),
        "loaded_per_second": round(others / load.seconds),
        **among.figures,
    }
    yield result


def _measure(ground: Ground, timers: int, controllers: int) -> tuple[float, Burst]:
    """The claim of a batch alone, and the burst."""
    bare = drain_bare(ground, timers)
    ground.observer.forget_outcomes()
    burst = deliver_burst(ground, "pending", timers, controllers)
    return bare["claim_ms"], burst

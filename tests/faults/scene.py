"""What a fault is, and what it plays with."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.load import Load
from tests.faults.record import Strike
from tests.faults.stage import Stage


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is."""

    rate: float
    """Timers per second of load."""
    timers: int | None = None
    """Instead: so many in all, for each fault."""
    times: int | None = None
    """How often the fault strikes; None is as often as the fault itself says."""
    pace: float = 1.0
    """By how much the load of each strike is shorter than the fault says."""
    away_seconds: float = 30.0
    ahead_seconds: float = 3.0
    """How far ahead timers are made at most."""
    overdue: int = 100_000
    rescue_margin_seconds: float = 1.0
    """What a rescue may take beyond the lease: with that of 5 s, the 6 s that the README promises."""


SHORT = Scale(
    rate=150, times=1, pace=0.3, away_seconds=3.0, ahead_seconds=1.6, overdue=3000, rescue_margin_seconds=20.0
)
"""For `make test`, where other tests take the cores."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment at which a fault strikes."""

    stage: Stage
    draw: random.Random
    scale: Scale
    load: Load
    index: int
    """How often it has struck before."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    title: str
    strike: Callable[[Scene], Awaitable[Strike]]
    may_repeat: bool = False
    """Whether a marked repeat of a timer with `resend` is excused."""
    seconds: float = 4.0
    """Of load for each time that it strikes."""
    stays_away: bool = False
    """Each strike lasts as long as the scale's `away_seconds`, and the load goes on meanwhile."""
    times: int = 5
    times_at_least: int = 1
    times_at_most: int = 1_000_000
    through_proxy: bool = False
    is_backlog: bool = False
    """The load is made while no controller runs; then the fault strikes, which begins with starting them."""
    keeps_locks: bool = False
    """The claims can be taken back only when the server gives up the transaction that has them locked."""
    small_disk_mb: int = 0
    """When not 0: the database lies on a disk of this size."""
    in_short: bool = True
    """Whether `make test` has it; what takes minutes it leaves to `make faults`."""
    only_when_named: bool = False
    impossible: Callable[[], str | None] = lambda: None
    """Why it cannot be played on this machine."""

    def times_in(self, scale: Scale) -> int:
        """How often it strikes."""
        return min(max(scale.times or self.times, self.times_at_least), self.times_at_most)


def now_us() -> int:
    """This machine's clock, which is the database's too."""
    return time.time_ns() // 1000

"""The database's clock, kept at hand: what time it is there, without a query per look.

A machine's own clock may be wrong by an hour; timers are due by the database's. Each look at the server's
clock gives a bound from each side: when the answer arrives the server's time is at least what it said, and
when the question left it was at most that. Between looks the local monotonic clock carries both on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Two quartz clocks drift apart by less than this; the bounds widen by it until the next look.
_DRIFT_PER_MILLION = 200


class DatabaseClock:
    """Bounds on the database's time, in microseconds since the epoch. `monotonic`, in seconds, is for tests."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._low_us: int | None = None
        self._high_us = 0
        self._looked_at = 0.0

    @property
    def is_set(self) -> bool:
        """Whether there was a look at all; before it, no time can be told."""
        return self._low_us is not None

    @property
    def age_seconds(self) -> float:
        """Since the last look; infinite before the first."""
        return self._monotonic() - self._looked_at if self.is_set else float("inf")

    def learn(self, server_us: int, asked_at: float, answered_at: float) -> None:
        """A look: the server said `server_us` between the two monotonic moments (seconds).

        A new bound replaces the old one when it is tighter, or when the server's clock was set.
        """
        keep = self._low_us is not None and answered_at > self._looked_at
        low, high = self._carried(answered_at) if keep else (server_us, server_us)
        new_high = server_us + round((answered_at - asked_at) * (1_000_000 + _DRIFT_PER_MILLION))
        consistent = keep and low <= new_high and server_us <= high
        self._low_us = max(low, server_us) if consistent else server_us
        self._high_us = min(high, new_high) if consistent else new_high
        self._looked_at = answered_at

    def earliest_us(self) -> int:
        """The database's time is at least this: what is due by it, is due."""
        return self._carried(self._monotonic())[0]

    def latest_us(self) -> int:
        """The database's time is at most this: a delay that starts here does not end early."""
        return self._carried(self._monotonic())[1]

    def _carried(self, now: float) -> tuple[int, int]:
        if self._low_us is None:
            raise RuntimeError("the database's clock was not looked at yet")
        passed_us = (now - self._looked_at) * 1_000_000
        slack_us = passed_us * _DRIFT_PER_MILLION / 1_000_000
        return self._low_us + int(passed_us - slack_us), self._high_us + round(passed_us + slack_us)

"""Whether this controller may send."""

from __future__ import annotations

import time
from collections.abc import Callable

BEATS_PER_LEASE = 5
_SLOW_SHARE = 0.4
"""Of the lease. With beats that take longer, what is to be seen of a controller that lives may be older than the
lease: a beat that began before one such, and was not yet followed when the next had taken as long."""
_GAP_SHARE = _SLOW_SHARE + 1 / BEATS_PER_LEASE
"""The longest from one beat to the next, so that none of them can have been slow."""


class Lease:
    """Runs from the last successful beat, by the local monotonic clock; past it, others may have taken over."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._from = float("-inf")
        self._unbroken_since = float("inf")

    def renew(self, beat_at: float) -> None:
        """A beat that began at the monotonic moment `beat_at` was written by now."""
        now = self._monotonic()
        # Where it only waited for a connection, the beat itself was quick; what it waited for shows in the gap.
        is_slow = now - beat_at > _SLOW_SHARE * self.seconds or beat_at - self._from > _GAP_SHARE * self.seconds
        self._from = beat_at
        self._unbroken_since = now if is_slow else min(self._unbroken_since, beat_at)

    def note_failed_beat(self) -> None:
        """The database did not take a beat: then it took those of others no better."""
        self._unbroken_since = float("inf")

    def may_send(self) -> bool:
        """Asked right before each send."""
        return self._monotonic() < self._from + self.seconds

    def may_judge(self) -> bool:
        """Whether silence of others means that they are gone: beats were possible for a whole lease, and are."""
        now = self._monotonic()
        is_beating = now - self._from < _GAP_SHARE * self.seconds
        return is_beating and now > self._unbroken_since + self.seconds

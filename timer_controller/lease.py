"""Whether this controller may send."""

from __future__ import annotations

import time
from collections.abc import Callable


class Lease:
    """Runs from the last successful beat, by the local monotonic clock; past it, others may have taken over."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._monotonic = monotonic
        self._from = float("-inf")
        self._unbroken_since = float("inf")

    def renew(self, beat_at: float) -> None:
        """A beat that began at the monotonic moment `beat_at` was written."""
        self._from = beat_at
        self._unbroken_since = min(self._unbroken_since, beat_at)

    def note_failed_beat(self) -> None:
        """The database did not take a beat: then it took those of others no better."""
        self._unbroken_since = float("inf")

    def may_send(self) -> bool:
        """Asked right before each send."""
        return self._monotonic() < self._from + self.seconds

    def may_judge(self) -> bool:
        """Whether silence of others means that they are gone: beats were possible for a whole lease."""
        return self._monotonic() > self._unbroken_since + self.seconds

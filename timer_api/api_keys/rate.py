"""How often a key may call: a bucket that fills steadily, and from which each call takes."""

from __future__ import annotations

from collections.abc import Callable

# What a float loses while a bucket fills.
_ROUNDING = 1e-9


class TokenBucket:
    """`rate_per_second` calls in the long run, `burst` at once after a rest. It belongs to one process."""

    __slots__ = ("_at", "_burst", "_monotonic", "_rate_per_second", "_tokens")

    def __init__(self, rate_per_second: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._rate_per_second, self._burst, self._monotonic = rate_per_second, burst, monotonic
        self._tokens = float(burst)
        self._at = monotonic()

    def take(self, count: int = 1, *, taken: int = 0) -> float:
        """0 when it has so many, and then they are gone; else the seconds until it has, and nothing is taken.

        `taken` of them were taken before. More than a burst are given once the bucket is full, and leave it in
        debt: later calls wait for that.
        """
        now = self._monotonic()
        tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_second)
        self._at = now
        needed = min(count, self._burst)
        if tokens + _ROUNDING < needed - taken:
            self._tokens = tokens
            return (needed - tokens) / self._rate_per_second
        self._tokens = tokens - (count - taken)
        return 0.0

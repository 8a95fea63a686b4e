"""How often calls of a route may begin: a bucket that fills steadily, and from which each call takes a token."""

from __future__ import annotations

# What a float loses while a bucket fills.
_ROUNDING = 1e-9


class Tokens:
    """`rate` calls a second in the long run, `burst` at once after a rest; both change with the number of
    controllers. Times are monotonic seconds."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, empty_at: float) -> None:
        self._rate, self._burst = rate, burst
        self._at = empty_at
        self._tokens = 0.0

    @property
    def is_dry(self) -> bool:
        """Whether there will never be a token."""
        return not self._burst

    def adjust(self, rate: float, burst: int, now: float) -> None:
        """From now on it fills like that. What is in it stays, as far as there is room."""
        self._fill(now)
        self._rate, self._burst = rate, burst
        self._tokens = min(self._tokens, burst)

    def take(self, now: float) -> float:
        """0 when there was a token; else the seconds until there is one, and nothing is taken."""
        self._fill(now)
        if self._tokens + _ROUNDING >= 1:
            self._tokens -= 1
            return 0.0
        return float("inf") if self.is_dry else (1 - self._tokens) / self._rate

    def left(self, now: float) -> int:
        """How many there are."""
        self._fill(now)
        return int(self._tokens + _ROUNDING)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now

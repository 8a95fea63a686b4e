"""When to try again, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential: `initial_seconds × factor^(n - 1)` after attempt n, at most `max_seconds`.

    `jitter` (0 to 1) is the share of the wait that is drawn at random, downwards: 0.1 waits 90 to 100 %.
    """

    max_attempts: int = 5
    initial_seconds: float = 5.0
    factor: float = 3.0
    max_seconds: float = 3600.0
    jitter: float = 0.1

    def wait_us(self, attempt: int, draw: float) -> int:
        """Microseconds to wait after `attempt` (1 is the first); `draw` is a random number in [0, 1)."""
        try:
            full = min(self.initial_seconds * float(self.factor) ** (attempt - 1), self.max_seconds)
        except OverflowError:
            # The power is beyond any float, and so beyond every maximum.
            full = self.max_seconds if self.initial_seconds else 0.0
        return round(full * (1.0 - self.jitter * draw) * 1_000_000)

    def allows_another(self, attempt: int) -> bool:
        """Whether an attempt may follow number `attempt`."""
        return attempt < self.max_attempts


DEFAULT_RETRY = RetryPolicy()

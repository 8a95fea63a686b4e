"""A circuit breaker: stops calling a receiver that fails every time, and tries one call now and then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

COOL_DOWN_MAX_SECONDS = 30.0
_JITTER = 0.25


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens, how long it waits before it tries a call, and when waiting is no use any more."""

    failures_max: int
    """In a row."""
    cool_down_seconds: float
    """The first one; each probe that fails doubles it, up to `COOL_DOWN_MAX_SECONDS`."""
    patience_seconds: float


class Breaker:
    """Closed: every call is made. Open: none, until the cool-down is over. Then it is half-open: one call, the
    probe, is made, and closes it or opens it again.

    Times are monotonic seconds. `draw` gives random numbers in [0, 1): controllers that opened together do not
    probe together.
    """

    __slots__ = ("_closed_at", "_cool_down_seconds", "_draw", "_is_probing", "_probe_at", "_rules", "changed_at",
                 "down_since", "failures", "reason")  # fmt: skip

    def __init__(self, rules: BreakerRules, draw: Callable[[], float]) -> None:
        self._rules = rules
        self._draw = draw
        self._closed_at = float("-inf")
        self._cool_down_seconds = 0.0
        self._probe_at = 0.0
        self._is_probing = False
        self.failures = 0
        """In a row, while it is closed."""
        self.down_since: float | None = None
        """When it opened; None while it is closed."""
        self.changed_at = 0.0
        """When a call last changed something here."""
        self.reason = ""
        """Of the last failure."""

    @property
    def is_closed(self) -> bool:
        """Whether calls are made as usual."""
        return self.down_since is None

    def note_success(self) -> None:
        """A call of the closed breaker got an answer."""
        self.failures = 0

    def note_failure(self, began_at: float, now: float, reason: str) -> bool:
        """A call of the closed breaker failed. Whether that opens it.

        A call that began before it was closed last tells of the time before.
        """
        if began_at < self._closed_at:
            return False
        self.failures += 1
        self.reason = reason
        if self.failures < self._rules.failures_max:
            return False
        self.down_since = now
        self._cool_down_seconds = self._rules.cool_down_seconds
        self._cool_down(now)
        return True

    def may_probe(self, now: float) -> bool:
        """Whether it is half-open, and no probe is under way."""
        return self.down_since is not None and not self._is_probing and now >= self._probe_at

    def begin_probe(self) -> None:
        """One call is made."""
        self._is_probing = True

    def withdraw_probe(self) -> None:
        """It was not made after all: another one may be."""
        self._is_probing = False

    def note_probe_success(self, now: float) -> None:
        """Closes it."""
        self._is_probing = False
        self.down_since = None
        self.failures = 0
        self._closed_at = self.changed_at = now

    def note_probe_failure(self, now: float, reason: str) -> None:
        """Open again, and for longer."""
        self._is_probing = False
        self.reason = reason
        longest = max(COOL_DOWN_MAX_SECONDS, self._rules.cool_down_seconds)
        self._cool_down_seconds = min(2 * self._cool_down_seconds, longest)
        self._cool_down(now)

    def is_given_up(self, now: float) -> bool:
        """Whether it has been open for so long that its timers should not wait any more."""
        return self.down_since is not None and now - self.down_since >= self._rules.patience_seconds

    def _cool_down(self, now: float) -> None:
        self.changed_at = now
        self._probe_at = now + self._cool_down_seconds * (1 - _JITTER + 2 * _JITTER * self._draw())


def in_words(seconds: float) -> str:
    """`1 h 5 min`, `5 min`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"

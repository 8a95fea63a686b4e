"""The state machine of a timer.

The same states stand in four places, and a test compares them: the enums and `TRANSITIONS` here, the CHECK
constraints in `timer_db.models`, and the diagram in `docs/state_machine.md`.
"""

from __future__ import annotations

from enum import StrEnum


class TimerState(StrEnum):
    """Where a timer stands. The first two are alive; the others are ends, from which only a replay leads back."""

    scheduled = "scheduled"
    firing = "firing"
    delivered = "delivered"
    failed = "failed"
    unknown = "unknown"
    cancelled = "cancelled"


class Outcome(StrEnum):
    """What is known of one attempt."""

    delivered = "delivered"
    """A whole 2xx answer came back."""
    rejected = "rejected"
    """A whole answer came back, and it is no 2xx."""
    not_sent = "not_sent"
    """No byte of the request left."""
    unknown = "unknown"
    """Bytes left, and no whole answer came back."""


class OnUnknown(StrEnum):
    """What follows an `unknown` attempt, as the timer's owner chose."""

    resend = "resend"
    """Call again by the retry policy, marked as a possible duplicate: at least once."""
    hold = "hold"
    """End in `unknown`; a person decides."""
    fail = "fail"
    """End in `failed`: at most once."""


ENDED: frozenset[TimerState] = frozenset(
    {TimerState.delivered, TimerState.failed, TimerState.unknown, TimerState.cancelled}
)

TRANSITIONS: frozenset[tuple[TimerState, TimerState]] = frozenset(
    {
        (TimerState.scheduled, TimerState.firing),  # claimed
        (TimerState.scheduled, TimerState.cancelled),
        (TimerState.firing, TimerState.scheduled),  # given back, rescued, or to be tried again
        (TimerState.firing, TimerState.delivered),
        (TimerState.firing, TimerState.failed),
        (TimerState.firing, TimerState.unknown),
        (TimerState.delivered, TimerState.scheduled),  # replayed
        (TimerState.failed, TimerState.scheduled),
        (TimerState.unknown, TimerState.scheduled),
    }
)

AFTER_ATTEMPT: frozenset[TimerState] = frozenset(
    {target for source, target in TRANSITIONS if source is TimerState.firing}
)
"""The states that an attempt can lead to: what the log of attempts may hold."""


def may_become(source: TimerState, target: TimerState) -> bool:
    """Whether the machine has this transition."""
    return (source, target) in TRANSITIONS

"""A timer as its owner asked for it, and as it stands now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.states import OnUnknown, Outcome, TimerState

DEFAULT_TIMEOUT_SECONDS = 10.0

Json = Any
"""A JSON value as Python reads it."""


# Not frozen, and made by position where it counts: a frozen one of these costs ten times as much to make
# (3.7 against 0.4 µs), and a burst makes a million. Nobody changes one all the same.
@dataclass(slots=True)
class NewTimer:
    """What a client asked for, checked. Its id is chosen before the first try to store it."""

    id: UUID
    due_at_us: int
    created_at_us: int
    url: str | None
    """None: its route has it."""
    method: str | None = "POST"
    """None: its route decides; the same for `retry` and `timeout_seconds`."""
    # What clients send may be secret: a log that shows a timer does not show it.
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    """None: the call carries the timer's own representation."""
    body_is_json: bool = True
    meta: Json = field(default=None, repr=False)
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    append_id: bool = True
    retry: RetryPolicy | None = DEFAULT_RETRY
    timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS
    on_unknown: OnUnknown = OnUnknown.resend
    owner: Owner = BY_DEFAULT
    on_failure_url: str | None = None
    """Called once when the timer ends as failed or unknown."""
    due_as_given: str = ""
    """The due time in the client's own form, such as `delay=90.0`: what a repeated create is compared by."""
    traceparent: str | None = None
    """Where its create belongs in its client's trace (W3C Trace Context); None: nowhere."""


@dataclass(slots=True)
class Timer(NewTimer):
    """A stored timer with its state, read in one consistent statement."""

    state: TimerState = TimerState.scheduled
    attempts: int = 0
    """Attempts made so far."""
    next_attempt_at_us: int | None = None
    """When it is called next; None once it has ended or while it is being called."""
    ended_at_us: int | None = None
    attempts_before: int = 0
    """Those before it was replayed last."""
    unreadable: str = ""
    """Why headers, body and meta, which are encrypted, are not here; empty when they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver, as it is logged."""

    timer_id: UUID
    number: int
    """1 is the first."""
    outcome: Outcome
    state: TimerState
    """The state that this attempt led to: one of `AFTER_ATTEMPT`."""
    started_at_us: int
    finished_at_us: int
    controller: str | None
    http_status: int | None
    latency_us: int | None
    reason: str
    """For a person: why it ended so."""
    answer: bytes
    """The first bytes of the answer's body."""

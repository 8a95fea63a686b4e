"""What a controller holds, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass

from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import Outcome, TimerState


# Neither is frozen, for the reason that stands above `NewTimer`.
@dataclass(slots=True)
class Claim:
    """A controller's right to make one attempt."""

    batch: int
    entry: QueueEntry
    timer: ClaimedTimer
    attempt: int
    """The number of the attempt to make; 1 is the first."""
    possible_duplicate: bool
    """An earlier attempt may have reached the receiver."""
    is_large: bool = False
    """Body, meta, headers and labels were left out: `operations.claim.load_whole` reads them."""
    waited_for: bytes | None = None
    """The key of what it was deferred for before it was claimed; None: it comes from the queue."""
    claimed_at_ns: int = 0
    """Unix time in nanoseconds by our own clock, where claims are traced."""


@dataclass(slots=True)
class Finished:
    """One attempt that was made, and what follows it."""

    batch: int
    entry: QueueEntry
    attempt: int
    outcome: Outcome
    state: TimerState
    started_at_us: int
    finished_at_us: int
    reason: str
    http_status: int | None = None
    latency_us: int | None = None
    answer: bytes = b""
    retry_at_us: int | None = None
    """Set when `state` is `scheduled`."""
    owner: Owner = BY_DEFAULT
    """Where it is counted."""


@dataclass(slots=True)
class Returned:
    """A claim that goes back unsent."""

    batch: int
    entry: QueueEntry
    destination: bytes | None = None
    """The key of what it waits for (`domain.destination`), whose backlog it joins; None: it goes back to where it
    stood in the queue."""

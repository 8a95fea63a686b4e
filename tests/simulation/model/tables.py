"""Everything that is stored, and how entries get into the queue."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from timer_db.domain.claim import Finished
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer


class DuplicateKey(Exception):
    """A row with this key is there."""


@dataclass(slots=True)
class Row:
    """A timer and what changes about it."""

    asked: NewTimer
    in_hand: ClaimedTimer
    is_large: bool
    next_at_us: int
    cancelled_at_us: int | None = None
    attempts_made: int = 0
    possible_duplicate: bool = False


@dataclass(slots=True)
class Batch:
    """What a controller holds."""

    claimed_at_us: int
    entries: list[QueueEntry]
    unsent: int = 0
    """So many of the last entries were surely not sent."""


@dataclass(slots=True)
class Member:
    """One membership of one controller."""

    joined_at_us: int
    beat_at_us: int
    gone_at_us: int | None = None
    gone_because: str | None = None
    settled_at_us: int = 0


@dataclass(slots=True)
class Attempted:
    """One row of the log."""

    controller_id: int
    finished: Finished


@dataclass(slots=True)
class Tables:
    """Everything that is stored."""

    timers: dict[bytes, Row] = field(default_factory=dict)
    queue: dict[int, list[bytes]] = field(default_factory=dict)
    """Due keys in their order, by rank; a rank that has its head is there without any."""
    heads: set[int] = field(default_factory=set)
    deferred: dict[bytes, list[QueueEntry]] = field(default_factory=dict)
    batches: dict[tuple[int, int], Batch] = field(default_factory=dict)
    """By controller and number."""
    attempts: dict[bytes, list[Attempted]] = field(default_factory=dict)
    """By timer, in the order in which they were written."""
    endings: dict[tuple[TimerState, bytes], int] = field(default_factory=dict)
    """When."""
    members: dict[int, Member] = field(default_factory=dict)

    def queued(self) -> list[QueueEntry]:
        """The queue in its order."""
        return [QueueEntry(rank, key) for rank in sorted(self.queue) for key in self.queue[rank]]

    def backlog(self) -> dict[bytes, list[QueueEntry]]:
        """What waits for each receiver, in its order."""
        return {key: entries for key, entries in sorted(self.deferred.items()) if entries}


def put(tables: Tables, entries: Iterable[QueueEntry]) -> None:
    """Into the queue, each at its place."""
    for entry in entries:
        insort(tables.queue.setdefault(entry.rank, []), entry.due_key)


def check_free(tables: Tables, entries: Sequence[QueueEntry]) -> None:
    """They must not be in the queue, nor twice among these."""
    taken = [entry for entry in entries if entry.due_key in tables.queue.get(entry.rank, ())]
    if taken or len(set(entries)) < len(entries):
        raise DuplicateKey(f"in due_queue: {taken or entries}")

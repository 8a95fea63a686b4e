"""Where claims wait until it is written down that they may be sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.queue_entry import QueueEntry

AHEAD_MAX = 768
"""So many released claims may wait to be sent: what a controller sends in some 50 ms."""
LEAD_SECONDS = 0.2
"""How long before its time a claim is released, at the earliest; half of that at the latest."""
TICK_SECONDS = 0.05
"""The longest without a look while claims wait that are due."""
_RUN = 64
"""How many claims of one batch are taken before others are looked at."""

Release = Callable[[Mapping[int, int]], Awaitable[None]]
"""Writes down that all claims of these batches (by number) may be sent, but for so many of the last."""


@dataclass(slots=True)
class _Batch:
    """The claims of one batch that are not released, in their order; `first` is the place of the next."""

    number: int
    entries: Sequence[QueueEntry]
    claims: dict[QueueEntry, Claim]
    first: int = 0

    @property
    def head(self) -> QueueEntry:
        return self.entries[self.first]


class Shelf:
    """Between the claimer and the wheel. Should this controller be lost, nobody can tell of a released claim
    whether it was sent; of all others it is known that they were not. So only what will be sent soon is released.

    `release` writes it down, `ahead` tells how many released claims wait to be sent; `on_released` takes those
    that may be sent from now on.
    """

    def __init__(
        self,
        release: Release,
        *,
        clock: DatabaseClock,
        ahead: Callable[[], int],
        on_released: Callable[[list[Claim]], None],
    ) -> None:
        self._release = release
        self._clock = clock
        self._ahead = ahead
        self._on_released = on_released
        self._batches: dict[int, _Batch] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for its release."""
        return not self._batches

    def plan(self, entries: Sequence[QueueEntry]) -> tuple[Sequence[QueueEntry], int]:
        """The order in which a batch will be sent, and how many of its last claims wait: those that are due come
        in the order of the queue, later ones at their time."""
        if not entries:
            return entries, 0
        now_us = self._clock.earliest_us()
        if entries[0].rank != entries[-1].rank:
            entries = sorted(entries, key=lambda entry: (max(entry.at_us, now_us), entry))
        # Whoever came before is sent before.
        room = max(0, AHEAD_MAX - self._ahead()) if self.is_empty else 0
        return entries, len(entries) - _due(entries[:room], now_us + _us(LEAD_SECONDS))

    def put(self, number: int, claims: list[Claim], waiting: Sequence[QueueEntry]) -> None:
        """A batch that was claimed by such a plan. The caller wakes the loop."""
        if not waiting:
            self._on_released(claims)
            return
        by_entry = {claim.entry: claim for claim in claims}
        apart = {entry: by_entry.pop(entry) for entry in waiting if entry in by_entry}
        self._batches[number] = _Batch(number, waiting, apart)
        if by_entry:
            self._on_released(list(by_entry.values()))

    async def run_once(self) -> float:
        """Release what will be sent soon; gives the seconds until the next look. Raises Fenced when the batches
        were taken over."""
        now_us = self._clock.earliest_us()
        room = AHEAD_MAX - self._ahead()
        # A few claims are not worth a transaction; more are sent in a moment.
        if self.is_empty or room < AHEAD_MAX // 2:
            return TICK_SECONDS
        first_us = min(batch.head.at_us for batch in self._batches.values())
        if (early_us := first_us - _us(LEAD_SECONDS / 2) - now_us) > 0:
            return early_us / 1_000_000
        chosen = self._choose(room, now_us)
        unsent = {number: len(self._batches[number].entries) - first for number, first in chosen.items()}
        await self._release(unsent)
        released = [claim for number, first in chosen.items() for claim in self._take(number, first)]
        self._on_released(released)
        return 0

    def empty(self) -> list[Claim]:
        """Everything that was not released; nothing is held afterwards."""
        claims = [claim for batch in self._batches.values() for claim in batch.claims.values()]
        self._batches.clear()
        return claims

    def _choose(self, room: int, now_us: int) -> dict[int, int]:
        """Up to where batches may be released: by number, the place of the first claim that goes on waiting."""
        until_us = now_us + _us(LEAD_SECONDS)
        reached = {number: batch.first for number, batch in self._batches.items()}
        chosen: dict[int, int] = {}
        while room > 0 and reached:
            number = min(reached, key=lambda n: self._order(n, reached[n], now_us))
            first, entries = reached[number], self._batches[number].entries
            count = _due(entries[first : first + min(room, _RUN)], until_us)
            if count == 0:
                del reached[number]
                continue
            room -= count
            chosen[number] = reached[number] = first + count
            if first + count == len(entries):
                del reached[number]
        return chosen

    def _order(self, number: int, place: int, now_us: int) -> tuple[int, QueueEntry]:
        entry = self._batches[number].entries[place]
        return max(entry.at_us, now_us), entry

    def _take(self, number: int, first: int) -> list[Claim]:
        batch = self._batches[number]
        taken = [batch.claims.pop(e) for e in batch.entries[batch.first : first] if e in batch.claims]
        batch.first = first
        if first == len(batch.entries):
            del self._batches[number]
        return taken


def _due(entries: Sequence[QueueEntry], until_us: int) -> int:
    """How many of the first may be called by then; they stand in the order of their times, or are due."""
    for count, entry in enumerate(entries):
        if entry.at_us > until_us:
            return count
    return len(entries)


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)

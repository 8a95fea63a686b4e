"""What is in this controller's hands, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.domain.claim import Finished, Returned
from timer_db.domain.queue_entry import QueueEntry


class Hands:
    """Counts claims from the claim until their outcome is written or they are given back."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._batches: dict[int, set[QueueEntry]] = {}
        self._held = 0

    @property
    def held(self) -> int:
        """Claims in hand."""
        return self._held

    @property
    def free(self) -> int:
        """How many more may be claimed."""
        return max(0, self.capacity - self._held)

    def take(self, batch: int, entries: Iterable[QueueEntry]) -> None:
        """A claimed batch."""
        self._batches[batch] = set(entries)
        self._held += len(self._batches[batch])

    def open_in(self, batch: int) -> set[QueueEntry]:
        """What of a batch is in hand."""
        return self._batches.get(batch, set())

    def batches(self) -> list[int]:
        """Every batch of which something is in hand."""
        return list(self._batches)

    def done_with(self, leaving_now: Iterable[Finished | Returned]) -> list[int]:
        """The batches of which nothing is left once these are written."""
        leaving: dict[int, set[QueueEntry]] = {}
        for claim in leaving_now:
            leaving.setdefault(claim.batch, set()).add(claim.entry)
        return [batch for batch, entries in leaving.items() if self._batches.get(batch, set()) <= entries]

    def let_go(self, batch: int, entries: Iterable[QueueEntry]) -> None:
        """These are written, or given back."""
        held = self._batches.get(batch)
        if held is None:
            return
        before = len(held)
        held.difference_update(entries)
        self._held -= before - len(held)
        if not held:
            del self._batches[batch]

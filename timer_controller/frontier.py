"""How far each priority of the queue was looked through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.operations.claim import FROM_THE_START

SETTLE_US = 2_000_000
"""A new timer is due at its creation or later, and so long after it, it is in the queue. What comes to stand
further back (given back, rescued, committed late) is a straggler, and is found by a look from the start."""
_TIME_BYTES = 8


class Frontier:
    """Two bounds for each priority, by its rank: what every later look may leave out, and where the claims of this
    poll go on. The first stays `SETTLE_US` behind the time, since timers still come to stand before it."""

    def __init__(self) -> None:
        self._seen: dict[int, bytes] = {}
        self._ahead: dict[int, bytes] = {}
        self._settled = FROM_THE_START

    @property
    def seen(self) -> Mapping[int, bytes]:
        """Nothing but stragglers is left at or before these due keys; of the priorities that are known."""
        return self._seen

    @property
    def ahead(self) -> Mapping[int, bytes]:
        """Nothing that this poll has to claim is left at or before these."""
        return self._ahead

    def start_over(self) -> None:
        """The next look is one from the start."""
        self._seen = dict.fromkeys(self._seen, FROM_THE_START)

    def note_look(self, firsts: Mapping[int, bytes | None], at_us: int) -> None:
        """A look that began at `at_us` found these behind `seen`, and nothing before them."""
        self._settled = time_bound(at_us - SETTLE_US)
        self._ahead = {rank: first[:_TIME_BYTES] for rank, first in firsts.items() if first is not None}
        for rank in firsts:
            self._advance(rank, self._ahead.get(rank, self._settled))

    def note_claim(self, entries: Sequence[QueueEntry], exhausted: Sequence[int]) -> None:
        """These were claimed, in order; of the priorities in `exhausted` nothing is left to claim in this poll."""
        for rank, due_key in entries:
            self._ahead[rank] = due_key
        for rank in {entry.rank for entry in entries}:
            self._advance(rank, self._ahead[rank])
        for rank in exhausted:
            self._advance(rank, self._settled)

    def _advance(self, rank: int, to: bytes) -> None:
        self._seen[rank] = max(self._seen.get(rank, FROM_THE_START), min(to, self._settled))

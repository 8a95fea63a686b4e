"""Holds claims until they are due, and starts each at its time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable

from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.queue_entry import QueueEntry

# Event loops round timers to milliseconds; a shorter wait would spin.
_TICK_SECONDS = 0.001


class Wheel:
    """Starts claims when the database's time has surely come, never early: higher priority first, then older.

    `start` begins one call; `may_start` says how many more may begin now. Nothing here waits: `turn` is
    called when claims come, a call ends, the lease is renewed, or the next time has come.
    """

    def __init__(self, clock: DatabaseClock, start: Callable[[Claim], None], may_start: Callable[[], int]) -> None:
        self._clock = clock
        self._start = start
        self._may_start = may_start
        self._waiting: list[tuple[int, QueueEntry, Claim]] = []
        self._due: list[tuple[QueueEntry, Claim]] = []
        self._timer: asyncio.TimerHandle | None = None

    def put(self, claims: Iterable[Claim]) -> None:
        """Hold these until they are due."""
        for claim in claims:
            heapq.heappush(self._waiting, (claim.entry.at_us, claim.entry, claim))
        self.turn()

    def turn(self) -> None:
        """Start what is due, as far as calls may be started, and come back at the next time."""
        now_us = self._clock.earliest_us()
        while self._waiting and self._waiting[0][0] <= now_us:
            _, entry, claim = heapq.heappop(self._waiting)
            heapq.heappush(self._due, (entry, claim))
        room = self._may_start() if self._due else 0
        while self._due and room > 0:
            self._start(heapq.heappop(self._due)[1])
            room -= 1
        self._arm()

    def empty(self) -> list[Claim]:
        """Everything that was not started; the wheel holds nothing afterwards."""
        if self._timer:
            self._timer.cancel()
        claims = [claim for *_, claim in self._waiting] + [claim for _, claim in self._due]
        self._waiting, self._due = [], []
        return claims

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            wait_seconds = (self._waiting[0][0] - self._clock.earliest_us()) / 1_000_000
            self._timer = loop.call_later(max(wait_seconds, _TICK_SECONDS), self.turn)

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
        self._armed_for_us = 0
        self._is_turning = False

    def put(self, claims: Iterable[Claim]) -> None:
        """Hold these until they are due."""
        now_us = self._clock.earliest_us()
        for claim in claims:
            if claim.entry.at_us <= now_us:
                heapq.heappush(self._due, (claim.entry, claim))
            else:
                heapq.heappush(self._waiting, (claim.entry.at_us, claim.entry, claim))
        self.turn()

    def turn(self) -> None:
        """Start what is due, as far as calls may be started, and come back at the next time."""
        if self._is_turning:
            return  # a call ended as soon as it was started; the turn under way goes on
        self._is_turning = True
        try:
            self._collect_due()
            while self._due and self._may_start() > 0:
                self._start(heapq.heappop(self._due)[1])
        finally:
            self._is_turning = False
        self._arm()

    def empty(self) -> list[Claim]:
        """Everything that was not started; the wheel holds nothing afterwards."""
        self._disarm()
        claims = [claim for *_, claim in self._waiting] + [claim for _, claim in self._due]
        self._waiting, self._due = [], []
        return claims

    def _collect_due(self) -> None:
        if self._waiting:
            now_us = self._clock.earliest_us()
            while self._waiting and self._waiting[0][0] <= now_us:
                _, entry, claim = heapq.heappop(self._waiting)
                heapq.heappush(self._due, (entry, claim))

    def _arm(self) -> None:
        if not self._waiting:
            self._disarm()
        elif self._timer is None or self._armed_for_us != self._waiting[0][0]:
            self._disarm()
            self._armed_for_us = self._waiting[0][0]
            wait_seconds = (self._armed_for_us - self._clock.earliest_us()) / 1_000_000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(wait_seconds, _TICK_SECONDS), self._come_back)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _come_back(self) -> None:
        self._timer = None
        self.turn()

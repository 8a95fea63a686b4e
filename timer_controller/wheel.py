"""Holds claims until they are due."""

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
    """Hands claims to `on_due` when the database's time has surely come, never early."""

    def __init__(self, clock: DatabaseClock, on_due: Callable[[list[Claim]], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._waiting: list[tuple[int, QueueEntry, Claim]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for_us = 0

    @property
    def waiting(self) -> int:
        """How many claims it holds."""
        return len(self._waiting)

    def put(self, claims: Iterable[Claim]) -> None:
        """Hold these until they are due."""
        now_us = self._clock.earliest_us()
        due = []
        for claim in claims:
            at_us = claim.entry.at_us
            if at_us <= now_us:
                due.append(claim)
            else:
                heapq.heappush(self._waiting, (at_us, claim.entry, claim))
        self._arm()
        if due:
            self._on_due(due)

    def turn(self) -> None:
        """Look at the clock again, which has learned something."""
        now_us = self._clock.earliest_us()
        due = []
        while self._waiting and self._waiting[0][0] <= now_us:
            due.append(heapq.heappop(self._waiting)[2])
        self._arm()
        if due:
            self._on_due(due)

    def empty(self) -> list[Claim]:
        """Everything that is not due; the wheel holds nothing afterwards."""
        self._disarm()
        claims = [claim for *_, claim in self._waiting]
        self._waiting = []
        return claims

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

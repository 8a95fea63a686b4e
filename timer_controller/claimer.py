"""Polls for timers that are due soon, and claims them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.queue_entry import QueueEntry
from timer_db.engine import Engine
from timer_db.operations import claim as operations

log = logging.getLogger(__name__)

AHEAD_SECONDS = 0.25
"""Beyond the next poll, so that a claim and the look at its timers are over before they are due."""


class Claimer:
    """Each poll looks from the beginning of the queue; while batches are full, the next one goes on behind
    the last, past the rows that were just deleted (they stay in the index until the server purges them)."""

    def __init__(
        self,
        engine: Engine,
        controller_id: int,
        *,
        clock: DatabaseClock,
        lease: Lease,
        hands: Hands,
        poll_seconds: float,
        on_claimed: Callable[[list[Claim]], None],
    ) -> None:
        self._engine = engine
        self._controller_id = controller_id
        self._clock = clock
        self._lease = lease
        self._hands = hands
        self._poll_seconds = poll_seconds
        self._on_claimed = on_claimed
        self._number = 0
        self._uncertain = False
        self._ranks: list[int] = []
        self._behind: dict[int, bytes] = {}
        self._next_poll_at = 0.0

    async def run_once(self) -> float:
        """Claim one batch; gives the seconds until the next. The caller wakes it when hands become free."""
        if self._uncertain:
            await self._adopt_lost_batch()
        if not self._lease.may_send():
            return self._poll_seconds
        now = time.monotonic()
        if now >= self._next_poll_at:
            self._next_poll_at = now + self._poll_seconds
            self._behind.clear()
            self._ranks = await operations.ready_ranks(self._engine, self._horizon_us())
        limit = min(self._hands.free, operations.BATCH_MAX)
        # A few free hands are not worth a transaction; more become free in a moment.
        worthwhile = limit >= max(1, min(self._hands.capacity // 4, operations.BATCH_MAX))
        if self._ranks and worthwhile and await self._claim(limit) == limit:
            return 0
        return max(0.0, self._next_poll_at - time.monotonic()) if worthwhile else self._poll_seconds

    async def _claim(self, limit: int) -> int:
        self._number += 1
        try:
            entries = await operations.claim(
                self._engine,
                self._controller_id,
                self._number,
                ranks=self._ranks,
                behind=self._behind,
                horizon_us=self._horizon_us(),
                limit=limit,
            )
        except DatabaseUnavailable:
            self._uncertain = True
            raise
        if len(entries) < limit:
            self._ranks = []
        self._behind.update(entries)
        await self._hold(entries)
        return len(entries)

    async def _adopt_lost_batch(self) -> None:
        """The answer to the last claim was lost, with a batch or without one."""
        entries = await operations.adopt(self._engine, self._controller_id, self._number)
        self._uncertain = False
        if entries:
            log.warning("adopted batch %d with %d timers: its claim's answer was lost", self._number, len(entries))
        await self._hold(entries)

    async def _hold(self, entries: list[QueueEntry]) -> None:
        if not entries:
            return
        try:
            claims = await operations.load(self._engine, self._number, entries)
        except DatabaseUnavailable:
            self._uncertain = True
            raise
        self._hands.take(self._number, [claim.entry for claim in claims])
        if len(claims) < len(entries):
            log.error("%d timers of the queue are not in the table of timers", len(entries) - len(claims))
        self._on_claimed(claims)

    def _horizon_us(self) -> int:
        return self._clock.latest_us() + round((self._poll_seconds + AHEAD_SECONDS) * 1_000_000)

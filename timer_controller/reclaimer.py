"""Takes deferred timers back as what they wait for has room for them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from timer_controller.deferrer import SHARE_OF_HANDS, Deferrer
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_db.domain.claim import Claim
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.queue_entry import QueueEntry
from timer_db.engine import Engine
from timer_db.operations.claim import BATCH_MAX, adopt, load
from timer_db.operations.deferred import FIRST_NUMBER, claim_deferred, destinations
from timer_db.operations.directory import DirectoryKeeper

log = logging.getLogger(__name__)

LOOK_PAUSES = 20


class Reclaimer:
    """Each poll asks for which receivers, routes and collections timers wait, whoever deferred them; between polls
    it looks after those of which it is told that they have room.

    What it takes counts beside the hands that claims from the queue may fill, and is a quarter of them at most: so
    neither keeps the other from working.
    """

    def __init__(
        self,
        engine: Engine,
        controller_id: int,
        *,
        lease: Lease,
        hands: Hands,
        deferrer: Deferrer,
        directory: DirectoryKeeper,
        poll_seconds: float,
        on_claimed: Callable[[list[Claim]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._controller_id = controller_id
        self._lease = lease
        self._hands = hands
        self._deferrer = deferrer
        self._directory = directory
        self._poll_seconds = poll_seconds
        self._on_claimed = on_claimed
        self._monotonic = monotonic
        self._number = FIRST_NUMBER
        self._uncertain: bytes | None = None
        """For whom a claim was made of which nobody knows whether it happened."""
        self._batches: set[int] = set()
        self._wanted: set[bytes] = set()
        self._behind: dict[bytes, QueueEntry] = {}
        self._next_look_at = 0.0

    @property
    def is_hungry(self) -> bool:
        """Whether more would be taken if hands were free."""
        return bool(self._wanted)

    def want(self, key: bytes) -> None:
        """There is room, or timers came to wait for this. The caller wakes the loop."""
        self._wanted.add(key)

    async def settle(self) -> None:
        """After the last step: a batch whose claim's answer was lost is handed on."""
        if self._uncertain is not None:
            await self._adopt_lost_batch(self._uncertain)

    async def run_once(self) -> float:
        """Take what there is room for; gives the seconds until the next look."""
        await self.settle()
        if not self._lease.may_send():
            return self._poll_seconds
        if self._monotonic() >= self._next_look_at:
            await self._look()
        # In no order, so that none is always the last.
        for key in random.sample(sorted(self._wanted), len(self._wanted)):
            free = self._free()
            if free == 0:
                break
            self._wanted.discard(key)
            room = self._deferrer.room_at(key)
            if room > 0 and await self._claim(key, min(room, free, BATCH_MAX)):
                self._wanted.add(key)
        if self._wanted and self._free() > 0:
            return 0
        return max(0.0, self._next_look_at - self._monotonic())

    async def _look(self) -> None:
        began_at = self._monotonic()
        self._behind.clear()
        self._wanted.update(await destinations(self._engine), self._deferrer.backed_up())
        # It wades through what was deleted and is not purged yet, and takes a twentieth of the time at most.
        took = self._monotonic() - began_at
        self._next_look_at = began_at + max(self._poll_seconds, LOOK_PAUSES * took)

    def _free(self) -> int:
        self._batches = {number for number in self._batches if self._hands.open_in(number)}
        held = sum(len(self._hands.open_in(number)) for number in self._batches)
        return max(0, max(1, self._hands.capacity // SHARE_OF_HANDS) - held)

    async def _claim(self, key: bytes, limit: int) -> bool:
        """Take so many of those that wait for one thing. Whether more may be waiting."""
        self._number += 1
        behind = self._behind.pop(key, None)
        try:
            entries = await claim_deferred(
                self._engine, self._controller_id, self._number, destination=key, behind=behind, limit=limit
            )
        except DatabaseUnavailable:
            self._uncertain = key
            raise
        is_full = len(entries) == limit
        if is_full:
            self._behind[key] = entries[-1]
        elif behind is None:
            self._deferrer.note_caught_up(key)
        await self._hold(entries, key)
        if is_full:
            self._deferrer.note_backlog(key)
        # Behind a place there may be nothing, and yet something that came to stand in front of it.
        return is_full or behind is not None

    async def _adopt_lost_batch(self, key: bytes) -> None:
        """The answer to the last claim was lost, with a batch or without one."""
        entries, _ = await adopt(self._engine, self._controller_id, self._number)
        self._uncertain = None
        if entries:
            log.warning("adopted batch %d with %d timers: its claim's answer was lost", self._number, len(entries))
        await self._hold(entries, key)

    async def _hold(self, entries: list[QueueEntry], key: bytes) -> None:
        if not entries:
            return
        try:
            claims = await load(self._engine, self._number, entries)
            await self._directory.covering({claim.timer.owner for claim in claims})
        except DatabaseUnavailable:
            self._uncertain = key
            raise
        for claim in claims:
            claim.waited_for = key
        self._hands.take(self._number, [claim.entry for claim in claims])
        self._batches.add(self._number)
        if len(claims) < len(entries):
            log.error("%d deferred timers are not in the table of timers", len(entries) - len(claims))
        self._on_claimed(claims)

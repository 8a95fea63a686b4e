"""Polls for timers that are due soon, and claims them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from timer_controller.bottleneck import Bottleneck
from timer_controller.frontier import Frontier
from timer_controller.groups import Group, Groups
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_controller.shelf import Shelf
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.owner import BY_DEFAULT
from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.engine import Engine
from timer_db.operations import claim as operations
from timer_db.operations.directory import DirectoryKeeper

log = logging.getLogger(__name__)

AHEAD_SECONDS = 0.25
"""Beyond the next poll, so that a claim and the look at its timers are over before they are due."""


BEHIND_US = 1_000_000
"""What was due so long before its claim waited in a backlog."""
SWEEP_SECONDS = 2.0
"""How often a look begins at the start of the queue, so that stragglers are found."""
SWEEP_PAUSES = 20
"""Such a look wades through whatever was deleted and not purged, and may take a twentieth of the time."""


class Claimer:
    """Each poll looks behind what was looked through before, priority by priority, and claims what is due soon,
    the highest first; while batches are full, the next one goes on behind the last. `on_claimed` hears that claims
    wait on the shelf.

    What its collection or its route holds up by now goes back at once (`defer`). It is claimed as surely unsent,
    like what waits on the shelf: should this controller be lost, nobody takes it for called."""

    def __init__(
        self,
        engine: Engine,
        controller_id: int,
        *,
        clock: DatabaseClock,
        lease: Lease,
        hands: Hands,
        poll_seconds: float,
        shelf: Shelf,
        groups: Groups,
        directory: DirectoryKeeper,
        defer: Callable[[Bottleneck, Sequence[Claim]], None],
        on_claimed: Callable[[], None],
        note_claimed: Callable[[Sequence[Claim]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._controller_id = controller_id
        self._clock = clock
        self._lease = lease
        self._hands = hands
        self._poll_seconds = poll_seconds
        self._shelf = shelf
        self._groups = groups
        self._directory = directory
        self._defer = defer
        self._on_claimed = on_claimed
        self._note_claimed = note_claimed
        self._monotonic = monotonic
        self.is_behind = False
        """Whether there is a backlog: the last claim came late."""
        self._number = 0
        self._uncertain = False
        self._ranks: list[int] = []
        self._frontier = Frontier()
        self._next_poll_at = 0.0
        self._stragglers_are_expected = False
        self._sweep_not_before = 0.0
        self._sweep_at = 0.0

    def expect_stragglers(self) -> None:
        """Timers were put back into the queue: look from its start at once. The caller wakes the loop."""
        self._stragglers_are_expected = True
        self._next_poll_at = 0.0

    async def settle(self) -> None:
        """After the last step: a batch whose claim's answer was lost comes onto the shelf."""
        if self._uncertain:
            await self._adopt_lost_batch()

    async def run_once(self) -> float:
        """Claim one batch; gives the seconds until the next. The caller wakes it when hands become free."""
        await self.settle()
        limit = min(self._hands.free, operations.BATCH_MAX)
        # A few free hands are not worth a transaction; more become free in a moment.
        worthwhile = limit >= max(1, min(self._hands.capacity // 4, operations.BATCH_MAX))
        if not worthwhile or not self._lease.may_send():
            return self._poll_seconds
        began = self._monotonic()
        is_poll = began >= self._next_poll_at
        is_sweep = is_poll and self._is_time_to_sweep(began)
        if is_poll:
            self._next_poll_at = began + self._poll_seconds
            await self._look(from_start=is_sweep)
        is_full = bool(self._ranks) and await self._claim(limit) == limit
        ended = self._monotonic()
        if is_sweep:
            self._sweep_not_before = ended + SWEEP_PAUSES * (ended - began)
            self._sweep_at = max(self._sweep_not_before, ended + SWEEP_SECONDS)
        return 0 if is_full else max(0.0, self._next_poll_at - ended)

    def _is_time_to_sweep(self, now: float) -> bool:
        return now >= (self._sweep_not_before if self._stragglers_are_expected else self._sweep_at)

    async def _look(self, *, from_start: bool) -> None:
        """Find out which priorities have something to claim."""
        if from_start:
            self._stragglers_are_expected = False
            self._frontier.start_over()
        at_us = self._clock.earliest_us()
        firsts = await operations.first_entries(self._engine, self._frontier.seen)
        if new := firsts.keys() - self._frontier.seen.keys():
            await operations.put_heads(self._engine, new)
        self._frontier.note_look(firsts, at_us)
        bound = time_bound(self._horizon_us())
        self.is_behind = False
        self._ranks = sorted(rank for rank, first in firsts.items() if first is not None and first < bound)

    async def _claim(self, limit: int) -> int:
        self._number += 1
        try:
            taken = await operations.claim(
                self._engine,
                self._controller_id,
                self._number,
                ranks=self._ranks,
                behind=self._frontier.ahead,
                horizon_us=self._horizon_us(),
                limit=limit,
                plan=self._plan,
            )
        except DatabaseUnavailable:
            self._uncertain = True
            raise
        await self._learn_owners(taken.claims)
        entries = taken.entries
        reached = self._ranks.index(entries[-1].rank) if len(entries) == limit else len(self._ranks)
        self.is_behind = bool(entries) and entries[0].at_us < self._clock.earliest_us() - BEHIND_US
        self._frontier.note_claim(entries, self._ranks[:reached])
        del self._ranks[:reached]
        if entries:
            self._hold(taken)
        return len(entries)

    async def _adopt_lost_batch(self) -> None:
        """The answer to the last claim was lost, with a batch or without one."""
        entries, unsent = await operations.adopt(self._engine, self._controller_id, self._number)
        claims = await operations.load(self._engine, self._number, entries)
        await self._directory.covering({claim.timer.owner for claim in claims})
        self._uncertain = False
        if entries:
            log.warning("adopted batch %d with %d timers: its claim's answer was lost", self._number, len(entries))
            self._hold(operations.Taken(entries, claims, entries[len(entries) - unsent :]))

    async def _learn_owners(self, claims: list[Claim]) -> None:
        """What a claimed timer belongs to is known before it is called."""
        try:
            await self._directory.covering({claim.timer.owner for claim in claims})
        except DatabaseUnavailable:
            self._uncertain = True
            raise

    def _plan(self, entries: Sequence[QueueEntry], claims: Sequence[Claim]) -> tuple[Sequence[QueueEntry], int]:
        # What is new to the directory is learned before it is called, and not held up yet.
        knows = self._directory.current.knows
        held_up = {claim.entry for claim in claims if knows(claim.timer.owner) and self._holder(claim)}
        if not held_up:
            return self._shelf.plan(entries)
        ordered, waiting = self._shelf.plan([entry for entry in entries if entry not in held_up])
        return [*ordered, *sorted(held_up)], waiting + len(held_up)

    def _holder(self, claim: Claim) -> Group | None:
        owner = claim.timer.owner
        if owner is BY_DEFAULT and self._groups.default_is_free:
            return None
        gates = self._groups.gates_of(owner)
        return None if gates is None else gates.holder(claim, is_new=True)

    def _hold(self, taken: operations.Taken) -> None:
        self._hands.take(self._number, [claim.entry for claim in taken.claims])
        if self._note_claimed is not None:
            self._note_claimed(taken.claims)
        if gone := len(taken.entries) - len(taken.claims):
            log.error("%d timers of the queue are not in the table of timers", gone)
        held_up = [(claim, holder) for claim in taken.claims if (holder := self._holder(claim))]
        for claim, holder in held_up:
            self._defer(holder, [claim])
        back = {claim.entry for claim, _ in held_up}
        claims = [claim for claim in taken.claims if claim.entry not in back] if back else taken.claims
        waiting = [entry for entry in taken.waiting if entry not in back] if back else taken.waiting
        self._shelf.put(self._number, claims, waiting)
        if waiting:
            self._on_claimed()

    def _horizon_us(self) -> int:
        return self._clock.latest_us() + round((self._poll_seconds + AHEAD_SECONDS) * 1_000_000)

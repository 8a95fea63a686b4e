"""The claimer's steps on a real queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest_asyncio

from tests.db.desk import SECOND_US, Desk, finished, new_timer
from timer_controller.claimer import AHEAD_SECONDS, Claimer
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.operations.watch import look

POLL_SECONDS = 0.5


@dataclass
class Rig:
    """A claimer; what it claimed is in `claimed`."""

    desk: Desk
    claimed: list[Claim] = field(default_factory=list)

    async def start(self, hands_max: int) -> None:
        self.hands = Hands(hands_max)
        self.clock = DatabaseClock()
        await look(self.desk.engine, self.clock)
        self.lease = Lease(5.0, lambda: 0.0)
        self.lease.renew(0.0)
        self.controller = await self.desk.join()
        self.claimer = Claimer(
            self.desk.engine,
            self.controller,
            clock=self.clock,
            lease=self.lease,
            hands=self.hands,
            poll_seconds=POLL_SECONDS,
            on_claimed=self.claimed.extend,
        )

    async def add(self, count: int, in_seconds: float = 0) -> None:
        at_us = await self.desk.now_us() + round(in_seconds * SECOND_US)
        await self.desk.add(*(new_timer(at_us + n, created_at_us=0) for n in range(count)))

    async def finish_all(self) -> None:
        """Every outcome is written."""
        batches = {claim.batch for claim in self.claimed}
        await self.desk.finish(self.controller, [finished(claim) for claim in self.claimed], batches)
        for claim in self.claimed:
            self.hands.let_go(claim.batch, [claim.entry])
        self.claimed.clear()


@pytest_asyncio.fixture
async def rig(desk: Desk) -> AsyncIterator[Rig]:
    """Not started yet."""
    yield Rig(desk)


async def test_what_falls_due_before_the_next_poll_is_claimed(rig: Rig) -> None:
    await rig.start(100)
    await rig.add(3, in_seconds=POLL_SECONDS + AHEAD_SECONDS / 2)
    await rig.add(4, in_seconds=60)
    delay = await rig.claimer.run_once()
    assert len(rig.claimed) == rig.hands.held == 3
    assert 0 < delay <= POLL_SECONDS


async def test_a_full_batch_polls_again_at_once(rig: Rig) -> None:
    await rig.start(8)
    await rig.add(10)
    assert await rig.claimer.run_once() == 0
    assert rig.hands.held == 8
    await rig.finish_all()
    assert await rig.claimer.run_once() > 0
    assert rig.hands.held == 2


async def test_full_hands_wait_to_be_woken(rig: Rig) -> None:
    """However few they are: a step that claims nothing must not be followed by another at once."""
    for hands_max in (1, 2, 3, 4, 100):
        await rig.start(hands_max)
        await rig.add(hands_max + 1)
        await rig.claimer.run_once()
        assert rig.hands.free == 0
        assert await rig.claimer.run_once() > 0, hands_max
        assert await rig.claimer.run_once() > 0, hands_max
        await rig.finish_all()
        await rig.desk.write("DELETE FROM due_queue")


async def test_without_a_lease_nothing_is_claimed(rig: Rig) -> None:
    await rig.start(10)
    await rig.add(1)
    rig.lease.renew(-100.0)
    assert await rig.claimer.run_once() == POLL_SECONDS
    assert len(await rig.desk.queued()) == 1

"""Claims wait until it is written down that they may be sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
import pytest_asyncio

from tests.db.desk import LEASE_US, SECOND_US, Desk, entries_of, finished, new_timer
from timer_controller.shelf import AHEAD_MAX, LEAD_SECONDS, Shelf
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.errors import Fenced
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.operations.claim import BATCH_MAX, adopt, load, release
from timer_db.operations.rescue import Rescued, fence_silent, find_gone, rescue_batch
from timer_db.operations.watch import look

SOON_US = round(LEAD_SECONDS * SECOND_US)


@dataclass
class Rig:
    """A shelf; what it released is in `released`. `ahead` is how many of those are not sent yet."""

    desk: Desk
    released: list[Claim] = field(default_factory=list)
    ahead: int = 0

    async def start(self) -> None:
        clock = DatabaseClock()
        await look(self.desk.engine, clock)
        self.now_us = clock.earliest_us()
        self.controller = await self.desk.join()
        self.shelf = Shelf(
            partial(release, self.desk.engine, self.controller),
            clock=clock,
            ahead=lambda: self.ahead,
            on_released=self.released.extend,
        )

    async def add(self, count: int, in_us: int, priority: int = 0) -> list[QueueEntry]:
        """Timers due from then on, a microsecond apart."""
        timers = [new_timer(self.now_us + in_us + n, created_at_us=0, priority=priority) for n in range(count)]
        for start in range(0, count, 500):
            await self.desk.add(*timers[start : start + 500])
        return entries_of(timers)

    def plan(self, entries: Sequence[QueueEntry], _: Sequence[Claim]) -> tuple[Sequence[QueueEntry], int]:
        """Nothing is held up."""
        return self.shelf.plan(entries)

    async def claim(self, number: int = 1) -> list[QueueEntry]:
        """As the claimer does, whatever is there."""
        horizon_us = self.now_us + 10 * SECOND_US
        taken = await self.desk.claim_whole(self.controller, number, horizon_us=horizon_us, plan=self.plan)
        self.shelf.put(number, taken.claims, taken.waiting)
        return taken.entries

    def sent(self) -> list[QueueEntry]:
        """What was released since this was asked last, in no order."""
        entries = sorted(claim.entry for claim in self.released)
        self.released.clear()
        return entries


@pytest_asyncio.fixture
async def rig(desk: Desk) -> AsyncIterator[Rig]:
    """Its controller has joined."""
    rig = Rig(desk)
    await rig.start()
    yield rig


async def test_what_is_due_goes_on_at_once_and_the_rest_shortly_before_its_time(rig: Rig) -> None:
    due = await rig.add(3, -SECOND_US)
    soon = await rig.add(2, SOON_US // 4)
    later = await rig.add(4, 5 * SOON_US)
    await rig.claim()
    assert rig.sent() == due + soon
    assert await rig.desk.unsent(rig.controller) == {1: 4}

    wait_seconds = await rig.shelf.run_once()
    assert 3.5 * LEAD_SECONDS < wait_seconds <= 4.5 * LEAD_SECONDS
    assert rig.sent() == []

    rig.shelf._clock = _Moved(rig.shelf._clock, 5 * SOON_US)
    assert await rig.shelf.run_once() == 0
    assert rig.sent() == later
    assert await rig.desk.unsent(rig.controller) == {1: 0}
    assert rig.shelf.is_empty


class _Moved(DatabaseClock):
    """The same clock, so many microseconds later."""

    def __init__(self, clock: DatabaseClock, by_us: int) -> None:
        super().__init__()
        self._before = clock
        self._by_us = by_us

    def earliest_us(self) -> int:
        return self._before.earliest_us() + self._by_us


async def test_of_many_that_are_due_only_so_many_go_ahead(rig: Rig) -> None:
    due = await rig.add(BATCH_MAX + 300, -SECOND_US)
    await rig.claim(1)
    await rig.claim(2)
    assert rig.sent() == due[:AHEAD_MAX]
    assert await rig.desk.unsent(rig.controller) == {1: BATCH_MAX - AHEAD_MAX, 2: 300}

    rig.ahead = AHEAD_MAX - 10
    assert await rig.shelf.run_once() > 0
    assert rig.sent() == [], "ten are not worth a transaction"

    room = AHEAD_MAX // 2
    rig.ahead = AHEAD_MAX - room
    assert await rig.shelf.run_once() == 0
    assert rig.sent() == due[AHEAD_MAX : AHEAD_MAX + room]
    assert await rig.desk.unsent(rig.controller) == {1: 0, 2: len(due) - AHEAD_MAX - room}


async def test_what_was_claimed_first_goes_first_and_a_higher_priority_before_it(rig: Rig) -> None:
    first = await rig.add(AHEAD_MAX + 100, -SECOND_US)
    await rig.claim(1)
    rig.sent()
    urgent = await rig.add(5, -1, priority=3)
    last = await rig.add(20, -1)
    await rig.claim(2)
    assert rig.sent() == [], "whoever waits is before those who come"

    await rig.shelf.run_once()
    assert rig.sent() == sorted(urgent + first[AHEAD_MAX:] + last)
    assert rig.shelf.is_empty
    assert await rig.desk.unsent(rig.controller) == {1: 0, 2: 0}


async def test_the_order_within_a_batch_is_that_of_the_calls(rig: Rig) -> None:
    """A high priority that is not due yet stands behind a low one that is."""
    urgent_later = await rig.add(1, 3 * SOON_US, priority=7)
    due = await rig.add(2, -SECOND_US)
    await rig.claim()
    assert rig.sent() == due
    assert await rig.desk.in_hand() == {(rig.controller, 1): due + urgent_later}
    assert await rig.desk.unsent(rig.controller) == {1: 1}


async def test_of_a_lost_controller_only_what_was_released_is_unknown(rig: Rig) -> None:
    await rig.add(AHEAD_MAX + 7, -SECOND_US)
    later = await rig.add(2, 5 * SOON_US)
    entries = await rig.claim()
    # One was called, and its outcome is written.
    await rig.desk.finish(rig.controller, [finished(next(c for c in rig.released if c.entry == entries[0]))])
    await rig.desk.silence(rig.controller, seconds=60)
    assert rig.controller in await fence_silent(rig.desk.engine, LEASE_US)
    [gone] = await find_gone(rig.desk.engine, LEASE_US)
    # By the time alone, all of them could have been called.
    gone = type(gone)(gone.controller_id, rig.now_us + 10 * SECOND_US)

    rescued = await rescue_batch(rig.desk.engine, gone)

    assert rescued == Rescued(rig.controller, unsent=9, unknown=AHEAD_MAX - 1)
    queued = await rig.desk.queued()
    assert set(entries[AHEAD_MAX:]) <= set(queued)
    assert set(later) <= set(queued)
    with pytest.raises(Fenced):
        await rig.shelf.run_once()
    assert rig.sent() == sorted(entries[:AHEAD_MAX]), "nothing was released after that"


@pytest.mark.parametrize("on_unknown", [OnUnknown.hold, OnUnknown.fail])
async def test_what_waited_is_called_whatever_its_owner_says_of_unknowns(rig: Rig, on_unknown: OnUnknown) -> None:
    [timer] = await rig.desk.add(new_timer(rig.now_us + 5 * SOON_US, created_at_us=0, on_unknown=on_unknown))
    await rig.claim()
    await rig.desk.silence(rig.controller, seconds=60)
    await fence_silent(rig.desk.engine, LEASE_US)
    [gone] = await find_gone(rig.desk.engine, LEASE_US)
    await rescue_batch(rig.desk.engine, type(gone)(gone.controller_id, rig.now_us + 10 * SECOND_US))
    assert await rig.desk.state(timer.id) is TimerState.scheduled


async def test_claims_that_go_back_leave_the_rest_as_it_was(rig: Rig) -> None:
    due = await rig.add(10, -SECOND_US)
    later = await rig.add(10, 5 * SOON_US)
    await rig.claim()
    assert await rig.desk.unsent(rig.controller) == {1: 10}

    await rig.desk.give_back(rig.controller, 1, [*due[:3], *later[4:9]])

    assert await rig.desk.in_hand() == {(rig.controller, 1): [*due[3:], *later[:4], *later[9:]]}
    assert await rig.desk.unsent(rig.controller) == {1: 5}


async def test_what_a_stop_finds_on_the_shelf_goes_back(rig: Rig) -> None:
    await rig.add(1, -SECOND_US)
    later = await rig.add(3, 5 * SOON_US)
    await rig.claim()
    assert sorted(claim.entry for claim in rig.shelf.empty()) == later
    assert rig.shelf.is_empty


async def test_an_adopted_batch_waits_as_it_was_written(rig: Rig) -> None:
    due = await rig.add(2, -SECOND_US)
    later = await rig.add(3, 5 * SOON_US)
    await rig.desk.claim(rig.controller, horizon_us=rig.now_us + 10 * SECOND_US, plan=rig.plan)

    entries, unsent = await adopt(rig.desk.engine, rig.controller, 1)
    assert (entries, unsent) == (due + later, 3)
    rig.shelf.put(1, await load(rig.desk.engine, 1, entries), entries[2:])
    assert rig.sent() == due
    assert not rig.shelf.is_empty


async def test_a_timer_that_is_gone_does_not_shift_the_others(rig: Rig) -> None:
    due = await rig.add(AHEAD_MAX + 100, -SECOND_US)
    gone = due[AHEAD_MAX + 3]
    await rig.desk.write(f"DELETE FROM timers WHERE id = x'{gone.timer_id.hex()}'")
    await rig.claim()
    rig.sent()
    rig.ahead = AHEAD_MAX // 2 - 50
    assert await rig.shelf.run_once() == 0
    assert rig.sent() == [entry for entry in due[AHEAD_MAX:] if entry != gone]
    assert await rig.desk.unsent(rig.controller) == {1: 0}

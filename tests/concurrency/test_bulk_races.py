"""Bulk calls, changes and replays beside controllers at work: nobody gives way to anybody, and what was answered
holds. No timer is called after its cancel, or as it was before its change."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.concurrency.hands import Waits, hand
from tests.concurrency.test_locks import SIZES
from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, finished, new_timer, new_timers
from tests.db.wire import count_gave_way
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.destination import key_of
from timer_db.domain.errors import NotChangeable
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.engine import Pool, open_shards
from timer_db.operations import bulk
from timer_db.operations.bulk import for_ids
from timer_db.operations.cancel import cancel_some
from timer_db.operations.change import change
from timer_db.operations.claim import FROM_THE_START
from timer_db.operations.move import Move, mover
from timer_db.operations.replay import replay_some
from timer_db.statements import counts, queue

SLOW = key_of("https://slow.test:443")
RANK = PRIORITY_MAX
HORIZON_US = NOON_US + 10 * SECOND_US


@pytest_asyncio.fixture
async def wide(desk: Desk, database_url: str) -> AsyncIterator[Desk]:
    """The same database, with connections for everybody."""
    shards = open_shards([database_url], Pool(size=16))
    yield Desk(shards)
    await shards.close()


class Controllers:
    """Claim, call and finish for ever; some of it goes back, and some into a backlog."""

    def __init__(self, desk: Desk, seed: int = 3) -> None:
        self._desk = desk
        self._dice = random.Random(seed)
        self.called: list[Claim] = []
        self.sure: dict[bytes, int] = {}
        """What the `meta` of a timer is at least, since somebody was told so."""
        self.is_over = False

    async def run(self) -> None:
        """Until it is over, and once more."""
        controller, number = await self._desk.join(), 0
        is_last = False
        while not is_last:
            is_last = self.is_over
            number += 2
            told = dict(self.sure)
            claims = await self._desk.take(controller, number, limit=self._dice.choice([5, 40, 300]))
            for claim in claims:
                assert int(claim.timer.meta_json or 0) >= told.get(claim.entry.timer_id, 0)
            back = [claim for claim in claims if self._dice.random() < 0.3]
            sent = [claim for claim in claims if claim not in back]
            self.called += sent
            destination = self._dice.choice([None, SLOW])
            entries = [claim.entry for claim in back]
            if entries:
                await self._desk.give_back(controller, number, entries, destination=destination)
            outcomes = [self._outcome(claim) for claim in sent]
            await self._desk.finish(controller, outcomes, {number})
            if again := await self._desk.reclaim(controller, number + 1, SLOW, limit=20):
                await self._desk.give_back(controller, number + 1, again, is_done=True)

    def _outcome(self, claim: Claim) -> Finished:
        ends = [(TimerState.delivered, Outcome.delivered), (TimerState.failed, Outcome.rejected)]
        return finished(claim, *self._dice.choice(ends))


async def test_what_was_cancelled_in_bulk_is_never_called(wide: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gave_way = count_gave_way(monkeypatch)
    monkeypatch.setattr(bulk, "LIST_MAX", 60)
    timers = await wide.add(*(new_timer(NOON_US + n, priority=n % 3) for n in range(3000)))
    controllers = Controllers(wide)
    cancelled: set[bytes] = set()
    refused = 0

    async def cancel(offset: int) -> None:
        nonlocal refused
        # Two of them share every second timer.
        for first in range(0, len(timers), 300):
            ids = [timer.id for timer in timers[first : first + 300 : 2 - offset]]
            done = await for_ids(wide.shards, ids, cancel_some)
            called = {claim.entry.timer_id for claim in controllers.called}
            assert not called & set(done.changed)
            assert not cancelled & set(done.changed)
            cancelled.update(done.changed)
            refused += len(done.refused)
            assert len(done.changed) + len(done.refused) == len(ids)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(controllers.run()) for _ in range(3)]
        await asyncio.gather(cancel(0), cancel(1))
        controllers.is_over = True
        await asyncio.gather(*running)

    called = {claim.entry.timer_id for claim in controllers.called}
    assert not called & cancelled
    assert cancelled
    assert refused
    assert len(called) == len(controllers.called)
    assert not gave_way


async def test_moves_changes_and_replays_beside_controllers(wide: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears that a timer was changed knows that its next call is the new one."""
    gave_way = count_gave_way(monkeypatch)
    monkeypatch.setattr(bulk, "LIST_MAX", 50)
    timers = await wide.add(*(new_timer(NOON_US + n, meta=0) for n in range(600)))
    controllers = Controllers(wide)
    dice = random.Random(5)

    def higher(old: Timer) -> Timer:
        return replace(old, meta=old.meta + 1)

    async def revise() -> None:
        for timer in dice.choices(timers, k=300):
            with suppress(NotChangeable):
                changed = await change(wide.shards, timer.id, higher, is_moved=False)
                controllers.sure[timer.id.bytes] = max(changed.meta, controllers.sure.get(timer.id.bytes, 0))

    async def many() -> None:
        for _ in range(12):
            ids = [timer.id for timer in dice.sample(timers, 200)]
            await for_ids(wide.shards, ids, mover(Move(by_us=dice.choice([-3, 5]))))
            await for_ids(wide.shards, ids, replay_some)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(controllers.run()) for _ in range(2)]
        await asyncio.gather(revise(), revise(), many(), many())
        controllers.is_over = True
        await asyncio.gather(*running)

    assert len(controllers.called) > len(timers)
    assert len(controllers.sure) > 30
    # Attempts of each timer are numbered without a gap.
    numbers: Counter[bytes] = Counter()
    for timer_id, attempt in await wide.rows("SELECT timer_id, attempt FROM attempts ORDER BY timer_id, attempt"):
        numbers[bytes(timer_id)] += 1
        assert attempt == numbers[bytes(timer_id)]
    await _assert_counted(wide)
    assert not gave_way


async def _assert_counted(desk: Desk) -> None:
    counted: Counter[str] = Counter()
    for _, _, _, state, timers in await desk.rows(counts.sums()):
        counted[state] += int(timers)
    ended = dict(
        await desk.rows(
            "SELECT a.state, COUNT(*) FROM timers t JOIN attempts a ON a.timer_id = t.id"
            " AND a.attempt = t.attempts_made + 1 GROUP BY a.state"
        )
    )
    assert +counted == Counter({"made": await desk.count("timers"), **ended})
    assert await desk.count("endings") == ended.get("failed", 0)


@pytest.mark.parametrize("size", SIZES)
async def test_many_are_locked_by_key_and_wait_for_theirs_only(desk: Desk, size: int) -> None:
    """However many of the table they are: what is not listed stays free for claims."""
    places = entries_of(await desk.add(*new_timers(size)))
    await desk.rows("ANALYZE TABLE due_queue")
    listed = [entry.due_key for entry in places[::2]][:900]
    async with hand(desk) as canceller, hand(desk) as claimer, hand(desk) as second:
        assert len(await canceller.rows(queue.lock(RANK, listed))) == len(listed)
        assert await canceller.write(queue.remove(RANK, listed)) == len(listed)
        rows = await claimer.rows(queue.take(RANK, FROM_THE_START, HORIZON_US, 2 * size))
        assert {bytes(row[0]) for row in rows} == {entry.due_key for entry in places} - set(listed)
        with pytest.raises(Waits):
            await second.rows(queue.lock(RANK, [places[1].due_key]))


async def test_a_claim_passes_over_what_is_being_changed(desk: Desk) -> None:
    [changing, other] = entries_of(await desk.add(*new_timers(2)))
    controller = await desk.join()
    async with hand(desk) as canceller:
        await canceller.rows(queue.lock(RANK, [changing.due_key]))
        assert await desk.claim(controller) == [QueueEntry(RANK, other.due_key)]

"""Who waits for whom in the backlogs: those who claim side by side, put more there and cancel do not."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.concurrency.hands import Hand, Waits, hand
from tests.concurrency.test_locks import SIZES
from tests.db.desk import Desk, entries_of, finished, new_timer, new_timers
from tests.db.wire import count_gave_way
from timer_db.domain.destination import key_of
from timer_db.domain.errors import NotCancellable
from timer_db.domain.queue_entry import QueueEntry
from timer_db.operations.cancel import cancel
from timer_db.operations.claim import load
from timer_db.statements import deferred

SLOW, DEAD = key_of("https://slow.test:443"), key_of("https://dead.test:443")


async def _fill(desk: Desk, size: int) -> list[QueueEntry]:
    """A backlog, in three priorities, and a little one beside it."""
    places = entries_of(new_timer(priority=n % 3) for n in range(size))
    for first in range(0, size, 1000):
        await desk.write(deferred.put((SLOW, place) for place in places[first : first + 1000]))
    await desk.write(deferred.put((DEAD, place) for place in entries_of(new_timers(2))))
    await desk.rows("ANALYZE TABLE deferred_queue")
    return places


async def _claim(claimer: Hand, destination: bytes, limit: int) -> list[QueueEntry]:
    rows = await claimer.rows(deferred.take(destination, None, limit))
    return [QueueEntry(rank, bytes(key)) for rank, key in rows]


async def _remove(claimer: Hand, entries: list[QueueEntry]) -> None:
    for rank in sorted({entry.rank for entry in entries}):
        keys = [entry.due_key for entry in entries if entry.rank == rank]
        assert await claimer.write(deferred.remove(SLOW, rank, keys)) == len(keys)


@pytest.mark.parametrize("size", SIZES)
async def test_claims_side_by_side_do_not_wait(desk: Desk, size: int) -> None:
    """Both read before either removes; a third one takes another backlog, and a fourth finds nothing."""
    places = await _fill(desk, size)
    half = size // 2
    async with hand(desk) as first, hand(desk) as second, hand(desk) as third:
        assert await _claim(first, SLOW, half) == places[:half]
        assert await _claim(second, SLOW, 2 * size) == places[half:]
        assert len(await _claim(third, DEAD, 10)) == 2
        await _remove(second, places[half:])
        await _remove(first, places[:half])
        assert await _claim(third, SLOW, 1) == []


async def test_putting_more_there_waits_for_nobody(desk: Desk) -> None:
    places = await _fill(desk, 100)
    async with hand(desk) as claimer, hand(desk) as finisher:
        assert await _claim(claimer, SLOW, 100) == places
        await _remove(claimer, places)
        more = entries_of([new_timer(priority=n) for n in range(4)])
        assert await finisher.write(deferred.put((SLOW, place) for place in more)) == 4


async def test_a_cancel_waits_only_for_the_claim_of_its_timer(desk: Desk) -> None:
    places = await _fill(desk, 100)
    async with hand(desk) as claimer, hand(desk) as canceller:
        assert await _claim(claimer, SLOW, 50) == places[:50]
        held, free = places[49], places[50]
        assert len(await canceller.rows(deferred.lock(SLOW, free.rank, [free.due_key]))) == 1
        assert await canceller.write(deferred.remove(SLOW, free.rank, [free.due_key])) == 1
        with pytest.raises(Waits):
            await canceller.rows(deferred.lock(SLOW, held.rank, [held.due_key]))


async def test_nobody_gives_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two claim, one puts some back, and one cancels, all at the same backlog. Each timer ends once."""
    gave_way = count_gave_way(monkeypatch)
    dice = random.Random(5)
    timers = await desk.add(*(new_timer(priority=n % 3) for n in range(600)))
    await desk.defer_all(await desk.join(), 1, SLOW)
    cancelled = 0

    async def control() -> None:
        controller, number = await desk.join(), 0
        while SLOW in await desk.deferred():
            number += 1
            entries = await desk.reclaim(controller, number, SLOW, limit=dice.choice([3, 17, 60]))
            half = len(entries) // 2
            if half:
                await desk.give_back(controller, number, entries[:half], destination=SLOW)
            claims = await load(desk.engine, number, entries[half:])
            if claims:
                await desk.finish(controller, [finished(claim) for claim in claims], {number})

    async def annul() -> None:
        nonlocal cancelled
        for timer in dice.sample(timers, 120):
            try:
                await cancel(desk.shards, timer.id)
                cancelled += 1
            except NotCancellable:
                pass

    await asyncio.gather(control(), control(), annul())

    assert cancelled > 0
    assert await desk.count("attempts") == len(timers) - cancelled
    assert (await desk.deferred(), await desk.in_hand()) == ({}, {})
    assert not gave_way

"""Giving claims back: they stand where they stood."""

from __future__ import annotations

import asyncio

from tests.db.desk import Desk, entries_of, finished, new_timer, new_timers, retried
from timer_db.domain.states import TimerState
from timer_db.operations.claim import give_back


async def test_a_whole_batch(desk: Desk) -> None:
    timers = await desk.add(*new_timers(3), new_timer(priority=4))
    controller = await desk.join()
    entries = await desk.claim(controller)
    assert await give_back(desk.engine, controller, 1, entries, is_done=True)
    assert await desk.queued() == entries_of(timers)
    assert await desk.in_hand() == {}
    assert {await desk.state(timer.id) for timer in timers} == {TimerState.scheduled}
    assert await desk.claim(controller, 2) == entries


async def test_a_part_of_a_batch(desk: Desk) -> None:
    await desk.add(*new_timers(4))
    controller = await desk.join()
    entries = await desk.claim(controller)
    assert await give_back(desk.engine, controller, 1, entries[1:3], is_done=False)
    assert await desk.queued() == entries[1:3]
    assert await desk.in_hand() == {(controller, 1): [entries[0], entries[3]]}


async def test_what_is_left_after_outcomes(desk: Desk) -> None:
    """One was delivered, one is to be retried, and the last one goes back: the batch is done."""
    timers = await desk.add(*new_timers(3))
    controller = await desk.join()
    claims = await desk.take(controller)
    await desk.finish(controller, [finished(claims[0]), retried(claims[1], claims[1].entry.at_us + 5)])
    assert await give_back(desk.engine, controller, 1, [claims[2].entry], is_done=True)
    assert await desk.in_hand() == {}
    assert [await desk.state(timer.id) for timer in timers] == [
        TimerState.delivered,
        TimerState.scheduled,
        TimerState.scheduled,
    ]
    assert sorted(await desk.queued()) == sorted(
        [claims[1].entry.moved_to(claims[1].entry.at_us + 5), claims[2].entry]
    )


async def test_nothing_to_give_back_may_still_end_a_batch(desk: Desk) -> None:
    await desk.add(*new_timers(1))
    controller = await desk.join()
    [claim] = await desk.take(controller)
    assert await give_back(desk.engine, controller, 1, [], is_done=False)
    assert list(await desk.in_hand()) == [(controller, 1)]
    await desk.finish(controller, [finished(claim)])
    assert await give_back(desk.engine, controller, 1, [], is_done=True)
    assert await desk.in_hand() == {}


async def test_a_repeat_puts_nothing_back_twice(desk: Desk) -> None:
    await desk.add(*new_timers(4))
    controller = await desk.join()
    entries = await desk.claim(controller)
    for _ in range(2):
        assert await give_back(desk.engine, controller, 1, entries[:2], is_done=False)
    assert await desk.queued() == entries[:2]
    # They are claimed anew: a repeat that comes late must not touch them either.
    assert await desk.claim(controller, 2) == entries[:2]
    assert await give_back(desk.engine, controller, 1, entries[:2], is_done=False)
    assert await desk.queued() == []
    assert await give_back(desk.engine, controller, 1, entries[2:], is_done=True)
    assert not await give_back(desk.engine, controller, 1, entries[2:], is_done=True)
    assert await desk.queued() == entries[2:]


async def test_a_batch_that_was_taken_over_is_left_alone(desk: Desk) -> None:
    await desk.add(*new_timers(2))
    controller = await desk.join()
    entries = await desk.claim(controller)
    await desk.write("DELETE FROM claim_batches")
    assert not await give_back(desk.engine, controller, 1, entries, is_done=True)
    assert await desk.queued() == []


async def test_giving_back_and_finishing_at_once(desk: Desk) -> None:
    timers = await desk.add(*new_timers(60))
    controller = await desk.join()
    claims = await desk.take(controller)
    await asyncio.gather(
        *(desk.finish(controller, [finished(claim)]) for claim in claims[::2]),
        *(give_back(desk.engine, controller, 1, [claim.entry], is_done=False) for claim in claims[1::2]),
    )
    states = [await desk.state(timer.id) for timer in timers]
    assert states == [TimerState.delivered, TimerState.scheduled] * 30
    assert await desk.queued() == [claim.entry for claim in claims[1::2]]

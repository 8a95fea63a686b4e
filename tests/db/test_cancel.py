"""Cancelling: for good, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from tests.db.desk import Desk, entries_of, finished, new_timer, new_timers, retried
from timer_db.domain.errors import NotCancellable, TimerNotFound
from timer_db.domain.ids import new_id
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.operations import bulk
from timer_db.operations.cancel import cancel
from timer_db.operations.standing import Standing
from timer_db.transactions import Connection


async def test_a_cancelled_timer_is_out_of_the_queue(desk: Desk) -> None:
    kept, gone = await desk.add(*new_timers(2))
    before_us = await desk.now_us()

    cancelled = await cancel(desk.shards, gone.id)

    assert (cancelled.state, cancelled.attempts) == (TimerState.cancelled, 0)
    assert cancelled.ended_at_us is not None
    assert before_us <= cancelled.ended_at_us <= await desk.now_us()
    assert cancelled.next_attempt_at_us is None
    assert await desk.timer(gone.id) == cancelled
    assert await desk.queued() == entries_of([kept])
    assert await desk.rows("SELECT state, timer_id, ended_at_us FROM endings") == [
        ("cancelled", gone.id.bytes, cancelled.ended_at_us)
    ]


async def test_a_timer_that_waits_for_its_retry_can_be_cancelled(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(priority=9))
    controller = await desk.join()
    [claim] = await desk.take(controller)
    await desk.finish(controller, [retried(claim, claim.entry.at_us + 99)], {1})
    assert (await cancel(desk.shards, timer.id)).attempts == 1
    assert await desk.queued() == []


@pytest.mark.parametrize(
    "state", [TimerState.firing, TimerState.delivered, TimerState.failed, TimerState.unknown, TimerState.cancelled]
)
async def test_only_a_scheduled_timer_can_be_cancelled(desk: Desk, state: TimerState) -> None:
    [timer] = await desk.add(new_timer())
    if state is TimerState.cancelled:
        await cancel(desk.shards, timer.id)
    else:
        controller = await desk.join()
        [claim] = await desk.take(controller)
        if state is not TimerState.firing:
            await desk.finish(controller, [finished(claim, state, Outcome.unknown)], {1})
    before = await desk.timer(timer.id)

    with pytest.raises(NotCancellable) as refusal:
        await cancel(desk.shards, timer.id)

    assert (refusal.value.timer_id, refusal.value.state) == (timer.id, state)
    assert await desk.timer(timer.id) == before


@pytest.mark.parametrize("shard", [0, 5])
async def test_an_unknown_id(desk: Desk, shard: int) -> None:
    with pytest.raises(TimerNotFound):
        await cancel(desk.shards, new_id(0, shard))


async def test_claimed_and_given_back_in_the_meantime(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at it and the hand on it, the timer was away for a moment. It is cancelled all the same."""
    [timer] = await desk.add(new_timer())
    controller = await desk.join()
    look, looks = bulk.standing, 0

    async def disturbed(connection: Connection, timer_ids: Iterable[bytes]) -> dict[bytes, Standing]:
        nonlocal looks
        looks += 1
        if looks == 2:
            await desk.give_back(controller, 1, entries_of([timer]), is_done=True)
        found = await look(connection, timer_ids)
        if looks == 1:
            await desk.claim(controller, 1)
        return found

    monkeypatch.setattr(bulk, "standing", disturbed)
    assert (await cancel(desk.shards, timer.id)).state is TimerState.cancelled
    assert looks == 2
    assert await desk.queued() == []


async def test_of_two_at_once_one_cancels(desk: Desk) -> None:
    timers = await desk.add(*new_timers(15))
    for timer in timers:
        results = await asyncio.gather(
            cancel(desk.shards, timer.id), cancel(desk.shards, timer.id), return_exceptions=True
        )
        [refusal] = [result for result in results if isinstance(result, NotCancellable)]
        assert refusal.state is TimerState.cancelled
        assert sum(isinstance(result, Timer) for result in results) == 1
    assert await desk.count("endings") == 15

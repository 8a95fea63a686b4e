"""Giving claims back: they stand where they stood, or wait in the backlog of their receiver."""

from __future__ import annotations

import asyncio

import pytest

from tests.db.desk import LEASE_US, NOON_US, Desk, entries_of, finished, new_timer, new_timers, retried
from timer_db.domain.claim import Returned
from timer_db.domain.destination import key_of
from timer_db.domain.errors import UnexpectedCount
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.operations.claim import load
from timer_db.operations.finish import Written, finish
from timer_db.operations.rescue import Gone, Rescued, fence_silent, rescue_batch

SLOW, DEAD = key_of("https://slow.test:443"), key_of("https://dead.test:443")

into = pytest.mark.parametrize("destination", [None, SLOW], ids=["queue", "backlog"])


async def _waiting(desk: Desk, destination: bytes | None) -> list[QueueEntry]:
    """What came to wait there."""
    return await desk.queued() if destination is None else (await desk.deferred()).get(destination, [])


@into
async def test_a_whole_batch(desk: Desk, destination: bytes | None) -> None:
    timers = await desk.add(*new_timers(3), new_timer(priority=4))
    controller = await desk.join()
    entries = await desk.claim(controller)
    assert await desk.give_back(controller, 1, entries, is_done=True, destination=destination) == Written()
    assert await _waiting(desk, destination) == entries_of(timers)
    assert await desk.in_hand() == {}
    assert [await desk.timer(timer.id) for timer in timers] == timers, "nothing shows where they wait"


@into
async def test_a_part_of_a_batch(desk: Desk, destination: bytes | None) -> None:
    await desk.add(*new_timers(4))
    controller = await desk.join()
    entries = await desk.claim(controller)
    assert await desk.give_back(controller, 1, entries[1:3], destination=destination) == Written()
    assert await _waiting(desk, destination) == entries[1:3]
    assert await desk.in_hand() == {(controller, 1): [entries[0], entries[3]]}


async def test_some_here_some_there_and_some_are_done(desk: Desk) -> None:
    """Everything that can become of a claim, of three batches, in one transaction."""
    timers = await desk.add(*new_timers(12))
    controller = await desk.join()
    claims = [claim for number in (1, 2, 3) for claim in await desk.take(controller, number, limit=4)]
    ways: list[bytes | None] = [None, SLOW, DEAD]
    returned = [Returned(c.batch, c.entry, ways[n % 3]) for n, c in enumerate(claims[:9])]
    outcomes = [finished(claims[9]), retried(claims[10], claims[10].entry.at_us + 5)]

    assert await finish(desk.engine, controller, outcomes, returned, {1, 2}) == Written()

    back = [claim.entry for claim in claims[:9]]
    assert await desk.deferred() == {SLOW: back[1::3], DEAD: back[2::3]}
    assert set(await desk.queued()) == {*back[::3], claims[10].entry.moved_to(claims[10].entry.at_us + 5)}
    assert await desk.in_hand() == {(controller, 3): [claim.entry for claim in claims[9:]]}
    states = [await desk.state(timer.id) for timer in timers]
    assert states == [TimerState.scheduled] * 9 + [
        TimerState.delivered,
        TimerState.scheduled,
        TimerState.firing,
    ]


@into
async def test_what_is_left_after_outcomes(desk: Desk, destination: bytes | None) -> None:
    """One was delivered, one is to be retried, and the last one goes back: the batch is done."""
    timers = await desk.add(*new_timers(3))
    controller = await desk.join()
    claims = await desk.take(controller)
    again_us = claims[1].entry.at_us + 5
    await desk.finish(controller, [finished(claims[0]), retried(claims[1], again_us)])
    await desk.give_back(controller, 1, [claims[2].entry], is_done=True, destination=destination)
    assert await desk.in_hand() == {}
    assert [await desk.state(timer.id) for timer in timers] == [
        TimerState.delivered,
        TimerState.scheduled,
        TimerState.scheduled,
    ]
    assert claims[2].entry in await _waiting(desk, destination)
    assert claims[1].entry.moved_to(again_us) in await desk.queued()


@into
async def test_a_repeat_puts_nothing_back_twice(desk: Desk, destination: bytes | None) -> None:
    await desk.add(*new_timers(4))
    controller = await desk.join()
    entries = await desk.claim(controller)
    for is_repeat in (False, True):
        assert not (
            await desk.give_back(controller, 1, entries[:2], destination=destination, is_repeat=is_repeat)
        ).lost_batches
    assert await _waiting(desk, destination) == entries[:2]
    # They are claimed anew: a repeat that comes late must not touch them either.
    if destination is None:
        assert await desk.claim(controller, 2) == entries[:2]
    else:
        assert await desk.reclaim(controller, 2, destination) == entries[:2]
    await desk.give_back(controller, 1, entries[:2], destination=destination, is_repeat=True)
    assert await _waiting(desk, destination) == []
    await desk.give_back(controller, 1, entries[2:], is_done=True, destination=destination)
    await desk.give_back(controller, 1, entries[2:], is_done=True, destination=destination, is_repeat=True)
    assert await _waiting(desk, destination) == entries[2:]
    assert await desk.in_hand() == {(controller, 2): entries[:2]}


async def test_a_repeat_does_what_the_first_try_did_not(desk: Desk) -> None:
    await desk.add(*new_timers(3))
    controller = await desk.join()
    entries = await desk.claim(controller)
    await desk.give_back(controller, 1, entries[:2], destination=SLOW, is_repeat=True)
    assert await desk.deferred() == {SLOW: entries[:2]}
    assert await desk.in_hand() == {(controller, 1): entries[2:]}


async def test_what_is_not_in_the_batch_cannot_be_given_back(desk: Desk) -> None:
    await desk.add(*new_timers(3))
    controller = await desk.join()
    first = await desk.claim(controller, 1, limit=2)
    [other] = await desk.claim(controller, 2)
    with pytest.raises(UnexpectedCount):
        await desk.give_back(controller, 1, [*first, other])
    assert await desk.queued() == []
    assert await desk.in_hand() == {(controller, 1): first, (controller, 2): [other]}


@into
async def test_a_batch_that_was_taken_over_is_left_alone(desk: Desk, destination: bytes | None) -> None:
    await desk.add(*new_timers(2))
    controller = await desk.join()
    entries = await desk.claim(controller)
    await desk.write("DELETE FROM claim_batches")
    written = await desk.give_back(controller, 1, entries, is_done=True, destination=destination)
    assert written == Written([], frozenset({1}))
    assert await _waiting(desk, destination) == []


@into
async def test_giving_back_and_finishing_at_once(desk: Desk, destination: bytes | None) -> None:
    timers = await desk.add(*new_timers(60))
    controller = await desk.join()
    claims = await desk.take(controller)
    await asyncio.gather(
        *(desk.finish(controller, [finished(claim)]) for claim in claims[::2]),
        *(desk.give_back(controller, 1, [claim.entry], destination=destination) for claim in claims[1::2]),
    )
    states = [await desk.state(timer.id) for timer in timers]
    assert states == [TimerState.delivered, TimerState.scheduled] * 30
    assert await _waiting(desk, destination) == [claim.entry for claim in claims[1::2]]


@into
@pytest.mark.parametrize("last_breath_us", [NOON_US - 1, NOON_US + 10], ids=["all unsent", "all doubtful"])
async def test_a_rescue_leaves_what_was_given_back(
    desk: Desk, last_breath_us: int, destination: bytes | None
) -> None:
    """Of six, one is delivered and three go back; then the controller is lost. They wait once, and not twice:
    that would be a second call."""
    await desk.add(*new_timers(6, on_unknown=OnUnknown.hold))
    controller = await desk.join()
    claims = await desk.take(controller)
    await desk.finish(controller, [finished(claims[0])])
    back = [claim.entry for claim in claims[1:4]]
    await desk.give_back(controller, 1, back, destination=destination)
    await desk.silence(controller, seconds=60)
    await fence_silent(desk.engine, LEASE_US)

    rescued = await rescue_batch(desk.engine, Gone(controller, last_breath_us))

    rest = [claim.entry for claim in claims[4:]]
    if last_breath_us < NOON_US:
        assert rescued == Rescued(controller, unsent=2, unknown=0)
        assert set(await desk.queued()) == {*rest, *([] if destination else back)}
    else:
        assert rescued == Rescued(controller, unsent=0, unknown=2)
        assert await desk.queued() == ([] if destination else back)
    assert await desk.deferred() == ({destination: back} if destination else {})
    assert await rescue_batch(desk.engine, Gone(controller, last_breath_us)) is None


async def test_a_deferred_timer_is_delivered_by_anyone(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(priority=5))
    await desk.defer_all(await desk.join(), 1, SLOW)
    other = await desk.join()
    [claim] = await load(desk.engine, 7, await desk.reclaim(other, 7, SLOW))
    assert await desk.state(timer.id) is TimerState.firing
    assert await desk.finish(other, [finished(claim)], {7}) == Written()
    assert await desk.state(timer.id) is TimerState.delivered

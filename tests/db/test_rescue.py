"""Taking back what a lost controller held."""

from __future__ import annotations

import asyncio

import pytest

from tests.db.desk import LEASE_US, NOON_US, SECOND_US, Desk, finished, new_timer, new_timers, retried
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.claim import Claim
from timer_db.domain.errors import Fenced
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.operations.inspect import list_attempts
from timer_db.operations.membership import leave
from timer_db.operations.rescue import Gone, Rescued, fence_silent, find_gone, rescue_batch

AFTER = {
    OnUnknown.resend: TimerState.scheduled,
    OnUnknown.hold: TimerState.unknown,
    OnUnknown.fail: TimerState.failed,
}


async def _lose(desk: Desk, controller: int, last_breath_us: int = NOON_US + SECOND_US) -> Gone:
    """Fence a controller that breathed last at that moment."""
    beat_at_us = last_breath_us - LEASE_US
    # Tests' timers are due years ahead of the server's clock; the beat stands where the test needs it.
    await desk.silence(controller, seconds=60)
    assert controller in await fence_silent(desk.engine, LEASE_US)
    await desk.write(f"UPDATE controllers SET beat_at_us = {beat_at_us} WHERE id = {controller}")
    [gone] = [gone for gone in await find_gone(desk.engine, LEASE_US) if gone.controller_id == controller]
    assert gone.last_breath_us == last_breath_us
    return gone


async def test_what_was_due_after_the_last_breath_was_not_sent(desk: Desk) -> None:
    sent, on_time, unsent = await desk.add(
        *(new_timer(NOON_US + n, on_unknown=OnUnknown.fail) for n in (-1, 0, 1))
    )
    controller = await desk.join()
    entries = await desk.claim(controller)
    gone = await _lose(desk, controller, last_breath_us=NOON_US)

    assert await rescue_batch(desk.engine, gone) == Rescued(controller, unsent=1, unknown=2)

    assert [await desk.state(t.id) for t in (sent, on_time, unsent)] == [
        TimerState.failed,
        TimerState.failed,
        TimerState.scheduled,
    ]
    assert await desk.queued() == entries[2:], "it stands where it stood"
    assert (await desk.timer(unsent.id)).attempts == 0
    assert await list_attempts(desk.shards, unsent.id) == []
    assert await desk.in_hand() == {}
    assert await rescue_batch(desk.engine, gone) is None
    assert await find_gone(desk.engine, LEASE_US) == []


@pytest.mark.parametrize("on_unknown", OnUnknown)
async def test_what_may_have_been_sent_follows_its_owners_choice(desk: Desk, on_unknown: OnUnknown) -> None:
    [timer] = await desk.add(new_timer(on_unknown=on_unknown, priority=2, retry=RetryPolicy(max_attempts=1)))
    controller = await desk.join()
    await desk.claim(controller)
    gone = await _lose(desk, controller)
    before_us = await desk.now_us()

    await rescue_batch(desk.engine, gone)

    after = await desk.timer(timer.id)
    assert (after.state, after.attempts) == (AFTER[on_unknown], 1)
    [attempt] = await list_attempts(desk.shards, timer.id)
    assert (attempt.outcome, attempt.state, attempt.number) == (Outcome.unknown, AFTER[on_unknown], 1)
    assert f"controller {controller} was lost" in attempt.reason
    assert attempt.started_at_us == NOON_US
    assert before_us <= attempt.finished_at_us <= await desk.now_us()
    if on_unknown is OnUnknown.resend:
        # At once, and though the policy allows no second attempt: the first one may never have left.
        [entry] = await desk.queued()
        assert (entry.timer_id, entry.rank, entry.at_us) == (timer.id.bytes, 32_765, attempt.finished_at_us)
        [claim] = await desk.take(await desk.join(), 1)
        assert (claim.attempt, claim.possible_duplicate) == (2, True)
        assert await desk.count("endings") == 0
    else:
        assert await desk.queued() == []
        assert await desk.rows("SELECT state, timer_id FROM endings") == [(AFTER[on_unknown], timer.id.bytes)]


async def test_what_is_written_down_is_not_touched(desk: Desk) -> None:
    timers = await desk.add(*new_timers(5, on_unknown=OnUnknown.fail))
    controller = await desk.join()
    claims = await desk.take(controller)
    outcomes = [
        finished(claims[0]),
        finished(claims[1], TimerState.unknown, Outcome.unknown),
        retried(claims[2], NOON_US + 77),
    ]
    await desk.finish(controller, outcomes)
    await desk.give_back(controller, 1, [claims[3].entry])
    before = [await desk.timer(timer.id) for timer in timers[:4]]
    queue = await desk.queued()

    rescued = await rescue_batch(desk.engine, await _lose(desk, controller))

    assert rescued == Rescued(controller, unsent=0, unknown=1)
    assert [await desk.timer(timer.id) for timer in timers[:4]] == before
    assert await desk.queued() == queue
    assert await desk.state(timers[4].id) is TimerState.failed
    assert await desk.count("attempts") == 4


async def test_a_retry_that_is_in_hand_again_counts_on(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(on_unknown=OnUnknown.hold))
    controller = await desk.join()
    for number in (1, 2):
        [claim] = await desk.take(controller, number)
        await desk.finish(controller, [retried(claim, NOON_US + number)], {number})
    await desk.claim(controller, 3)
    await rescue_batch(desk.engine, await _lose(desk, controller))
    assert [a.number for a in await list_attempts(desk.shards, timer.id)] == [1, 2, 3]
    assert await desk.state(timer.id) is TimerState.unknown


async def test_a_batch_with_nothing_left_is_dropped(desk: Desk) -> None:
    await desk.add(*new_timers(2))
    controller = await desk.join()
    claims = await desk.take(controller)
    await desk.finish(controller, [finished(claim) for claim in claims])
    assert await rescue_batch(desk.engine, await _lose(desk, controller)) == Rescued(controller, 0, 0)
    assert await desk.in_hand() == {}


async def test_a_timer_that_is_gone_does_not_stop_a_rescue(desk: Desk) -> None:
    kept, gone = await desk.add(*new_timers(2, on_unknown=OnUnknown.hold))
    controller = await desk.join()
    await desk.claim(controller)
    await desk.write(f"DELETE FROM timers WHERE id = x'{gone.id.hex}'")
    assert await rescue_batch(desk.engine, await _lose(desk, controller)) == Rescued(controller, 0, 1)
    assert await desk.state(kept.id) is TimerState.unknown


async def test_whoever_is_gone_with_claims_is_found(desk: Desk) -> None:
    """Also one that left, and one whose claim was under way when it was fenced."""
    await desk.add(*new_timers(6))
    member, left, fenced, empty = [await desk.join() for _ in range(4)]
    for controller in (member, left, fenced):
        await desk.claim(controller, limit=2)
    await leave(desk.engine, left)
    for controller in (fenced, empty):
        await desk.silence(controller, seconds=60)
    assert await fence_silent(desk.engine, LEASE_US) == [fenced, empty]
    beats = dict(await desk.rows("SELECT id, beat_at_us FROM controllers"))
    wanted = [Gone(controller, beats[controller] + LEASE_US) for controller in (left, fenced)]
    assert await find_gone(desk.engine, LEASE_US) == wanted


async def test_an_outcome_that_comes_before_the_rescue_counts(desk: Desk) -> None:
    [timer] = await desk.add(new_timer(on_unknown=OnUnknown.hold))
    controller = await desk.join()
    [claim] = await desk.take(controller)
    gone = await _lose(desk, controller)
    assert not (await desk.finish(controller, [finished(claim)], {1})).lost
    assert await rescue_batch(desk.engine, gone) is None
    assert await desk.state(timer.id) is TimerState.delivered
    await desk.add(new_timer())
    with pytest.raises(Fenced):
        await desk.claim(controller, 2)


async def test_two_rescuers_at_once_take_each_batch_once(desk: Desk) -> None:
    timers = await desk.add(*new_timers(60, on_unknown=OnUnknown.resend))
    controller = await desk.join()
    for number in range(1, 13):
        await desk.claim(controller, number, limit=5)
    gone = await _lose(desk, controller, last_breath_us=NOON_US + 29)

    async def rescue() -> list[Rescued]:
        found = []
        while rescued := await rescue_batch(desk.engine, gone):
            found.append(rescued)
        return found

    rescued = [batch for found in await asyncio.gather(*(rescue() for _ in range(3))) for batch in found]

    assert len(rescued) == 12
    assert (sum(r.unsent for r in rescued), sum(r.unknown for r in rescued)) == (30, 30)
    assert len(await desk.queued()) == 60
    assert await desk.count("attempts") == 30
    assert {await desk.state(timer.id) for timer in timers} == {TimerState.scheduled}


async def test_a_rescue_and_a_late_outcome_at_once_have_one_winner(desk: Desk) -> None:
    controllers = [await desk.join() for _ in range(12)]
    held: list[tuple[int, Claim]] = []
    for controller in controllers:
        await desk.add(new_timer(on_unknown=OnUnknown.hold))
        [claim] = await desk.take(controller)
        held.append((controller, claim))
    for controller, claim in held:
        gone = await _lose(desk, controller)
        written, rescued = await asyncio.gather(
            desk.finish(controller, [finished(claim)], {1}), rescue_batch(desk.engine, gone)
        )
        state = await desk.state(claim.timer.id)
        assert state is (TimerState.unknown if written.lost else TimerState.delivered)
        assert (rescued is not None) == bool(written.lost)
        assert len(await list_attempts(desk.shards, claim.timer.id)) == 1

"""Calling timers again that have ended: once more, with everything that is kept beside them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.db.desk import NOON_US, SECOND_US, Desk, finished, new_timer, new_timers, retried
from timer_db.domain.claim import Claim
from timer_db.domain.errors import NameInUse, NameTaken, NotReplayable, TimerNotFound
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import list_attempts
from timer_db.operations.replay import replay
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.statements import counts

ENDS = [
    (TimerState.failed, Outcome.rejected, False),
    (TimerState.failed, Outcome.not_sent, False),
    (TimerState.failed, Outcome.unknown, True),
    (TimerState.unknown, Outcome.unknown, True),
    (TimerState.delivered, Outcome.delivered, True),
]


async def _ended(desk: Desk, state: TimerState, outcome: Outcome, **fields: Any) -> Timer:
    """A timer that was tried twice before it ended so."""
    [timer] = await desk.add(new_timer(**fields))
    controller = await desk.join()
    for number in (1, 2):
        [claim] = await desk.take(controller, number)
        await desk.finish(controller, [retried(claim, NOON_US + number * SECOND_US)], {number})
    [claim] = await desk.take(controller, 3)
    await desk.finish(controller, [finished(claim, state, outcome)], {3})
    return await desk.timer(timer.id)


async def _counted(desk: Desk) -> dict[str, int]:
    rows = await desk.rows(counts.sums())
    return {state: int(timers) for _, _, _, state, timers in rows if timers}


async def _claimed(desk: Desk) -> Claim:
    [claim] = await desk.take(await desk.join(), 9)
    return claim


@pytest.mark.parametrize(("state", "outcome", "may_have_arrived"), ENDS)
async def test_it_is_scheduled_again_and_goes_on(
    desk: Desk, state: TimerState, outcome: Outcome, may_have_arrived: bool
) -> None:
    ended = await _ended(desk, state, outcome, priority=4)
    before_us = await desk.now_us()

    again = await replay(desk.shards, ended.id)

    assert (again.state, again.attempts, again.attempts_before) == (TimerState.scheduled, 3, 3)
    assert before_us <= again.due_at_us <= await desk.now_us()
    assert (again.next_attempt_at_us, again.ended_at_us) == (again.due_at_us, None)
    assert await desk.queued() == [entry_of(ended.id, 4, again.due_at_us)]
    assert await desk.count("endings") == 0
    assert await _counted(desk) == {"made": 1}
    assert len(await list_attempts(desk.shards, ended.id)) == 3
    claim = await _claimed(desk)
    assert (claim.attempt, claim.timer.attempts_before) == (4, 3)
    assert claim.possible_duplicate is may_have_arrived


async def test_it_ends_again_and_is_replayed_again(desk: Desk) -> None:
    ended = await _ended(desk, TimerState.failed, Outcome.rejected)
    for number in (10, 11):
        await replay(desk.shards, ended.id)
        controller = await desk.join()
        [claim] = await desk.take(controller, number)
        await desk.finish(controller, [finished(claim, TimerState.failed, Outcome.rejected)], {number})
        assert await desk.state(ended.id) is TimerState.failed
        assert await _counted(desk) == {"made": 1, "failed": 1}
    attempts = await list_attempts(desk.shards, ended.id)
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4, 5]
    assert await desk.count("endings") == 1


async def test_one_that_was_replayed_can_be_cancelled(desk: Desk) -> None:
    ended = await _ended(desk, TimerState.delivered, Outcome.delivered)
    await replay(desk.shards, ended.id)
    cancelled = await cancel(desk.shards, ended.id)
    assert (cancelled.state, cancelled.attempts) == (TimerState.cancelled, 3)
    assert await _counted(desk) == {"made": 1, "cancelled": 1}


@pytest.mark.parametrize("state", [TimerState.scheduled, TimerState.firing, TimerState.cancelled])
async def test_only_what_has_ended_is_replayed(desk: Desk, state: TimerState) -> None:
    [timer] = await desk.add(new_timer())
    if state is TimerState.cancelled:
        await cancel(desk.shards, timer.id)
    elif state is TimerState.firing:
        await desk.take(await desk.join())
    before = await desk.timer(timer.id)
    with pytest.raises(NotReplayable) as caught:
        await replay(desk.shards, timer.id)
    assert (caught.value.timer_id, caught.value.state) == (timer.id, state)
    assert await desk.timer(timer.id) == before


async def test_an_unknown_id(desk: Desk) -> None:
    with pytest.raises(TimerNotFound):
        await replay(desk.shards, new_id(0))


async def test_of_many_replays_at_once_one_is_made(desk: Desk) -> None:
    for state, outcome, _ in ENDS:
        ended = await _ended(desk, state, outcome)
        results = await asyncio.gather(*(replay(desk.shards, ended.id) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(result, Timer) for result in results) == 1
        assert sum(isinstance(result, NotReplayable) for result in results) == 4
        assert (await desk.timer(ended.id)).attempts == 3
        await cancel(desk.shards, ended.id)


# Names


def _named(content: int = 1) -> NewTimer:
    return new_timer(name="n", meta=content)


async def _end(desk: Desk, number: int) -> None:
    controller = await desk.join()
    claims = await desk.take(controller, number)
    await desk.finish(controller, [finished(claim) for claim in claims], {number})


async def test_a_name_that_is_still_its_own_stays(desk: Desk) -> None:
    [timer] = await desk.add(_named())
    await _end(desk, 1)
    again = await replay(desk.shards, timer.id)
    assert await schedule(desk.shards, [_named()]) == [Scheduled(again, created=False)]
    [refused] = await schedule(desk.shards, [_named(2)])
    assert isinstance(refused, NameTaken)


async def test_a_name_that_another_one_has_while_it_lives_is_in_the_way(desk: Desk) -> None:
    [first] = await desk.add(_named())
    await _end(desk, 1)
    [second] = await desk.add(_named())
    before = await desk.timer(first.id)
    with pytest.raises(NameInUse) as caught:
        await replay(desk.shards, first.id)
    assert (caught.value.timer_id, caught.value.holder, caught.value.name) == (first.id, second.id, "n")
    assert await desk.timer(first.id) == before
    assert await _counted(desk) == {"made": 2, "delivered": 1}


async def test_a_name_comes_back_when_the_other_one_has_ended(desk: Desk) -> None:
    [first] = await desk.add(_named())
    await _end(desk, 1)
    await desk.add(_named())
    await _end(desk, 2)
    await replay(desk.shards, first.id)
    # What it was made with is not known any more.
    for content in (1, 2):
        [refused] = await schedule(desk.shards, [_named(content)])
        assert isinstance(refused, NameTaken)
        assert refused.holder == first.id
    await _end(desk, 3)
    [made] = await schedule(desk.shards, [_named()])
    assert isinstance(made, Scheduled)
    assert made.created


async def test_a_name_that_nobody_has_any_more_comes_back(desk: Desk) -> None:
    """Retention has deleted the other timer, and the name with it."""
    [timer] = await desk.add(_named())
    await _end(desk, 1)
    await desk.write("DELETE FROM timer_names")
    await replay(desk.shards, timer.id)
    assert await desk.rows("SELECT timer_id FROM timer_names") == [(timer.id.bytes,)]


async def test_replays_and_creates_of_one_name_at_once_leave_one_alive(desk: Desk) -> None:
    for number in range(1, 9):
        made = [await desk.add(_named())]
        await _end(desk, 2 * number)
        made.append(await desk.add(_named(2)))
        await _end(desk, 2 * number + 1)
        ids = [timer.id for [timer] in made]
        work = [replay(desk.shards, timer_id) for timer_id in ids]
        await asyncio.gather(*work, schedule(desk.shards, [_named(3)]), return_exceptions=True)
        [(holder,)] = await desk.rows("SELECT timer_id FROM timer_names")
        queued = await desk.queued()
        assert [entry.timer_id for entry in queued] == [bytes(holder)]
        await desk.write("DELETE FROM due_queue")
        await desk.write("DELETE FROM timer_names")


async def test_of_two_with_one_name_the_last_is_replayed(desk: Desk) -> None:
    """In one transaction, as bulk calls do it."""
    from timer_db.operations.bulk import for_ids
    from timer_db.operations.replay import replay_some

    [first] = await desk.add(_named())
    await _end(desk, 1)
    [second] = await desk.add(_named())
    await _end(desk, 2)
    others = await desk.add(*new_timers(3))
    await _end(desk, 3)
    ids = [first.id, second.id, *(timer.id for timer in others)]
    done = await for_ids(desk.shards, ids, replay_some)
    assert set(done.changed) == {timer_id.bytes for timer_id in ids[1:]}
    [refused] = done.refused
    assert (refused.timer_id, refused.state) == (first.id.bytes, TimerState.delivered)
    assert isinstance(refused.error, NameInUse)
    assert refused.error.holder == second.id

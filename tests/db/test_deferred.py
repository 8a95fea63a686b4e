"""Timers that wait for a receiver in trouble are claimed by receiver, and listed and cancelled like all others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID

import pytest

from tests.db.desk import Desk, entries_of, finished, in_state, new_timer, new_timers, retried
from timer_db.domain.destination import KEY_BYTES, key_of
from timer_db.domain.errors import Fenced, NotCancellable
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.operations import bulk, deferred
from timer_db.operations.cancel import cancel
from timer_db.operations.claim import adopt, load
from timer_db.operations.inspect import list_timers
from timer_db.operations.membership import leave
from timer_db.operations.standing import Standing
from timer_db.transactions import Connection

SLOW, DEAD = key_of("https://slow.test:443"), key_of("https://dead.test:443")


def test_a_key_is_short_and_its_own() -> None:
    assert len(SLOW) == len(DEAD) == KEY_BYTES
    assert SLOW != DEAD
    assert key_of("https://slow.test:443") == SLOW


async def test_highest_priority_and_oldest_first(desk: Desk) -> None:
    timers = await desk.add(*new_timers(4), *new_timers(3, priority=9), new_timer(priority=2))
    controller = await desk.join()
    await desk.defer_all(controller, 1, SLOW)
    places = entries_of(timers)

    first = await desk.reclaim(controller, 2, SLOW, limit=5)
    second = await desk.reclaim(controller, 3, SLOW, behind=first[-1], limit=5)

    assert [*first, *second] == places
    assert await desk.in_hand() == {(controller, 2): first, (controller, 3): second}
    assert await desk.deferred() == {}
    assert [claim.entry for claim in await load(desk.engine, 2, first)] == first


@pytest.mark.parametrize("behind", [0, 3, 4, 6])
async def test_a_claim_goes_on_behind_a_place(desk: Desk, behind: int) -> None:
    """Of any priority."""
    await desk.add(*new_timers(3), *new_timers(4, priority=9))
    controller = await desk.join()
    places = await desk.defer_all(controller, 1, SLOW)
    assert await desk.reclaim(controller, 2, SLOW, behind=places[behind]) == places[behind + 1 :]


async def test_each_receiver_by_itself(desk: Desk) -> None:
    controller = await desk.join()
    assert await deferred.destinations(desk.engine) == []
    backlogs = {}
    for number, key in enumerate((SLOW, DEAD), start=1):
        await desk.add(*new_timers(3))
        backlogs[key] = await desk.defer_all(controller, number, key)
    assert await desk.deferred() == backlogs
    assert sorted(await deferred.destinations(desk.engine)) == sorted(backlogs)
    assert await desk.reclaim(controller, 3, DEAD) == backlogs[DEAD]
    assert await deferred.destinations(desk.engine) == [SLOW]
    assert await desk.deferred() == {SLOW: backlogs[SLOW]}


async def test_nothing_to_take_makes_no_batch(desk: Desk) -> None:
    controller = await desk.join()
    assert await desk.reclaim(controller, 1, SLOW) == []
    assert await adopt(desk.engine, controller, 1) == ([], 0)
    assert await desk.in_hand() == {}


async def test_who_is_no_member_takes_nothing(desk: Desk) -> None:
    await desk.add(*new_timers(2))
    controller = await desk.join()
    backlog = await desk.defer_all(controller, 1, SLOW)
    await leave(desk.engine, controller)
    with pytest.raises(Fenced):
        await desk.reclaim(controller, 2, SLOW)
    assert await desk.deferred() == {SLOW: backlog}


async def test_of_many_at_once_each_takes_its_own(desk: Desk) -> None:
    await desk.add(*new_timers(120, priority=1), *new_timers(120))
    controllers = [await desk.join() for _ in range(4)]
    backlog = await desk.defer_all(controllers[0], 1, SLOW)
    taken = await asyncio.gather(*(desk.reclaim(c, 2 + n, SLOW, limit=15) for c in controllers for n in range(5)))
    took = [entry for entries in taken for entry in entries]
    assert len(took) == len(set(took))
    left = (await desk.deferred()).get(SLOW, [])
    assert sorted([*took, *left]) == backlog
    assert len(took) >= 15


async def test_a_retry_of_a_reclaimed_timer_waits_in_the_queue(desk: Desk) -> None:
    [timer] = await desk.add(new_timer())
    controller = await desk.join()
    await desk.defer_all(controller, 1, SLOW)
    [claim] = await load(desk.engine, 2, await desk.reclaim(controller, 2, SLOW))
    await desk.finish(controller, [retried(claim, claim.entry.at_us + 9)], {2})
    assert await desk.queued() == [claim.entry.moved_to(claim.entry.at_us + 9)]
    assert await desk.deferred() == {}
    assert (await desk.timer(timer.id)).attempts == 1


# Looking at them


async def test_they_are_scheduled(desk: Desk) -> None:
    [timer] = await desk.add(new_timer())
    controller = await desk.join()
    await desk.defer_all(controller, 1, SLOW)
    assert await desk.timer(timer.id) == timer
    await desk.reclaim(controller, 2, SLOW)
    assert await desk.state(timer.id) is TimerState.firing


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_lists_show_them_among_the_others(desk: Desk, limit: int) -> None:
    """In the order of the queue, wherever they wait; every second one is deferred."""
    timers = await desk.add(*new_timers(7), *new_timers(6, priority=3))
    controller = await desk.join()
    entries = await desk.claim(controller)
    await desk.give_back(controller, 1, entries[::2], destination=SLOW)
    await desk.give_back(controller, 1, entries[1::2], is_done=True)
    shown, cursor = [], None
    while True:
        page = await list_timers(desk.shards, in_state(TimerState.scheduled), limit=limit, cursor=cursor)
        assert len(page.timers) <= limit
        shown += page.timers
        cursor = page.next_cursor
        if cursor is None:
            break
    by_place = sorted(timers, key=lambda t: (-t.priority, t.due_at_us))
    assert shown == by_place


async def test_moves_between_pages_neither_hide_nor_repeat(desk: Desk) -> None:
    """Between two pages everything moves from one table to the other."""
    timers = await desk.add(*new_timers(9))
    controller = await desk.join()
    shown: list[UUID] = []
    cursor, number, is_deferred = None, 0, False
    while True:
        page = await list_timers(desk.shards, in_state(TimerState.scheduled), limit=2, cursor=cursor)
        shown += [timer.id for timer in page.timers]
        cursor = page.next_cursor
        if cursor is None:
            break
        number += 1
        if is_deferred:
            entries = await desk.reclaim(controller, number, SLOW)
            await desk.give_back(controller, number, entries, is_done=True)
        else:
            await desk.defer_all(controller, number, SLOW)
        is_deferred = not is_deferred
    assert shown == [timer.id for timer in timers]


# Cancelling them


async def test_a_deferred_timer_can_be_cancelled(desk: Desk) -> None:
    kept, gone = await desk.add(*new_timers(2))
    controller = await desk.join()
    await desk.defer_all(controller, 1, SLOW)
    assert (await cancel(desk.shards, gone.id)).state is TimerState.cancelled
    assert await desk.deferred() == {SLOW: entries_of([kept])}
    with pytest.raises(NotCancellable):
        await cancel(desk.shards, gone.id)
    assert await desk.count("endings") == 1


@pytest.mark.parametrize("moves_to", ["backlog", "queue"])
async def test_one_that_moves_under_a_cancel_is_cancelled_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, moves_to: str
) -> None:
    """Between the look at it and the hand on it, it goes to where the hand does not reach first."""
    [timer] = await desk.add(new_timer())
    controller = await desk.join()
    if moves_to == "queue":
        await desk.defer_all(controller, 1, SLOW)
    look, moved = bulk.standing, False

    async def disturbed(connection: Connection, timer_ids: Iterable[bytes]) -> dict[bytes, Standing]:
        nonlocal moved
        found = await look(connection, timer_ids)
        if not moved:
            moved = True
            if moves_to == "backlog":
                await desk.defer_all(controller, 2, SLOW)
            else:
                entries = await desk.reclaim(controller, 2, SLOW)
                await desk.give_back(controller, 2, entries, is_done=True)
        return found

    monkeypatch.setattr(bulk, "standing", disturbed)
    assert (await cancel(desk.shards, timer.id)).state is TimerState.cancelled
    assert (await desk.queued(), await desk.deferred()) == ([], {})


async def test_a_cancel_and_a_claim_at_once_have_one_winner(desk: Desk) -> None:
    controller = await desk.join()
    for number in range(1, 13):
        [timer] = await desk.add(new_timer())
        await desk.defer_all(controller, 2 * number, SLOW)
        answer, entries = await asyncio.gather(
            cancel(desk.shards, timer.id),
            desk.reclaim(controller, 2 * number + 1, SLOW),
            return_exceptions=True,
        )
        assert isinstance(entries, list)
        if entries:
            assert isinstance(answer, NotCancellable)
            claims = await load(desk.engine, 2 * number + 1, entries)
            await desk.finish(controller, [finished(claim) for claim in claims], {2 * number + 1})
        else:
            assert isinstance(answer, Timer)
    assert (await desk.queued(), await desk.deferred(), await desk.in_hand()) == ([], {}, {})

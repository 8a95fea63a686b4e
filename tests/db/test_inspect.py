"""Looking at timers: each state, page by page, whole and stable."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.db.desk import NOON_US, SECOND_US, Desk, finished, in_state, new_timer, new_timers, retried
from tests.db.scratch import scratch_database
from timer_db.domain.errors import TimerNotFound
from timer_db.domain.ids import new_id
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Pool, open_shards
from timer_db.migrate import upgrade
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import TimerPage, get_timer, list_attempts, list_timers
from timer_db.operations.schedule import schedule
from timer_db.shards import Shards

PER_STATE = 7


async def _make(desk: Desk, state: TimerState, controller: int, number: int) -> list[Timer]:
    """New timers in any state but `scheduled`, by way of one batch of the controller."""
    timers = await desk.add(*new_timers(PER_STATE, priority=number))
    if state is TimerState.cancelled:
        for timer in timers:
            await cancel(desk.shards, timer.id)
        return timers
    claims = await desk.take(controller, number, limit=PER_STATE)
    assert {claim.timer.id for claim in claims} == {timer.id for timer in timers}
    if state is not TimerState.firing:
        outcome = Outcome.delivered if state is TimerState.delivered else Outcome.unknown
        await desk.finish(controller, [finished(claim, state, outcome) for claim in claims], {number})
    return timers


@pytest_asyncio.fixture
async def zoo(desk: Desk) -> dict[TimerState, list[Timer]]:
    """Some timers in each state, in the order in which lists show them."""
    controller = await desk.join()
    timers: dict[TimerState, list[Timer]] = {
        state: sorted(await _make(desk, state, controller, number), key=lambda t: t.id.bytes, reverse=True)
        for number, state in enumerate(TimerState, start=1)
        if state is not TimerState.scheduled
    }
    waiting = [new_timer(NOON_US + n, priority=n % 3) for n in range(PER_STATE)]
    await desk.add(*waiting)
    by_place = sorted(waiting, key=lambda t: (-t.priority, t.due_at_us))
    timers[TimerState.scheduled] = [await desk.timer(timer.id) for timer in by_place]
    return timers


async def _pages(shards: Shards, state: TimerState | None, limit: int) -> AsyncIterator[TimerPage]:
    cursor = None
    while True:
        page = await list_timers(shards, in_state(state), limit=limit, cursor=cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


@pytest.mark.parametrize("limit", [1, 3, PER_STATE, 1000])
@pytest.mark.parametrize("state", TimerState)
async def test_every_page_of_a_state(
    desk: Desk, zoo: dict[TimerState, list[Timer]], state: TimerState, limit: int
) -> None:
    pages = [page.timers async for page in _pages(desk.shards, state, limit)]
    shown = [timer for page in pages for timer in page]
    assert [timer.id for timer in shown] == [timer.id for timer in zoo[state]]
    assert all(len(page) <= limit for page in pages)
    for timer in shown:
        assert timer.state is state
        assert timer == await desk.timer(timer.id)


@pytest.mark.parametrize("limit", [1, 5, 1000])
async def test_every_page_of_all_timers(desk: Desk, zoo: dict[TimerState, list[Timer]], limit: int) -> None:
    shown = [timer async for page in _pages(desk.shards, None, limit) for timer in page.timers]
    everyone = sorted((t for timers in zoo.values() for t in timers), key=lambda t: t.id.bytes, reverse=True)
    assert [timer.id for timer in shown] == [timer.id for timer in everyone]
    states = {timer.id: state for state, timers in zoo.items() for timer in timers}
    assert {timer.id: timer.state for timer in shown} == states


@pytest.mark.parametrize("state", [None, *TimerState], ids=str)
async def test_writes_between_pages_neither_hide_nor_repeat(
    desk: Desk, zoo: dict[TimerState, list[Timer]], state: TimerState | None
) -> None:
    """New timers come, and one of each state that was shown already, or is to be shown, moves on."""
    stay = {t.id for s, timers in zoo.items() for t in timers if state in (None, s)}
    controller, number, shown = await desk.join(), 100, []
    cursor = None
    for _ in range(100):
        page = await list_timers(desk.shards, in_state(state), limit=2, cursor=cursor)
        shown += [timer.id for timer in page.timers]
        cursor = page.next_cursor
        if cursor is None:
            break
        # Those of the highest priority are claimed, and one comes to stand before and one behind everything.
        number += 1
        moved = await desk.take(controller, number, limit=1)
        if state is TimerState.scheduled:
            stay -= {claim.timer.id for claim in moved}
        await desk.finish(controller, [finished(claim) for claim in moved], {number})
        await desk.add(new_timer(NOON_US - 5), new_timer(NOON_US + SECOND_US))
        number += 1
        await desk.deliver(controller, number, limit=1)
    assert cursor is None
    assert len(shown) == len(set(shown))
    assert stay <= set(shown)


async def test_a_timer_that_left_its_state_under_the_list_is_not_shown(desk: Desk) -> None:
    """A batch still names timers whose outcome is written: they are no longer firing."""
    await desk.add(*new_timers(4))
    controller = await desk.join()
    claims = await desk.take(controller)
    await desk.finish(controller, [finished(claims[0]), retried(claims[1], NOON_US + 9)])
    page = await list_timers(desk.shards, in_state(TimerState.firing), limit=10, cursor=None)
    assert {timer.id for timer in page.timers} == {claims[2].timer.id, claims[3].timer.id}
    await desk.give_back(controller, 1, [claim.entry for claim in claims[2:]], is_done=True)
    page = await list_timers(desk.shards, in_state(TimerState.firing), limit=10, cursor=None)
    assert page == TimerPage([], None)


@pytest.mark.parametrize("state", [None, *TimerState], ids=str)
async def test_nothing_is_one_empty_page(desk: Desk, state: TimerState | None) -> None:
    assert await list_timers(desk.shards, in_state(state), limit=5, cursor=None) == TimerPage([], None)


@pytest.mark.parametrize("cursor", ["", "A", "!!!!", "AAAA", "AAAAAAAA", "_____w", "ü", "AA" * 14])
@pytest.mark.parametrize("state", [None, TimerState.scheduled, TimerState.delivered], ids=str)
async def test_a_foreign_cursor_is_refused(desk: Desk, state: TimerState | None, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await list_timers(desk.shards, in_state(state), limit=5, cursor=cursor)


async def test_a_cursor_belongs_to_its_kind_of_list(desk: Desk, zoo: dict[TimerState, list[Timer]]) -> None:
    page = await list_timers(desk.shards, in_state(TimerState.scheduled), limit=2, cursor=None)
    with pytest.raises(ValueError, match="other filters"):
        await list_timers(desk.shards, in_state(TimerState.failed), limit=2, cursor=page.next_cursor)


@pytest.mark.parametrize("shard", [0, 3])
async def test_an_unknown_id(desk: Desk, shard: int) -> None:
    for look in (get_timer, list_attempts):
        with pytest.raises(TimerNotFound):
            await look(desk.shards, new_id(NOON_US, shard))


@pytest_asyncio.fixture
async def two_databases(server: EmbeddedServer) -> AsyncIterator[Shards]:
    """Two shards."""
    with scratch_database(server.url) as first, scratch_database(server.url) as second:
        opened = open_shards([first, second], Pool(size=2))
        for shard in opened:
            await upgrade(shard.engine)
        yield opened
        await opened.close()


@pytest.mark.parametrize("sizes", [(3, 2), (0, 4), (4, 0), (0, 0)], ids=str)
async def test_shards_are_listed_one_after_the_other(two_databases: Shards, sizes: tuple[int, int]) -> None:
    timers: list[NewTimer] = []
    for number, size in enumerate(sizes):
        timers += [new_timer(NOON_US + n, id=new_id(NOON_US + n, number)) for n in range(size)]
    await schedule(two_databases, timers)
    for state in (None, TimerState.scheduled):
        for limit in (1, 2, 3, 10):
            shown = [timer.id async for page in _pages(two_databases, state, limit) for timer in page.timers]
            assert sorted(shown) == sorted(timer.id for timer in timers)
    for timer in timers:
        assert (await get_timer(two_databases, timer.id)).id == timer.id

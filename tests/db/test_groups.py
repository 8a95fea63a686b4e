"""What is written down beside a timer: its marks, and how many there are."""

from __future__ import annotations

import asyncio

from tests.db.desk import NOON_US, Desk, finished, new_timer
from timer_db.domain import marks
from timer_db.domain.owner import Owner
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.cancel import cancel
from timer_db.operations.recount import recount
from timer_db.operations.schedule import schedule
from timer_db.statements import counts
from timer_db.statements.counts import Counted


async def _counted(desk: Desk) -> dict[tuple[int, int, str], int]:
    rows = await desk.rows(counts.sums())
    return {(collection, route, state): int(timers) for collection, route, state, timers in rows if timers}


async def _marked(desk: Desk, mark: bytes) -> set[bytes]:
    rows = await desk.rows("SELECT entry FROM label_index")
    return {bytes(entry)[8:] for (entry,) in rows if bytes(entry)[:8] == mark}


async def test_each_timer_is_counted_where_it_belongs(desk: Desk) -> None:
    other = Owner(7, 3)
    timers = [new_timer(NOON_US), new_timer(NOON_US + 1), new_timer(NOON_US + 2, url=None, owner=other)]
    await schedule(desk.shards, timers)
    assert await _counted(desk) == {(1, 0, "made"): 2, (7, 3, "made"): 1}
    await cancel(desk.shards, timers[0].id)
    controller = await desk.join()
    refused = {"state": TimerState.failed, "outcome": Outcome.rejected}
    for claim in await desk.take(controller):
        owner = claim.timer.owner
        how = refused if owner == other else {}
        await desk.finish(controller, [finished(claim, owner=owner, **how)])
    assert await _counted(desk) == {
        (1, 0, "made"): 2,
        (1, 0, "cancelled"): 1,
        (1, 0, "delivered"): 1,
        (7, 3, "made"): 1,
        (7, 3, "failed"): 1,
    }


async def test_a_repeated_create_is_counted_once(desk: Desk) -> None:
    timer = new_timer(NOON_US, name="once", labels={"a": "b"})
    for _ in range(2):
        await schedule(desk.shards, [timer])
    assert await _counted(desk) == {(1, 0, "made"): 1}
    assert await _marked(desk, marks.of_label("a", "b")) == {timer.id.bytes}


async def test_labels_and_groups_are_found_by_their_marks(desk: Desk) -> None:
    plain = new_timer(NOON_US)
    labelled = new_timer(NOON_US, labels={"env": "prod"})
    grouped = new_timer(NOON_US, url=None, labels={"env": "test"}, owner=Owner(7, 3, 9))
    await schedule(desk.shards, [plain, labelled, grouped])
    found = {
        mark: await _marked(desk, mark)
        for mark in (
            marks.of_key("env"), marks.of_label("env", "prod"), marks.of_collection(7), marks.of_collection(1),
            marks.of_route(3), marks.of_schedule(9),
        )
    }  # fmt: skip
    assert list(found.values()) == [
        {labelled.id.bytes, grouped.id.bytes}, {labelled.id.bytes}, {grouped.id.bytes}, set(),
        {grouped.id.bytes}, {grouped.id.bytes},
    ]  # fmt: skip


async def test_a_recount_is_right_while_timers_are_made(desk: Desk) -> None:
    await desk.add(*(new_timer(NOON_US + n) for n in range(20)))
    controller = await desk.join()
    await desk.deliver(controller, limit=5)
    await cancel(desk.shards, (await desk.add(new_timer(NOON_US + 50)))[0].id)
    right = await _counted(desk)
    assert await recount(desk.engine) == {}
    await desk.write("UPDATE timer_counts SET timers = timers - 3 WHERE state = 'delivered'")
    await desk.write("DELETE FROM timer_counts WHERE state = 'cancelled'")
    makers = asyncio.gather(*(desk.add(new_timer(NOON_US + 100 + n)) for n in range(30)))
    assert await recount(desk.engine) == {Counted(1, 0, "cancelled"): 1, Counted(1, 0, "delivered"): 3}
    await makers
    assert await _counted(desk) == {**right, (1, 0, "made"): right[1, 0, "made"] + 30}

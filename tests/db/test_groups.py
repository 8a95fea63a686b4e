"""What is written down beside a timer: its marks, and how many there are."""

from __future__ import annotations

import asyncio

from tests.db.desk import NOON_US, Desk, finished, new_timer
from timer_db.domain import marks
from timer_db.domain.owner import Owner
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.cancel import cancel
from timer_db.operations.counts import Counts, by_collection, by_schedule, count_states
from timer_db.operations.recount import recount
from timer_db.operations.replay import replay
from timer_db.operations.schedule import schedule
from timer_db.statements import counts
from timer_db.statements.counts import Counted


async def _counted(desk: Desk) -> dict[Counted, int]:
    rows = await desk.rows(counts.sums(per_schedule=True))
    return {Counted(*group): int(timers) for *group, timers in rows if timers}


async def _marked(desk: Desk, mark: bytes) -> set[bytes]:
    rows = await desk.rows("SELECT entry FROM label_index")
    return {bytes(entry)[8:] for (entry,) in rows if bytes(entry)[:8] == mark}


async def test_each_timer_is_counted_where_it_belongs(desk: Desk) -> None:
    other = Owner(7, 3)
    timers = [new_timer(NOON_US), new_timer(NOON_US + 1), new_timer(NOON_US + 2, url=None, owner=other)]
    await schedule(desk.shards, timers)
    assert await _counted(desk) == {(1, 0, 0, "made"): 2, (7, 3, 0, "made"): 1}
    await cancel(desk.shards, timers[0].id)
    controller = await desk.join()
    refused = {"state": TimerState.failed, "outcome": Outcome.rejected}
    for claim in await desk.take(controller):
        owner = claim.timer.owner
        how = refused if owner == other else {}
        await desk.finish(controller, [finished(claim, owner=owner, **how)])
    assert await _counted(desk) == {
        (1, 0, 0, "made"): 2,
        (1, 0, 0, "cancelled"): 1,
        (1, 0, 0, "delivered"): 1,
        (7, 3, 0, "made"): 1,
        (7, 3, 0, "failed"): 1,
    }


async def test_runs_are_counted_with_their_schedule_whatever_becomes_of_them(desk: Desk) -> None:
    runs = [new_timer(NOON_US + n, owner=Owner(7, 0, 9 + n % 2)) for n in range(8)]
    await schedule(desk.shards, [*runs, new_timer(NOON_US, owner=Owner(7))])
    await cancel(desk.shards, runs[0].id)
    controller = await desk.join()
    claims = {claim.timer.id: claim for claim in await desk.take(controller, limit=6)}
    ended = [claims[run.id] for run in runs[2:5]]
    unknown = {"state": TimerState.unknown, "outcome": Outcome.unknown}
    for claim, how in zip(ended, ({}, {}, unknown), strict=True):
        await desk.finish(controller, [finished(claim, owner=claim.timer.owner, **how)])
    states = {number: dict(+found) for number, found in by_schedule(await _runs(desk, 9, 10)).items()}
    assert states == {
        9: {"cancelled": 1, "delivered": 1, "unknown": 1, "scheduled": 1},
        10: {"delivered": 1, "firing": 2, "scheduled": 1},
    }
    await replay(desk.shards, runs[4].id)
    assert by_schedule(await _runs(desk, 9))[9]["unknown"] == 0
    assert by_collection(await count_states(desk.shards))[7].total() == 9
    assert await recount(desk.engine) == {}


async def _runs(desk: Desk, *numbers: int) -> Counts:
    return await count_states(desk.shards, schedule_ids=numbers)


async def test_a_repeated_create_is_counted_once(desk: Desk) -> None:
    timer = new_timer(NOON_US, name="once", labels={"a": "b"})
    for _ in range(2):
        await schedule(desk.shards, [timer])
    assert await _counted(desk) == {(1, 0, 0, "made"): 1}
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
    assert await recount(desk.engine) == {Counted(1, 0, 0, "cancelled"): 1, Counted(1, 0, 0, "delivered"): 3}
    await makers
    assert await _counted(desk) == {**right, (1, 0, 0, "made"): right[1, 0, 0, "made"] + 30}

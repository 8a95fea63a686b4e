"""Who waits for whom: inserts for nobody, claimers not for each other, and a claim holds no row that it does not
take. Each statement under test has a second to get its locks."""

from __future__ import annotations

import pytest

from tests.concurrency.hands import Hand, Waits, hand
from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, new_timer, new_timers
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry, entry_of, pack
from timer_db.domain.timer import NewTimer
from timer_db.operations.claim import FROM_THE_START
from timer_db.operations.rows import row_of
from timer_db.statements import claims, names, queue, timers
from timer_db.statements.literals import LIST_MAX

RANK = PRIORITY_MAX
HORIZON_US = NOON_US + 10 * SECOND_US
SIZES = [2, 6, 20, 100, 600, 2 * LIST_MAX]
"""Planners change their minds with a table's size: of a small one they would rather read everything."""


async def _claim(claimer: Hand, controller_id: int, number: int, limit: int) -> list[QueueEntry]:
    """A whole claim of one priority, but for its COMMIT."""
    rows = await claimer.rows(queue.take(RANK, FROM_THE_START, HORIZON_US, limit))
    entries = [QueueEntry(RANK, bytes(row[0])) for row in rows]
    if entries:
        assert await claimer.write(queue.remove(RANK, [e.due_key for e in entries])) == len(entries)
        assert await claimer.write(claims.hold(controller_id, number, pack(entries), 0)) == 1
    return entries


async def _insert(inserter: Hand, *new: NewTimer) -> None:
    """A create, but for its COMMIT."""
    await inserter.write(timers.insert([row_of(timer) for timer in new]))
    await inserter.write(queue.put(entries_of(new)))


PLACES = {
    "in front of all": -5,
    "within what is claimed": 5 * 1000 + 1,
    "at the moment of one that is claimed": 7 * 1000,
    "right behind the last that is claimed": 49 * 1000 + 1,
    "among what is left": 70 * 1000 + 1,
    "behind all": 3600 * SECOND_US,
}


async def _fill(desk: Desk, count: int = 100, step_us: int = 1000) -> list[QueueEntry]:
    made = await desk.add(*(new_timer(NOON_US + n * step_us) for n in range(count)))
    await desk.rows("ANALYZE TABLE due_queue, timers")
    return entries_of(made)


@pytest.mark.parametrize("limit", [50, 900], ids=["part of the queue", "all of it"])
async def test_inserts_never_wait_for_a_claim(desk: Desk, limit: int) -> None:
    await _fill(desk)
    controller = await desk.join()
    async with hand(desk) as claimer, hand(desk) as inserter:
        assert len(await _claim(claimer, controller, 1, limit)) == min(limit, 100)
        for offset_us in PLACES.values():
            await _insert(inserter, new_timer(NOON_US + offset_us), new_timer(NOON_US + offset_us, priority=3))


async def test_inserts_never_wait_for_a_claim_that_found_nothing(desk: Desk) -> None:
    await desk.add(new_timer(HORIZON_US + SECOND_US))
    async with hand(desk) as claimer, hand(desk) as inserter:
        assert await claimer.rows(queue.take(RANK, FROM_THE_START, HORIZON_US, 10)) == []
        assert await claimer.rows(queue.take(RANK - 1, FROM_THE_START, HORIZON_US, 10)) == []
        for offset_us in PLACES.values():
            await _insert(inserter, new_timer(NOON_US + offset_us), new_timer(NOON_US + offset_us, priority=1))


async def test_under_repeatable_read_they_would_wait(desk: Desk) -> None:
    """Why every connection is READ COMMITTED; and that this file can see a wait."""
    await _fill(desk)
    async with hand(desk, "REPEATABLE READ") as claimer, hand(desk) as inserter:
        await _claim(claimer, await desk.join(), 1, 50)
        with pytest.raises(Waits):
            await _insert(inserter, new_timer(NOON_US + PLACES["within what is claimed"]))


async def test_a_claim_holds_no_row_beyond_its_limit(desk: Desk) -> None:
    places = await _fill(desk)
    await desk.add(*new_timers(3, priority=1))
    async with hand(desk) as claimer, hand(desk) as other:
        entries = await _claim(claimer, await desk.join(), 1, 10)
        assert entries == places[:10]
        free = await other.rows("SELECT due_key FROM due_queue WHERE priority_rank = 32767 FOR UPDATE SKIP LOCKED")
        assert [bytes(row[0]) for row in free] == [place.due_key for place in places[10:]]
        assert len(await other.rows("SELECT * FROM due_queue WHERE priority_rank = 32766 FOR UPDATE")) == 3


async def test_a_claim_holds_no_row_beyond_its_horizon(desk: Desk) -> None:
    """The reading may touch the first row that is too late; it must let go of it."""
    soon, late = new_timers(5), [new_timer(HORIZON_US + n) for n in range(5)]
    await desk.add(*soon, *late)
    async with hand(desk) as claimer, hand(desk) as other:
        assert await _claim(claimer, await desk.join(), 1, 10) == entries_of(soon)
        free = await other.rows("SELECT due_key FROM due_queue FOR UPDATE SKIP LOCKED")
        assert sorted(bytes(row[0]) for row in free) == [entry.due_key for entry in entries_of(late)]


@pytest.mark.parametrize("size", SIZES)
async def test_claims_side_by_side_do_not_wait(desk: Desk, size: int) -> None:
    """The second one takes what stands behind; then a third one finds nothing, and does not wait either."""
    places = await _fill(desk, size)
    one, two = await desk.join(), await desk.join()
    async with hand(desk) as first, hand(desk) as second, hand(desk) as third:
        half = size // 2
        assert await _claim(first, one, 1, half) == places[:half]
        assert await _claim(second, two, 1, LIST_MAX) == places[half:]
        assert await _claim(third, one, 2, LIST_MAX) == []


@pytest.mark.parametrize("size", SIZES)
async def test_of_two_claims_neither_removes_what_the_other_reads(desk: Desk, size: int) -> None:
    """Both have read theirs before either removes: where each scans over the other's rows, they deadlock."""
    places = await _fill(desk, size)
    half = size // 2
    async with hand(desk) as first, hand(desk) as second:
        for claimer in (first, second):
            await claimer.rows(queue.take(RANK, FROM_THE_START, HORIZON_US, half))
        assert await second.write(queue.remove(RANK, [p.due_key for p in places[half : 2 * half]])) == half
        assert await first.write(queue.remove(RANK, [p.due_key for p in places[:half]])) == half


@pytest.mark.parametrize("size", SIZES)
async def test_retries_of_two_controllers_do_not_wait(desk: Desk, size: int) -> None:
    made = await desk.add(*new_timers(size))
    await desk.rows("ANALYZE TABLE timers")
    ids = sorted(timer.id.bytes for timer in made)
    half = size // 2
    async with hand(desk) as first, hand(desk) as second:
        for writer, some in ((first, ids[:half]), (second, ids[half : 2 * half])):
            assert await writer.write(timers.retry(dict.fromkeys(some, (NOON_US + 1, True)))) == half


@pytest.mark.parametrize("batches", [1, 2, 10, 40])
async def test_batches_of_two_controllers_are_worked_on_side_by_side(desk: Desk, batches: int) -> None:
    one, two = await desk.join(), await desk.join()
    async with hand(desk) as writer:
        for number in range(batches):
            for controller in (one, two):
                await writer.write(claims.hold(controller, number, pack(entries_of(new_timers(1))), 0))
        await writer.write("COMMIT")
    await desk.rows("ANALYZE TABLE claim_batches")
    numbers = range(batches)
    async with hand(desk) as first, hand(desk) as second:
        for writer, controller in ((first, one), (second, two)):
            assert len(await writer.rows(claims.lock(controller, numbers))) == batches
        for writer, controller in ((first, one), (second, two)):
            assert await writer.write(claims.rewrite(controller, 0, b"x" * 26, 0)) == 1
            assert await writer.write(claims.drop(controller, numbers)) == batches


@pytest.mark.parametrize("size", SIZES)
async def test_creates_with_other_names_do_not_wait(desk: Desk, size: int) -> None:
    made = await desk.add(*(new_timer(name=f"{n:05}") for n in range(size)))
    await desk.rows("ANALYZE TABLE timer_names")
    listed = [str(timer.name) for timer in made]
    half = size // 2
    async with hand(desk) as first, hand(desk) as second:
        for writer, some in ((second, listed[half:]), (first, listed[:half])):
            assert len(await writer.rows(*names.holders(1, some))) == len(some)


async def test_a_cancel_waits_only_for_the_claim_of_its_timer(desk: Desk) -> None:
    places = await _fill(desk)
    async with hand(desk) as claimer, hand(desk) as canceller:
        await _claim(claimer, await desk.join(), 1, 50)
        assert await canceller.write(queue.remove(RANK, [places[50].due_key])) == 1
        with pytest.raises(Waits):
            await canceller.write(queue.remove(RANK, [places[49].due_key]))


async def test_giving_back_does_not_wait_for_a_claim(desk: Desk) -> None:
    """Into the midst of what another is claiming."""
    places = await _fill(desk, 100, step_us=2000)
    controller = await desk.join()
    taken = await desk.claim(controller, 1, limit=30)
    async with hand(desk) as claimer, hand(desk) as returner:
        assert await _claim(claimer, controller, 2, 50) == places[30:80]
        assert len(await returner.rows(claims.lock(controller, [1]))) == 1
        assert await returner.write(queue.put(taken)) == 30
        assert await returner.write(claims.drop(controller, [1])) == 1


def test_the_places_are_where_they_say() -> None:
    """The entries claimed above stand a thousand microseconds apart, fifty of them in one claim."""
    first, last = (entry_of(new_timer(NOON_US + n * 1000).id, 0, NOON_US + n * 1000) for n in (0, 49))
    within = entry_of(new_timer().id, 0, NOON_US + PLACES["within what is claimed"])
    assert first < within < last

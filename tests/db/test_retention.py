"""What ended long ago is forgotten whole, and what lives stays."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.db import scratch
from tests.db.days import micros
from tests.db.desk import new_timer
from tests.db.forgetting import (
    DAY,
    FIRST_US,
    KEPT_DAYS,
    LATER,
    Day,
    assert_only_living,
    desk_at,
    finished_at,
    partitions_at,
    purge,
)
from timer_db.domain.errors import TimerNotFound
from timer_db.domain.states import TimerState
from timer_db.operations import membership, partitions
from timer_db.operations.inspect import list_attempts
from timer_db.operations.partitions import name_of
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.statements import queue


@pytest.mark.parametrize("page", [1, 3, 900])
async def test_what_ended_is_forgotten_and_what_lives_stays(
    url: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timer_db.operations.retention.PAGE", page)
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    async with desk_at(url, LATER) as desk:
        await purge(desk.engine)
        assert name_of(DAY) not in partitions_at(url)
        # Those of the last week stay, and those of the next days are there.
        assert name_of(DAY + timedelta(days=1)) in partitions_at(url)
        assert name_of(LATER + timedelta(days=partitions.DAYS_AHEAD)) in partitions_at(url)
        await assert_only_living(desk, day)


@pytest.mark.parametrize(("clock", "is_gone"), [("00:00:00", True), ("23:59:59.9", False)])
async def test_a_day_goes_when_its_end_is_old_enough(url: str, clock: str, is_gone: bool) -> None:
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    moment = LATER if is_gone else LATER - timedelta(days=1)
    async with desk_at(url, moment, clock) as desk:
        await purge(desk.engine)
        delivered, named, *_, cancelled, _ = day.ended
        for timer_id in (delivered, named):
            if is_gone:
                with pytest.raises(TimerNotFound):
                    await desk.state(timer_id)
            else:
                assert await desk.state(timer_id) is TimerState.delivered
        # Cancelled ones go when they are old enough themselves.
        with pytest.raises(TimerNotFound):
            await desk.state(cancelled)


async def test_for_ever_is_for_ever(url: str) -> None:
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    async with desk_at(url, LATER + timedelta(days=3000)) as desk:
        await purge(desk.engine, days=0)
        assert await desk.count("timers") == len(day.ended) + len(day.living)
        assert name_of(DAY) in partitions_at(url)


async def test_a_name_that_went_on_stays_with_its_new_timer(url: str) -> None:
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        [old] = await desk.add(new_timer(FIRST_US, name="n"))
        controller = await desk.join()
        [claim] = await desk.take(controller)
        await desk.finish(controller, [finished_at(claim, FIRST_US, TimerState.delivered)], {1})
        [new] = await desk.add(new_timer(micros(LATER), name="n"))
    async with desk_at(url, LATER) as desk:
        await purge(desk.engine)
        with pytest.raises(TimerNotFound):
            await desk.state(old.id)
        [(holder,)] = await desk.rows("SELECT timer_id FROM timer_names WHERE name = 'n'")
        assert UUID(bytes=holder) == new.id


async def test_a_name_is_free_again(url: str) -> None:
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    async with desk_at(url, LATER) as desk:
        await purge(desk.engine)
        made = await schedule(desk.shards, [new_timer(name="delivered 0"), new_timer(name="waits", meta=1)])
        assert isinstance(made[0], Scheduled)
        assert made[0].created
        assert not isinstance(made[1], Scheduled)


@pytest.mark.parametrize("state", [TimerState.delivered, TimerState.failed])
async def test_a_timer_that_was_called_again_stays(url: str, state: TimerState) -> None:
    """The attempt that once ended it is old; the one that counts is not, or is still to come."""
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        timers = await desk.add(new_timer(FIRST_US, name="a"), new_timer(FIRST_US + 1, name="b"))
        controller = await desk.join()
        claims = await desk.take(controller)
        await desk.finish(controller, [finished_at(claim, FIRST_US, state) for claim in claims], {1})
        await desk.write("UPDATE timers SET attempts_made = attempts_made + 1")
        await desk.write("DELETE FROM endings")
        await desk.write(queue.put(claim.entry for claim in claims))
    async with desk_at(url, LATER) as desk:
        controller = await desk.join()
        [claim] = await desk.take(controller, limit=1)
        await desk.finish(controller, [finished_at(claim, micros(LATER), state)], {1})
        await purge(desk.engine)
        assert [await desk.state(timer.id) for timer in timers] == [state, TimerState.scheduled]
        assert await desk.count("timer_names") == 2
        assert await desk.count("endings") == (state is TimerState.failed)
        assert name_of(DAY) not in partitions_at(url)


async def test_an_outcome_that_waited_for_days_is_waited_for(url: str) -> None:
    """The database was away, and a controller kept what it had to say about that day in its memory."""
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        timers = await desk.add(*(new_timer(FIRST_US + n) for n in range(2)))
        controller = await desk.join()
        claims = await desk.take(controller)
        await desk.finish(controller, [finished_at(claims[0], FIRST_US, TimerState.delivered)])
    async with desk_at(url, LATER) as desk:
        await purge(desk.engine)
        assert [await desk.state(timer.id) for timer in timers] == [TimerState.delivered, TimerState.firing]
        await desk.finish(controller, [finished_at(claims[1], FIRST_US, TimerState.delivered)], {1})
        assert await desk.state(timers[1].id) is TimerState.delivered
        await purge(desk.engine)
        assert await desk.count("timers") == await desk.count("attempts") == 0


async def test_controllers_that_are_long_gone_are_forgotten(url: str) -> None:
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        gone, holding, alive = [await desk.join() for _ in range(3)]
        await desk.add(new_timer(micros(LATER)), new_timer(micros(LATER) + 1))
        claims = await desk.take(gone, limit=1)
        await desk.finish(gone, [finished_at(claims[0], micros(LATER), TimerState.delivered)], {1})
        await desk.take(holding)
        for controller in (gone, holding):
            await membership.leave(desk.engine, controller)
    async with desk_at(url, LATER) as desk:
        lately = await desk.join()
        await membership.leave(desk.engine, lately)
        await purge(desk.engine)
        rows = await desk.rows("SELECT id FROM controllers ORDER BY id")
        assert [controller for (controller,) in rows] == [holding, alive, lately]
        [attempt] = await list_attempts(desk.shards, claims[0].timer.id)
        assert attempt.controller == str(gone)


async def test_a_database_restored_after_weeks(url: str) -> None:
    """What ended is forgotten, what waits is called, and new attempts have their partition."""
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    weeks_later = DAY + timedelta(weeks=6)
    async with desk_at(url, weeks_later) as desk:
        await purge(desk.engine)
        await assert_only_living(desk, day)
        controller = await desk.join()
        claims = await desk.take(controller)
        await desk.finish(
            controller, [finished_at(c, micros(weeks_later), TimerState.delivered) for c in claims], {1}
        )
        assert await desk.count(f"attempts PARTITION ({name_of(weeks_later)})") == len(claims) == 3
        assert await desk.count("attempts PARTITION (p_future)") == 0


async def test_partitions_that_were_made_late(url: str) -> None:
    """Attempts from before stand in the first partition that is made, and go with it."""
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
        scratch.run(
            url,
            "ALTER TABLE attempts PARTITION BY RANGE (finished_at_us)"
            " (PARTITION p_future VALUES LESS THAN MAXVALUE)",
        )
    made_on = DAY + timedelta(days=20)
    async with desk_at(url, made_on) as desk:
        await purge(desk.engine)
        assert await desk.count(f"attempts PARTITION ({name_of(made_on)})") > 0
        assert await desk.state(day.ended[0]) is TimerState.delivered
    async with desk_at(url, made_on + timedelta(days=KEPT_DAYS + 1)) as desk:
        await purge(desk.engine)
        await assert_only_living(desk, day)

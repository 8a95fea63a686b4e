"""A controller's place among the others."""

from __future__ import annotations

import asyncio

import pytest

from tests.db.desk import LEASE_US, SECOND_US, Desk
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import Fenced
from timer_db.operations.membership import HOST_MAX, beat, join, leave
from timer_db.operations.rescue import fence_silent


async def test_every_membership_has_a_number_of_its_own(desk: Desk) -> None:
    numbers = [await join(desk.engine, "host", 1, "v") for _ in range(3)]
    assert numbers == sorted(set(numbers))
    await leave(desk.engine, numbers[-1])
    assert await join(desk.engine, "host", 1, "v") > numbers[-1]


async def test_joining_is_noted(desk: Desk) -> None:
    before_us = await desk.now_us()
    number = await join(desk.engine, "h" * (HOST_MAX + 9), 4711, "1.2.3")
    [row] = await desk.rows("SELECT id, host, pid, version, joined_at_us, beat_at_us, gone_at_us FROM controllers")
    assert row[:4] == (number, "h" * HOST_MAX, 4711, "1.2.3")
    assert before_us <= row[4] == row[5] <= await desk.now_us()
    assert row[6] is None


async def test_a_beat_is_written_and_tells_the_time(desk: Desk) -> None:
    controller = await desk.join()
    await desk.silence(controller, seconds=3)
    clock = DatabaseClock()
    ticks = iter([50.0, 50.5])

    assert (await beat(desk.engine, controller, clock, lambda: next(ticks))).asked_at == 50.0, (
        "it counts from the question on"
    )

    [(beat_at_us,)] = await desk.rows("SELECT beat_at_us FROM controllers")
    assert abs(await desk.now_us() - beat_at_us) < 2 * SECOND_US
    assert clock.is_set


@pytest.mark.parametrize("how", ["left", "fenced"])
async def test_a_lost_place_takes_no_beats(desk: Desk, how: str) -> None:
    controller = await desk.join()
    if how == "left":
        assert await leave(desk.engine, controller)
    else:
        await desk.silence(controller, seconds=6)
        assert await fence_silent(desk.engine, LEASE_US) == [controller]
    with pytest.raises(Fenced):
        await beat(desk.engine, controller, DatabaseClock())
    [(because,)] = await desk.rows("SELECT gone_because FROM controllers")
    assert because == how


async def test_leaving_twice_is_leaving_once(desk: Desk) -> None:
    controller = await desk.join()
    assert await leave(desk.engine, controller)
    [row] = await desk.rows("SELECT gone_at_us, gone_because FROM controllers")
    assert not await leave(desk.engine, controller)
    assert await desk.rows("SELECT gone_at_us, gone_because FROM controllers") == [row]


async def test_only_silence_of_a_whole_lease_is_fenced(desk: Desk) -> None:
    alive, silent, gone = [await desk.join() for _ in range(3)]
    await desk.silence(alive, seconds=1)
    await desk.silence(silent, seconds=5.1)
    await desk.silence(gone, seconds=60)
    await leave(desk.engine, gone)
    assert await fence_silent(desk.engine, LEASE_US) == [silent]
    assert await fence_silent(desk.engine, LEASE_US) == []
    await beat(desk.engine, alive, DatabaseClock())


async def test_nobody_is_fenced_when_the_judge_learns_that_the_database_stood_still(desk: Desk) -> None:
    silent = await desk.join()
    await desk.silence(silent, seconds=60)
    assert await fence_silent(desk.engine, LEASE_US, lambda: False) == []
    assert await fence_silent(desk.engine, LEASE_US, lambda: True) == [silent]


async def test_of_many_judges_one_fences(desk: Desk) -> None:
    silent = [await desk.join() for _ in range(5)]
    for controller in silent:
        await desk.silence(controller, seconds=60)
    verdicts = await asyncio.gather(*(fence_silent(desk.engine, LEASE_US) for _ in range(4)))
    assert sorted(number for verdict in verdicts for number in verdict) == silent


async def test_a_beat_and_a_fence_at_once_have_one_winner(desk: Desk) -> None:
    for _ in range(10):
        controller = await desk.join()
        await desk.silence(controller, seconds=60)
        beaten, fenced = await asyncio.gather(
            beat(desk.engine, controller, DatabaseClock()),
            fence_silent(desk.engine, LEASE_US),
            return_exceptions=True,
        )
        assert isinstance(beaten, Fenced) == (fenced == [controller])
        await leave(desk.engine, controller)

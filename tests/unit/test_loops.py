"""What the loops of a controller say of a database that is away."""

from __future__ import annotations

import asyncio
import logging

import pytest

from timer_controller.loops import Outage, Repeater
from timer_db.domain.errors import DatabaseUnavailable, Fenced


async def test_an_outage_is_told_once_and_its_end_when_all_have_the_database_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timer_controller.loops.AWAY_SECONDS", 0.001)
    caplog.set_level(logging.INFO, "timer_controller.loops")
    left = {"claim": 2, "beat": 5, "finish": 0}
    outage = Outage()
    ended = {name: asyncio.Event() for name in left}

    def step(name: str) -> Repeater:
        async def run_once() -> float:
            if left[name]:
                left[name] -= 1
                raise DatabaseUnavailable("gone")
            ended[name].set()
            return 60.0

        return Repeater(name, run_once, outage)

    loops = [step(name) for name in left]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop.run())
        for event in ended.values():
            await event.wait()
        for loop in loops:
            loop.stop()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the database is away: gone"),
        ("INFO", "the database is back"),
    ]
    assert caplog.records[-1].__dict__["loop"] == "beat"


async def test_a_part_that_is_not_vital_goes_on_after_a_fault_and_tells_it_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timer_controller.loops.FAULT_SECONDS", 0.001)
    faults: list[Exception | None] = [ValueError("a"), ValueError("a"), KeyError("b"), None, KeyError("b")]
    ended = asyncio.Event()

    async def run_once() -> float:
        if not faults:
            ended.set()
            return 60.0
        if fault := faults.pop(0):
            raise fault
        return 0.001

    loop = Repeater("upkeep", run_once, is_vital=False)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(loop.run())
        await ended.wait()
        loop.stop()
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [repr(fault) for fault in told] == ["ValueError('a')", "KeyError('b')", "KeyError('b')"]
    assert all("'upkeep'" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(("fault", "is_vital"), [(ValueError("a"), True), (Fenced("lost"), False)])
async def test_a_fault_ends_a_part_that_is_vital_and_a_lost_membership_each(
    fault: Exception, is_vital: bool
) -> None:
    async def run_once() -> float:
        raise fault

    with pytest.raises(type(fault)):
        await Repeater("part", run_once, is_vital=is_vital).run()

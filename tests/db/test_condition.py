"""What the doctor finds about the work that is done: each finding is made true."""

from __future__ import annotations

import time

import pytest

from tests.db.desk import SECOND_US, Desk, new_timer
from timer_db.operations import condition, membership, overview
from timer_db.operations.condition import CLOCKS_SECONDS, HELD_SECONDS, SILENT_SECONDS
from timer_db.operations.doctor import examine


async def found(desk: Desk, off_seconds: float = 0.0) -> list[str]:
    return await condition.check(desk.shards.home, lambda: time.time() + off_seconds)


@pytest.fixture
async def alive(desk: Desk) -> int:
    """A controller that is at work."""
    return await desk.join()


async def test_where_all_is_well_nothing_is_found(desk: Desk, alive: int) -> None:
    await desk.add(new_timer(await desk.now_us() + 60 * SECOND_US))
    assert await found(desk) == []
    report = await examine(desk.shards.home)
    assert (report.faults, report.warnings) == ([], [])


async def test_nobody_is_at_work(desk: Desk) -> None:
    assert await found(desk) == ["no controller is at work, so nothing is called: start one"]
    assert (await examine(desk.shards.home)).warnings == await found(desk)


async def test_one_is_silent_and_nobody_notices(desk: Desk, alive: int) -> None:
    await desk.write(f"UPDATE controllers SET beat_at_us = beat_at_us - {(SILENT_SECONDS + 5) * SECOND_US}")
    [told] = await found(desk)
    assert told.startswith(f"controller {alive} (host:1) has been silent for 2")


async def test_several_versions(desk: Desk, alive: int) -> None:
    await membership.join(desk.engine, "host", 2, "newer")
    [told] = await found(desk)
    assert "(newer, test)" in told


async def test_timers_are_late(desk: Desk, alive: int) -> None:
    now_us = await desk.now_us()
    await desk.add(
        *[new_timer(now_us - 100 * SECOND_US, created_at_us=now_us - 200 * SECOND_US) for _ in range(3)]
    )
    [told] = await found(desk)
    assert told.startswith("3 timers are due and in nobody's hands, the first for 10")


async def test_more_timers_are_late_than_are_counted(
    desk: Desk, alive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "COUNTED_MAX", 2)
    now_us = await desk.now_us()
    late = [new_timer(now_us - 100 * SECOND_US, created_at_us=now_us - 200 * SECOND_US) for _ in range(3)]
    await desk.add(*late)
    [told] = await found(desk)
    assert told.startswith("2 or more timers are due and in nobody's hands")


async def test_timers_are_held_up(desk: Desk, alive: int) -> None:
    now_us = await desk.now_us()
    [timer] = await desk.add(new_timer(now_us - 100 * SECOND_US, created_at_us=now_us - 200 * SECOND_US))
    its_place = f"FROM due_queue WHERE RIGHT(due_key, 16) = x'{timer.id.hex}'"
    await desk.write(
        "INSERT INTO deferred_queue (destination, priority_rank, due_key)"
        f" SELECT REPEAT('d', 16), priority_rank, due_key {its_place}"
    )
    await desk.write(f"DELETE {its_place}")
    [told] = await found(desk)
    assert "paused or at its limit, the first for 10" in told


async def test_a_claim_is_stuck(desk: Desk, alive: int) -> None:
    now_us = await desk.now_us()
    await desk.add(new_timer(now_us - SECOND_US))
    await desk.claim(alive, horizon_us=now_us)
    await desk.write(f"UPDATE claim_batches SET claimed_at_us = claimed_at_us - {(HELD_SECONDS + 60) * SECOND_US}")
    [told] = await found(desk)
    assert told.startswith("a claim is 2.0 h old")


@pytest.mark.parametrize(("off_seconds", "words"), [(60, "60.0 s behind"), (-60, "60.0 s ahead of")])
async def test_clocks_differ(desk: Desk, alive: int, off_seconds: float, words: str) -> None:
    assert await found(desk, CLOCKS_SECONDS / 4) == []
    [told] = await found(desk, off_seconds)
    assert f"the database's clock is {words} this machine's" in told


def test_connections_run_out() -> None:
    assert next(iter(condition._of_connections(81, 100))).startswith("81 of 100 connections are in use")
    assert list(condition._of_connections(80, 100)) == []

"""A planner's looks: when the next one comes, and what is said about schedules that do not run."""

from __future__ import annotations

import logging

import pytest

from tests.db.clockwork import MINUTE_US, Clockwork, every
from tests.db.desk import SECOND_US, Desk
from timer_controller.planner import AHEAD_SECONDS, LATE_SECONDS, Planner
from timer_db.domain.collection import NO_SETTINGS
from timer_db.domain.owner import Owner
from timer_db.domain.schedule_times import CatchUp, Overlap
from timer_db.operations import plan_runs
from timer_db.operations.collections import put_collection
from timer_db.operations.directory import DirectoryKeeper

POLL = 0.5


@pytest.fixture
def clockwork(desk: Desk) -> Clockwork:
    """An empty database."""
    return Clockwork(desk)


@pytest.fixture
def planner(clockwork: Clockwork) -> Planner:
    """One that knows nothing but the default collection."""
    return Planner(clockwork.shard, DirectoryKeeper(clockwork.desk.shards), poll_seconds=POLL)


async def test_it_looks_once_per_poll(clockwork: Clockwork, planner: Planner) -> None:
    assert await planner.run_once() == POLL
    await clockwork.put(settings=every(SECOND_US))
    assert await planner.run_once() == POLL
    ahead = (await clockwork.runs())[-1].due_at_us - await clockwork.desk.now_us()
    # Two polls and what is beyond, but for what the test itself took.
    assert AHEAD_SECONDS - 2 <= ahead / SECOND_US <= AHEAD_SECONDS + 2 * POLL


async def test_while_runs_are_missing_it_looks_again_at_once(
    clockwork: Clockwork, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_runs, "RUNS_EACH_MAX", 10)
    await clockwork.put(settings=every(SECOND_US, catch_up=CatchUp.all))
    await clockwork.move(next_in_us=-round(MINUTE_US / 2))
    looks = 1
    while await planner.run_once() == 0:
        looks += 1
    assert looks >= 3
    assert set((await clockwork.moments()).values()) == {1}
    assert len(await clockwork.runs()) >= 30 + AHEAD_SECONDS


async def test_every_page_of_those_that_missed_runs_has_its_turn(
    clockwork: Clockwork, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the first ones cannot run, and stay where they are."""
    monkeypatch.setattr(plan_runs, "PAGE", 2)
    for number in range(3):
        await clockwork.put(f"gone{number}", every(owner=Owner(99)))
        await clockwork.move(f"gone{number}", next_in_us=-2 * MINUTE_US)
    await clockwork.put("late")
    await clockwork.move("late", next_in_us=-round((LATE_SECONDS + 2) * SECOND_US))
    while await planner.run_once() == 0:
        pass
    assert len(await clockwork.runs("late")) == 1


async def test_it_wakes_up_for_a_run_that_waits_for_the_one_before(clockwork: Clockwork, planner: Planner) -> None:
    await clockwork.put(settings=every(MINUTE_US, overlap=Overlap.skip))
    await clockwork.move(next_in_us=0)
    await planner.run_once()
    await clockwork.move(next_in_us=200_000)
    assert await planner.run_once() < 0.2
    assert len(await clockwork.runs()) == 1


async def test_why_one_does_not_run_is_said_once(
    clockwork: Clockwork, planner: Planner, caplog: pytest.LogCaptureFixture
) -> None:
    await clockwork.put("gone", every(owner=Owner(99)))
    await clockwork.move("gone", next_in_us=SECOND_US)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            await planner.run_once()
    assert [record.getMessage() for record in caplog.records] == [
        "schedule gone does not run: its collection or its route is not known here"
    ]


async def test_a_collection_that_was_made_just_now_is_known_at_the_second_look(
    clockwork: Clockwork, planner: Planner, caplog: pytest.LogCaptureFixture
) -> None:
    made = await put_collection(clockwork.desk.shards, "new", NO_SETTINGS)
    await clockwork.put(settings=every(owner=Owner(made.collection.id)))
    await clockwork.move(next_in_us=SECOND_US)
    await planner.run_once()
    await planner.run_once()
    assert len(await clockwork.runs()) == 1
    assert not caplog.records

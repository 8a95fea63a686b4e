"""Schedules are made, changed, paused and deleted; what was made ahead of its time follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.db.clockwork import MINUTE_US, URL, Clockwork, every
from tests.db.desk import LATER_US, SECOND_US, Desk
from timer_db.domain.errors import ScheduleNotFound, ScheduleUnreadable
from timer_db.domain.owner import Owner
from timer_db.domain.schedule_settings import ScheduleSettings
from timer_db.domain.schedule_times import CatchUp, Overlap
from timer_db.domain.states import TimerState
from timer_db.encryption import Keyring
from timer_db.operations.cancel import cancel
from timer_db.operations.encryption import count_schedule_keys
from timer_db.operations.schedules import (
    delete_schedule,
    get_schedule,
    list_schedules,
    pause_schedule,
    put_schedule,
    resume_schedule,
)
from timer_db.shards import Shards

FIVE = 5 * SECOND_US
EVERYTHING = ScheduleSettings(
    cron="0 9 * * 1-5",
    timezone="Europe/Berlin",
    start_us=1_900_000_000_000_000,
    end_us=1_950_000_000_000_000,
    jitter_us=1_500_000,
    overlap=Overlap.skip,
    catch_up=CatchUp.all,
    owner=Owner(7, 3),
    timer={"route": "r", "collection": "c", "headers": {"A": "b"}, "body": [1, None], "labels": {"a": ""}},
)


@pytest.fixture
def clockwork(desk: Desk) -> Clockwork:
    """An empty database."""
    return Clockwork(desk)


async def test_what_was_chosen_comes_back(desk: Desk) -> None:
    made = await put_schedule(desk.shards, "s", EVERYTHING)
    assert made.created
    assert made.schedule.settings == EVERYTHING
    assert not made.schedule.is_paused
    assert (made.schedule.last_run_at_us, made.schedule.last_timer_id) == (None, None)
    assert made.schedule.next_run_at_us is not None
    assert EVERYTHING.start_us is not None
    assert 0 <= made.schedule.next_run_at_us - EVERYTHING.start_us < 4 * 24 * 60 * MINUTE_US
    again = await put_schedule(desk.shards, "s", replace(EVERYTHING))
    assert not again.created
    assert again.schedule == made.schedule == await get_schedule(desk.shards, "s")


async def test_a_list_goes_by_name_in_pages(desk: Desk) -> None:
    for name in ("b", "a", "C", "d"):
        await put_schedule(desk.shards, name, every())
    await delete_schedule(desk.shards, "b")
    first = await list_schedules(desk.shards, 2)
    second = await list_schedules(desk.shards, 2, first.next_cursor)
    assert [[schedule.name for schedule in page.schedules] for page in (first, second)] == [["C", "a"], ["d"]]
    assert (first.next_cursor, second.next_cursor) == ("a", None)


async def test_what_is_not_there(desk: Desk) -> None:
    for verb in (get_schedule, pause_schedule, resume_schedule, delete_schedule):
        with pytest.raises(ScheduleNotFound):
            await verb(desk.shards, "s")


async def test_every_counts_from_when_it_was_made(clockwork: Clockwork) -> None:
    made = await clockwork.put(settings=every(MINUTE_US))
    second_us = made.created_at_us - made.created_at_us % SECOND_US
    assert made.next_run_at_us == second_us + MINUTE_US
    changed = await clockwork.put(settings=every(2 * MINUTE_US))
    assert (changed.created_at_us, changed.next_run_at_us) == (made.created_at_us, second_us + 2 * MINUTE_US)


async def test_a_run_that_is_due_is_not_lost_when_something_else_is_changed(clockwork: Clockwork) -> None:
    await clockwork.put()
    due_us = await clockwork.move(next_in_us=-3 * SECOND_US)
    assert (await clockwork.put(settings=every(timer={"url": f"{URL}/2"}))).next_run_at_us == due_us
    assert (await clockwork.put(settings=every(overlap=Overlap.skip))).next_run_at_us == due_us
    changed = await clockwork.put(settings=every(MINUTE_US, jitter_us=1))
    assert changed.next_run_at_us is not None
    assert changed.next_run_at_us > due_us + 3 * SECOND_US


async def test_runs_made_ahead_are_made_again_as_they_are_to_be_now(clockwork: Clockwork) -> None:
    await clockwork.put(settings=every(FIVE))
    await clockwork.plan_all()
    before = await clockwork.runs()
    await clockwork.put(settings=every(FIVE, timer={"url": f"{URL}/2"}))
    await clockwork.plan_all()
    runs = await clockwork.runs()
    waiting = [run for run in runs if run.state is TimerState.scheduled]
    assert {run.url for run in waiting} == {f"{URL}/2"}
    assert [run.due_at_us for run in waiting][: len(before)] == [run.due_at_us for run in before]
    assert {run.state for run in runs if run.url == URL} == {TimerState.cancelled}


@pytest.mark.parametrize("settings", [every(FIVE, timer={"url": f"{URL}/2"}), every(FIVE, end_us=LATER_US)])
async def test_what_a_controller_has_in_hand_is_not_made_twice(
    clockwork: Clockwork, settings: ScheduleSettings
) -> None:
    await clockwork.put(settings=every(FIVE))
    await clockwork.plan_all()
    controller = await clockwork.desk.join()
    [in_hand] = await clockwork.desk.claim(controller, limit=1)
    await clockwork.put(settings=settings)
    await clockwork.plan_all()
    runs = [run for run in await clockwork.runs() if run.state is not TimerState.cancelled]
    assert runs[0].id.bytes == in_hand.timer_id
    dues = [run.due_at_us // SECOND_US for run in runs]
    assert dues[:6] == [dues[0] + 5 * number for number in range(6)]


@pytest.mark.parametrize("verb", [pause_schedule, delete_schedule])
async def test_nothing_more_is_called_after_a_pause_or_a_deletion(
    clockwork: Clockwork, verb: Callable[[Shards, str], Awaitable[object]]
) -> None:
    await clockwork.put(settings=every(FIVE))
    await clockwork.move(next_in_us=-4 * SECOND_US)
    await clockwork.plan_all()
    runs = await clockwork.runs()
    # One that somebody cancelled by hand is no obstacle.
    await cancel(clockwork.desk.shards, runs[-2].id)
    now_us = await clockwork.desk.now_us()
    await verb(clockwork.desk.shards, "s")
    has_come = [run for run in runs if run.due_at_us <= now_us]
    states = [(await clockwork.desk.timer(run.id)).state for run in runs]
    expected = {True: TimerState.scheduled, False: TimerState.cancelled}
    assert states == [expected[run in has_come] for run in runs]
    assert len(await clockwork.desk.queued()) == len(has_come) > 0
    assert await clockwork.plan_all() == 0
    assert await clockwork.desk.rows("SELECT next_run_at_us FROM schedules") == [(None,)]


@pytest.mark.parametrize(("catch_up", "made"), [(CatchUp.all, 4), (CatchUp.last, 1), (CatchUp.none, 0)])
async def test_a_resumed_one_goes_on_as_was_chosen(clockwork: Clockwork, catch_up: CatchUp, made: int) -> None:
    now_us = await clockwork.desk.now_us()
    settings = every(20 * MINUTE_US, start_us=now_us - 61 * MINUTE_US, catch_up=catch_up)
    await clockwork.put(settings=settings)
    await clockwork.desk.write(f"UPDATE schedules SET next_run_at_us = {now_us - 61 * MINUTE_US}")
    paused = await pause_schedule(clockwork.desk.shards, "s")
    assert paused.is_paused
    assert await pause_schedule(clockwork.desk.shards, "s") == paused
    # A change of what its runs are like changes nothing about that.
    await clockwork.put(settings=replace(settings, timer={"url": f"{URL}/2"}))
    assert (await clockwork.get()).is_paused
    assert await clockwork.plan_all() == 0
    resumed = await resume_schedule(clockwork.desk.shards, "s")
    assert not resumed.is_paused
    assert await resume_schedule(clockwork.desk.shards, "s") == resumed
    assert await clockwork.plan_all() == made
    runs = await clockwork.runs()
    assert [(now_us - run.due_at_us) // MINUTE_US for run in runs] == [61, 41, 21, 1][4 - made :]


async def test_a_short_pause_takes_nothing_away(clockwork: Clockwork) -> None:
    await clockwork.put(settings=every(FIVE, catch_up=CatchUp.none))
    await clockwork.plan_all()
    dues = [run.due_at_us for run in await clockwork.runs()]
    await pause_schedule(clockwork.desk.shards, "s")
    await resume_schedule(clockwork.desk.shards, "s")
    await clockwork.plan_all()
    again = [run.due_at_us for run in await clockwork.runs() if run.state is TimerState.scheduled]
    assert again[: len(dues)] == dues


async def test_other_times_for_a_paused_one_count_from_then_on(clockwork: Clockwork) -> None:
    await clockwork.put(settings=every(FIVE, catch_up=CatchUp.all))
    await clockwork.move(next_in_us=-MINUTE_US)
    await pause_schedule(clockwork.desk.shards, "s")
    await clockwork.put(settings=every(MINUTE_US, catch_up=CatchUp.all))
    await resume_schedule(clockwork.desk.shards, "s")
    next_us = (await clockwork.get()).next_run_at_us
    assert next_us is not None
    assert next_us > await clockwork.desk.now_us()


async def test_a_name_is_free_again_after_a_deletion(clockwork: Clockwork) -> None:
    first = await clockwork.put()
    await delete_schedule(clockwork.desk.shards, "s")
    with pytest.raises(ScheduleNotFound):
        await clockwork.get()
    assert (await clockwork.put()).id != first.id
    rows = await clockwork.desk.rows("SELECT name, settings FROM schedules WHERE deleted_at_us IS NOT NULL")
    assert rows == [(f"s (deleted {first.id})", "{}")]


async def test_what_runs_are_like_is_sealed(desk: Desk) -> None:
    sealing = Shards([desk.engine], Keyring({"k1": b"1" * 32}))
    await put_schedule(sealing, "s", EVERYTHING)
    [(text,)] = await desk.rows("SELECT settings FROM schedules")
    assert "headers" not in text
    assert (await get_schedule(sealing, "s")).settings == EVERYTHING

    # Without the key it can be looked at and deleted, and is not changed by accident.
    found = await get_schedule(desk.shards, "s")
    assert (found.settings.timer, found.settings.cron) == ({}, EVERYTHING.cron)
    assert "'k1'" in found.unreadable
    with pytest.raises(ScheduleUnreadable, match="'k1'"):
        await pause_schedule(desk.shards, "s")
    assert (await Clockwork(desk).plan(late=False)).runs == 0

    # Put once more it is sealed with the key that seals now.
    assert await count_schedule_keys(desk.engine) == {"k1": 1}
    both = Shards([desk.engine], Keyring({"k2": b"2" * 32, "k1": b"1" * 32}))
    await put_schedule(both, "s", EVERYTHING)
    assert await count_schedule_keys(desk.engine) == {"k2": 1}
    second = Shards([desk.engine], Keyring({"k2": b"2" * 32}))
    assert (await get_schedule(second, "s")).settings == EVERYTHING
    # A value that was moved to another schedule cannot be opened.
    await desk.write("UPDATE schedules SET name = 't'")
    assert "was changed" in (await get_schedule(second, "t")).unreadable
    await delete_schedule(desk.shards, "t")

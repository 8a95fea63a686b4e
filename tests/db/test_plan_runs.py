"""Runs are made ahead of their time, each once, whoever plans and whatever is lost."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.db.clockwork import HORIZON, URL, Clockwork, every
from tests.db.desk import LATER_US, SECOND_US, Desk, finished
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.collection import Collection, CollectionSettings, Defaults
from timer_db.domain.directory import Directory
from timer_db.domain.owner import Owner
from timer_db.domain.route import Route, RouteSettings
from timer_db.domain.schedule_settings import ScheduleSettings
from timer_db.domain.schedule_times import CatchUp, Overlap
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.engine import Pool, open_shards
from timer_db.operations import plan_runs
from timer_db.shards import Shards
from timer_db.statements import schedules as statements

FIVE = 5 * SECOND_US


@pytest.fixture
def clockwork(desk: Desk) -> Clockwork:
    """An empty database."""
    return Clockwork(desk)


async def test_runs_are_made_ahead_and_once(clockwork: Clockwork) -> None:
    made = await clockwork.put(settings=every(FIVE))
    page = await clockwork.plan()
    assert (page.behind, page.is_unfinished, page.faults) == (None, False, {})
    runs = await clockwork.runs()
    assert page.runs == len(runs) == 6
    assert runs[0].due_at_us == made.next_run_at_us
    assert {later.due_at_us - earlier.due_at_us for earlier, later in pairwise(runs)} == {FIVE}
    assert {run.state for run in runs} == {TimerState.scheduled}
    assert len(await clockwork.desk.queued()) == 6
    schedule = await clockwork.get()
    assert (
        schedule.next_run_at_us == runs[-1].due_at_us + FIVE > await clockwork.desk.now_us() + HORIZON.ahead_us / 2
    )
    assert (schedule.last_run_at_us, schedule.last_timer_id) == (runs[-1].due_at_us, runs[-1].id)
    assert (await clockwork.plan()).runs <= 1
    assert set((await clockwork.moments()).values()) == {1}


async def test_a_run_is_as_a_create_would_make_it_now(clockwork: Clockwork) -> None:
    """With what its collection and its route say at that time, and with what was asked for, to the byte."""
    retry = RetryPolicy(max_attempts=3)
    defaults = Defaults(retry=retry, timeout_seconds=2.5, priority=9, on_unknown=OnUnknown.hold)
    directory = Directory(
        {1: Collection(1, "default"), 7: Collection(7, "c", CollectionSettings(defaults))},
        {3: Route(3, "r", RouteSettings(URL))},
    )
    asked = {
        "body": {"n": [1, "ä", None]}, "headers": {"X-A": "1"}, "meta": 0, "labels": {"env": "prod"},
        "on_failure_url": URL, "append_id": False,
    }  # fmt: skip
    await clockwork.put("url", every(owner=Owner(7), timer={**asked, "url": URL, "priority": 1}))
    await clockwork.put("route", every(owner=Owner(1, 3), timer={"route": "r", "body_base64": "AAE="}))
    for name in ("url", "route"):
        await clockwork.move(name, next_in_us=SECOND_US)
    assert (await clockwork.plan(directory=directory)).runs == 2
    [run] = await clockwork.runs("url")
    assert run.owner == Owner(7, 0, (await clockwork.get("url")).id)
    assert (run.url, run.body, run.headers, run.meta) == (URL, '{"n":[1,"ä",null]}'.encode(), {"X-A": "1"}, 0)
    assert (run.labels, run.on_failure_url, run.append_id) == ({"env": "prod"}, URL, False)
    assert (run.priority, run.retry, run.timeout_seconds, run.on_unknown) == (1, retry, 2.5, OnUnknown.hold)
    [run] = await clockwork.runs("route")
    assert run.owner == Owner(1, 3, (await clockwork.get("route")).id)
    assert (run.url, run.method, run.retry, run.timeout_seconds) == (None, None, None, None)
    assert (run.body, run.body_is_json) == (b"\x00\x01", False)


@pytest.mark.parametrize(
    ("catch_up", "late_seconds"),
    [(CatchUp.all, [55, 45, 35, 25, 15, 5]), (CatchUp.last, [5]), (CatchUp.none, [])],
)
async def test_an_outage_is_caught_up_as_was_chosen(
    clockwork: Clockwork, catch_up: CatchUp, late_seconds: list[int]
) -> None:
    now_us = await clockwork.desk.now_us()
    await clockwork.put(settings=every(10 * SECOND_US, start_us=now_us - 55 * SECOND_US, catch_up=catch_up))
    await clockwork.move(next_in_us=0)
    await clockwork.desk.write(f"UPDATE schedules SET next_run_at_us = {now_us - 55 * SECOND_US}")
    await clockwork.plan_all()
    runs = await clockwork.runs()
    # The last of them may have come meanwhile, but not one more than that.
    assert [(now_us - run.due_at_us) // SECOND_US for run in runs if run.due_at_us <= now_us] == late_seconds
    ahead = [(run.due_at_us - now_us) // SECOND_US for run in runs if run.due_at_us > now_us]
    assert ahead[:3] == [5, 15, 25]
    assert set((await clockwork.moments()).values()) == {1}


async def test_what_was_missed_is_called_in_its_order(clockwork: Clockwork) -> None:
    await clockwork.put(settings=every(10 * SECOND_US, catch_up=CatchUp.all))
    await clockwork.move(next_in_us=-30 * SECOND_US)
    await clockwork.plan_all()
    controller = await clockwork.desk.join()
    claims = await clockwork.desk.take(controller)
    dues = [claim.timer.due_at_us for claim in claims]
    assert dues == sorted(dues)
    assert len(dues) >= 4


async def test_no_run_while_the_one_before_has_not_ended(clockwork: Clockwork) -> None:
    await clockwork.put(settings=every(10 * SECOND_US, overlap=Overlap.skip))
    await clockwork.move(next_in_us=SECOND_US)
    # The first is made; the next one waits until its time for the first to end.
    page = await clockwork.plan()
    assert (page.runs, len(await clockwork.runs())) == (1, 1)
    page = await clockwork.plan()
    assert page.runs == 0
    assert page.wake_after_us is not None
    assert 0 < page.wake_after_us <= 11 * SECOND_US
    # Its time has come, and the first has not ended: it is left out.
    waiting_us = (await clockwork.get()).next_run_at_us
    await clockwork.move(next_in_us=-SECOND_US)
    assert (await clockwork.plan()).runs == 0
    after = await clockwork.get()
    assert after.next_run_at_us is not None
    assert waiting_us is not None
    assert after.next_run_at_us > await clockwork.desk.now_us()
    # Once it has ended, runs are made again.
    controller = await clockwork.desk.join()
    claims = await clockwork.desk.take(controller)
    await clockwork.desk.finish(controller, [finished(claim) for claim in claims], {1})
    assert (await clockwork.plan()).runs == 1


async def test_many_planners_make_each_run_once(clockwork: Clockwork, database_url: str) -> None:
    """Ten of them at once, on 300 schedules, of which a third missed runs, while others are changed."""
    names = [f"s{number}" for number in range(300)]
    settings = every(FIVE, catch_up=CatchUp.all)
    await asyncio.gather(*(clockwork.put(name, settings) for name in names[:8]))
    for name in names[8:]:
        await clockwork.put(name, settings)
    await clockwork.desk.write(
        f"UPDATE schedules SET next_run_at_us = next_run_at_us - {12 * FIVE} WHERE id % 3 = 0"
    )
    opened = [open_shards([database_url], Pool(size=2)) for _ in range(5)]
    work = [clockwork.plan_all(shards.home) for shards in opened for _ in range(2)]
    changed = every(FIVE, catch_up=CatchUp.all, timer={"url": f"{URL}/2"})
    changes = [clockwork.put(name, changed) for name in names[:20]]
    results = await asyncio.gather(*work, *changes)
    # What one planner had locked, others passed by.
    rest = await clockwork.plan_all()
    for shards in opened:
        await shards.close()
    moments = await clockwork.moments()
    assert sum(count for count in results if isinstance(count, int)) + rest >= len(moments)
    cancelled = await clockwork.desk.rows(
        "SELECT schedule_id, due_at_us FROM timers WHERE cancelled_at_us IS NOT NULL AND schedule_id IS NOT NULL"
    )
    for schedule_id, due_us in cancelled:
        moments[schedule_id, due_us] -= 1
    assert set(moments.values()) <= {0, 1}
    for name in names:
        schedule = await clockwork.get(name)
        dues = [due for (number, due), count in moments.items() if number == schedule.id and count]
        assert schedule.next_run_at_us is not None
        first = schedule.created_at_us - schedule.created_at_us % SECOND_US + FIVE
        if schedule.id % 3 == 0:
            first -= 12 * FIVE
        assert sorted(dues) == list(range(first, schedule.next_run_at_us, FIVE)), name


async def test_a_page_is_bounded_in_runs_and_in_bytes(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_runs, "RUNS_MAX", 7)
    monkeypatch.setattr(plan_runs, "RUNS_EACH_MAX", 4)
    for number in range(3):
        await clockwork.put(f"s{number}", every(FIVE))
    page = await clockwork.plan()
    assert (page.runs, page.is_unfinished) == (7, True)
    assert page.behind is not None
    assert await clockwork.plan_all() == 3 * 6 - 7
    monkeypatch.setattr(plan_runs, "BYTES_MAX", 250_000)
    for number in range(3):
        await clockwork.put(f"large{number}", every(FIVE, timer={"url": URL, "body": "x" * 100_000}))
    assert (await clockwork.plan()).runs == 2
    assert await clockwork.plan_all() == 3 * 6 - 2
    assert set((await clockwork.moments()).values()) == {1}


async def test_those_that_wait_or_cannot_run_stand_in_nobodys_way(clockwork: Clockwork) -> None:
    gone = Directory({1: Collection(1, "default"), 7: Collection(7, "c", is_deleted=True)})
    for number in range(2 * plan_runs.PAGE):
        owner = Owner(7) if number % 2 else Owner(99)
        await clockwork.put(f"gone{number}", every(owner=owner))
        await clockwork.move(f"gone{number}", next_in_us=-20 * SECOND_US if number % 4 < 2 else 0)
    await clockwork.put("late", every())
    await clockwork.move("late", next_in_us=-10 * SECOND_US)
    await clockwork.put("last", every())
    await clockwork.move("last", next_in_us=SECOND_US)
    faults: dict[str, str] = {}
    runs = 0
    for late in (False, True):
        page = plan_runs.Page(behind=plan_runs.Place(0, 0))
        while page.behind:
            page = await clockwork.plan(late=late, behind=page.behind, directory=gone)
            faults |= page.faults
            runs += page.runs
    assert runs == 2
    assert len(faults) == 2 * plan_runs.PAGE
    assert set(faults.values()) == {
        "its collection was deleted",
        "its collection or its route is not known here",
    }


async def test_one_that_is_broken_keeps_no_other_from_running(clockwork: Clockwork) -> None:
    """As a row of another version could be."""
    broken = {
        "settings": """{"timezone": "UTC"}""",
        "zone": """JSON_SET(settings, '$.timezone', 'Mars/Olympus', '$.cron', '* * * * *')""",
        "cron": """JSON_SET(settings, '$.cron', 'never')""",
        "timer": """JSON_SET(settings, '$.timer.body_base64', '?')""",
    }
    for name in (*broken, "sound"):
        await clockwork.put(name)
        await clockwork.move(name, next_in_us=SECOND_US)
    for name, settings in broken.items():
        value = settings if settings.startswith("JSON") else f"'{settings}'"
        await clockwork.desk.write(f"UPDATE schedules SET settings = {value} WHERE name = '{name}'")
    page = await clockwork.plan()
    assert page.runs == 1
    assert page.faults.keys() == broken.keys()
    assert all(page.faults.values())
    assert len(await clockwork.runs("sound")) == 1


async def test_the_end_of_a_schedule(clockwork: Clockwork) -> None:
    now_us = await clockwork.desk.now_us()
    await clockwork.put(settings=every(FIVE, start_us=now_us + SECOND_US, end_us=now_us + SECOND_US + 2 * FIVE))
    assert await clockwork.plan_all() == 3
    assert (await clockwork.get()).next_run_at_us is None
    assert await clockwork.plan_all() == 0


async def test_cron_in_a_time_zone(clockwork: Clockwork) -> None:
    settings = ScheduleSettings(cron="*/10 * * * * *", timezone="Asia/Kathmandu", timer={"url": URL})
    await clockwork.put(settings=settings)
    assert await clockwork.plan_all() == 3
    assert {run.due_at_us % (10 * SECOND_US) for run in await clockwork.runs()} == {0}


async def test_a_planner_waits_for_nobody(clockwork: Clockwork, shards: Shards) -> None:
    """Rows that others hold are passed by, also those of somebody who changes a schedule."""
    for name in ("a", "b"):
        await clockwork.put(name)
        await clockwork.move(name, next_in_us=SECOND_US)
    held = asyncio.Event()
    release = asyncio.Event()

    async def hold(connection: plan_runs.Connection) -> None:
        schedule_id = (await clockwork.get("a")).id
        await connection.rows(statements.lock([schedule_id], LATER_US))
        held.set()
        await release.wait()

    holding = asyncio.create_task(plan_runs.transactions.run(shards.home.engine, hold))
    await held.wait()
    async with asyncio.timeout(3):
        assert (await clockwork.plan()).runs == 1
    release.set()
    await holding
    assert (await clockwork.plan()).runs == 1

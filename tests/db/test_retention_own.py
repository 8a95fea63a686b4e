"""Collections with a retention of their own: each keeps what it should, whatever others and the service say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import date, timedelta
from uuid import UUID

import pytest

from tests.db import scratch
from tests.db.days import engine_at, micros
from tests.db.desk import NOON_US, Desk, finished, new_timer
from tests.db.forgetting import DAY, assert_whole, desk_at, partitions_at
from timer_controller.retention import LOOK_SECONDS, Retention
from timer_db.domain.owner import Owner
from timer_db.domain.states import Outcome, TimerState
from timer_db.models import metadata
from timer_db.operations import partitions
from timer_db.operations.cancel import cancel
from timer_db.operations.counts import count_states
from timer_db.operations.overdue import Own, find_overdue
from timer_db.operations.partitions import name_of

SERVICE_DAYS = 4
DEFAULT, SHORT, LONG, ENDLESS = 1, 2, 3, 4
OWN = {SHORT: 1, LONG: 9, ENDLESS: 0}


@pytest.fixture
def url(database: str) -> str:
    """As the migrations leave it."""
    tables = metadata.tables.keys() - {"collections"}
    scratch.run(
        database,
        *(f"DELETE FROM {table}" for table in tables),
        "ALTER TABLE attempts PARTITION BY RANGE (finished_at_us) (PARTITION p_future VALUES LESS THAN MAXVALUE)",
    )
    return database


async def make(desk: Desk, day: date, collections: list[int]) -> dict[UUID, tuple[int, bool]]:
    """Of each collection one that is delivered that day, one that fails and one that is cancelled: by id, the
    collection, and whether it was cancelled."""
    await partitions.keep(desk.engine)
    first_us = micros(day, "09:00")
    made: dict[UUID, tuple[int, bool]] = {}
    for number in collections:
        for state in (TimerState.delivered, TimerState.failed, TimerState.cancelled):
            [timer] = await desk.add(new_timer(NOON_US, name=f"{day} {state}", owner=Owner(number)))
            if state is TimerState.cancelled:
                await cancel(desk.shards, timer.id)
            else:
                controller = await desk.join()
                [claim] = await desk.take(controller)
                outcome = Outcome.delivered if state is TimerState.delivered else Outcome.rejected
                end = finished(claim, state, outcome, finished_at_us=first_us, owner=timer.owner)
                await desk.finish(controller, [end], {1})
            made[timer.id] = (number, state is TimerState.cancelled)
    return made


async def purge(desk: Desk, own: Mapping[int, int], *, service_days: int = SERVICE_DAYS) -> None:
    """A look and all its steps, as a controller makes them."""
    chosen = {number: Own(days, 0) for number, days in own.items()}
    retention = Retention(desk.engine, days=service_days, own=lambda: chosen, monotonic=lambda: 0.0)
    while await retention.run_once() != LOOK_SECONDS:
        pass
    await assert_whole(desk)


async def kept(desk: Desk) -> dict[int, int]:
    """How many timers there are, by collection; the counts say the same."""
    rows = await desk.rows("SELECT collection_id, COUNT(*) FROM timers GROUP BY collection_id")
    found = {int(number): int(count) for number, count in rows}
    counted = {group: sum(states.values()) for (group, _, _), states in (await count_states(desk.shards)).items()}
    assert {number: count for number, count in counted.items() if count} == found
    return found


async def test_each_is_kept_as_long_as_it_says(url: str) -> None:
    async with desk_at(url, DAY) as desk:
        await make(desk, DAY, [DEFAULT, SHORT, LONG, ENDLESS])
    every = {DEFAULT: 3, SHORT: 3, LONG: 3, ENDLESS: 3}
    for after, gone in ((1, ()), (2, [SHORT]), (5, [SHORT, DEFAULT]), (10, [SHORT, DEFAULT, LONG])):
        async with desk_at(url, DAY + timedelta(days=after), "00:00") as desk:
            await purge(desk, OWN)
            assert await kept(desk) == {number: 3 for number in every if number not in gone}
            assert name_of(DAY) in partitions_at(url), "one of them is kept for ever"
    async with desk_at(url, DAY + timedelta(days=10)) as desk:
        await purge(desk, {**OWN, ENDLESS: 2})
        assert await kept(desk) == {}
        assert name_of(DAY) not in partitions_at(url)


@pytest.mark.parametrize("service_days", [0, 2])
async def test_the_service_may_keep_for_ever_or_less_than_all_collections(url: str, service_days: int) -> None:
    async with desk_at(url, DAY) as desk:
        await make(desk, DAY, [DEFAULT, SHORT])
    async with desk_at(url, DAY + timedelta(days=5)) as desk:
        await purge(desk, {SHORT: 3}, service_days=service_days)
        assert await kept(desk) == ({} if service_days else {DEFAULT: 3})
        assert (name_of(DAY) in partitions_at(url)) == (not service_days)


async def test_a_partition_that_stays_is_walked_once_for_each(url: str) -> None:
    own = {number: Own(days, 0) for number, days in OWN.items()}
    async with desk_at(url, DAY) as desk:
        await make(desk, DAY, [DEFAULT, SHORT, LONG])
    seen: set[tuple[str, int]] = set()
    for after in (2, 3, 5, 6, 10, 11):
        async with desk_at(url, DAY + timedelta(days=after)) as desk:
            for walk in (await find_overdue(desk.engine, SERVICE_DAYS, own)).walks:
                walked = {(walk.partition.name, number) for number in walk.advances}
                assert walked
                assert not walked & seen
                seen |= walked
            await purge(desk, OWN)
            assert (await find_overdue(desk.engine, SERVICE_DAYS, own)).walks == ()
    assert {(name_of(DAY), number) for number in (SHORT, LONG, 0)} <= seen


async def test_nothing_is_written_down_while_all_keep_to_the_service(url: str) -> None:
    async with desk_at(url, DAY) as desk:
        await make(desk, DAY, [DEFAULT, SHORT])
    async with desk_at(url, DAY + timedelta(days=5)) as desk:
        await purge(desk, {})
        assert await kept(desk) == {}
        assert await desk.count("retention_progress") == 0


@pytest.mark.parametrize("page", [1, 2])
async def test_many_that_were_cancelled_at_one_moment_and_stay_hold_nobody_up(
    url: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timer_db.operations.retention.PAGE", page)
    async with desk_at(url, DAY) as desk:
        for number in (LONG, DEFAULT, LONG, DEFAULT):
            await make(desk, DAY, [number])
            await desk.write("DELETE FROM timer_names")
        await desk.write("UPDATE endings SET ended_at_us = 1 WHERE state = 'cancelled'")
    async with desk_at(url, DAY + timedelta(days=6)) as desk:
        await asyncio.wait_for(purge(desk, {LONG: 0}), 60)
        assert await kept(desk) == {LONG: 6}


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_chosen_and_changed_each_day_nothing_goes_early_and_nothing_stays(
    url: str, seed: int
) -> None:
    """Against a model: what was due to go at any look, by what was chosen then, is gone."""
    dice = random.Random(seed)
    own: dict[int, int] = {}
    alive: dict[UUID, tuple[int, bool, date]] = {}
    for after in range(25):
        day = DAY + timedelta(days=after)
        async with desk_at(url, day) as desk:
            if after < 18:
                made = await make(desk, day, [number for number in (1, 2, 3) if dice.random() < 0.7])
                alive |= {timer: (*what, day) for timer, what in made.items()}
        for number in (2, 3):
            if dice.random() < 0.3:
                own.pop(number, None)
                if dice.random() < 0.7:
                    own[number] = dice.choice([0, 1, 2, 6, 9])
        if dice.random() < 0.2:
            continue  # nobody looks that day
        async with engine_at(url, day, "13:00") as engine:
            desk = Desk(type(desk.shards)([engine]))
            await purge(desk, own)
            for timer, (number, was_cancelled, ended) in list(alive.items()):
                days = own.get(number, SERVICE_DAYS)
                age = (day - ended).days
                if days and age >= days + (not was_cancelled):
                    del alive[timer]
            found = {UUID(bytes=row[0]) for row in await desk.rows("SELECT id FROM timers")}
            assert found == set(alive), (after, own)
            await kept(desk)

"""Retention's passes, broken off, held up, paused, side by side and among others: no timer outlives its end."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from uuid import UUID

import pymysql
import pytest

from tests.db.days import engine_at, micros
from tests.db.desk import in_state, new_timer
from tests.db.forgetting import (
    DAY,
    KEPT_DAYS,
    LATER,
    Day,
    assert_only_living,
    assert_whole,
    desk_at,
    finished_at,
    partitions_at,
    purge,
)
from tests.db.proxy import Proxy, When
from timer_controller.retention import LOOK_SECONDS, PAUSES_BEHIND, Retention
from timer_db.domain.errors import DatabaseUnavailable, NotCancellable
from timer_db.domain.states import TimerState
from timer_db.engine import parse_url
from timer_db.operations import partitions
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import list_timers
from timer_db.operations.partitions import name_of
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.statements.literals import delete_from


async def test_a_pass_that_ends_at_any_step_leaves_every_timer_whole(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As controllers do that are killed; each time another one begins anew."""
    monkeypatch.setattr("timer_db.operations.retention.PAGE", 3)
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk, each=3)
    async with desk_at(url, LATER) as desk:
        for steps in range(1, 100):
            retention = Retention(desk.engine, days=KEPT_DAYS, monotonic=lambda: 0.0)
            delays = [await retention.run_once() for _ in range(steps)]
            await assert_whole(desk)
            if LOOK_SECONDS in delays:
                break
        assert steps > 5
        await assert_only_living(desk, day)


@pytest.mark.parametrize("when", [When.before, When.after])
@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT id, name, labels",
        delete_from("timers").encode(),
        b"DELETE e FROM endings",
        b"ALTER TABLE attempts DROP",
        b"DELETE FROM controllers",
        b"COMMIT",
    ],
    ids=["names", "timers", "endings", "drop", "controllers", "commit"],
)
async def test_a_connection_lost_at_any_statement(url: str, statement: bytes, when: When) -> None:
    """The next pass does what is left."""
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    behind = b"FROM timers" if statement == b"COMMIT" else b""
    async with Proxy(url) as proxy, engine_at(proxy.url, LATER) as far, desk_at(url, LATER) as near:
        proxy.cut(when, at=statement, behind=behind)
        with pytest.raises(DatabaseUnavailable):
            await purge(far)
        assert proxy.was_cut.is_set()
        await assert_whole(near)
        async with asyncio.timeout(10):
            while await near.count("endings") or name_of(DAY) in partitions_at(url):
                await purge(far)
                await assert_whole(near)
        await assert_only_living(near, day)


async def test_a_long_read_of_the_log_puts_off_the_drop_alone(url: str) -> None:
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    parts = parse_url(url)
    reader = pymysql.connect(
        host=parts.host, port=parts.port or 3306, user=parts.username, password=str(parts.password),
        database=parts.database,
    )  # fmt: skip
    async with desk_at(url, LATER) as desk:
        await partitions.keep(desk.engine)
        with reader, reader.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            cursor.execute("SELECT COUNT(*) FROM attempts")
            async with asyncio.timeout(20):
                await purge(desk.engine)
            assert await desk.count("timers") == len(day.living)
            assert name_of(DAY) in partitions_at(url)
        await purge(desk.engine)
        await assert_only_living(desk, day)


async def test_one_at_a_time(url: str) -> None:
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    async with desk_at(url, LATER) as desk, desk_at(url, LATER) as other:
        async with other.engine.connect() as connection:
            await connection.exec_driver_sql(
                "SELECT GET_LOCK(CONCAT('timer_db.retention.', LEFT(SHA2(DATABASE(), 256), 32)), 0)"
            )
            await purge(desk.engine)
            await connection.invalidate()
        assert await desk.count("timers") == len(day.ended) + len(day.living)
        await asyncio.gather(*(purge(each.engine) for each in (desk, other)))
        await purge(desk.engine)
        await assert_only_living(desk, day)


async def test_each_step_is_followed_by_a_pause_as_long_and_a_longer_one_in_a_backlog(url: str) -> None:
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += 0.25
        return now

    async with desk_at(url, DAY) as desk:
        await Day().make(desk)
    is_behind = False
    async with desk_at(url, LATER) as desk:
        retention = Retention(desk.engine, days=KEPT_DAYS, is_behind=lambda: is_behind, monotonic=monotonic)
        assert await retention.run_once() == 0.25
        is_behind = True
        assert await retention.run_once() == PAUSES_BEHIND * 0.25
        assert await retention.run_once() > LOOK_SECONDS - 10


async def test_a_pass_among_everybody_else(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, cancels, claims, outcomes, and creates that take over the names of what is being deleted."""
    monkeypatch.setattr("timer_db.operations.retention.PAGE", 20)
    day = Day()
    names = [f"{state} {n}" for state in ("delivered", "failed", "cancelled") for n in range(20)]
    async with desk_at(url, DAY) as desk:
        await day.make(desk, each=20)
    dice = random.Random(5)
    made: list[UUID] = []
    async with desk_at(url, LATER) as desk:

        async def create() -> None:
            dice.shuffle(names)
            for name in names:
                [result] = await schedule(desk.shards, [new_timer(micros(LATER), name=name, meta="new")])
                assert isinstance(result, Scheduled)
                assert result.created
                made.append(result.timer.id)
                if dice.random() < 0.5:
                    with suppress(NotCancellable):
                        await cancel(desk.shards, result.timer.id)

        async def deliver() -> None:
            controller = await desk.join()
            for number in range(1, 20):
                claims = await desk.take(controller, number, limit=3)
                outcomes = [finished_at(claim, micros(LATER), TimerState.delivered) for claim in claims]
                await desk.finish(controller, outcomes, {number})

        async def read() -> None:
            for state in [None, *TimerState] * 5:
                cursor = None
                while True:
                    page = await list_timers(desk.shards, in_state(state), limit=30, cursor=cursor)
                    cursor = page.next_cursor
                    if cursor is None:
                        break

        async with asyncio.TaskGroup() as group:
            for work in (create(), deliver(), read(), purge(desk.engine)):
                group.create_task(work)
        await purge(desk.engine)
        await assert_whole(desk)
        kept = {UUID(bytes=row[0]) for row in await desk.rows("SELECT id FROM timers")}
        assert kept == {*made, *day.living}
        holders = await desk.rows("SELECT name, timer_id FROM timer_names")
        assert {name for name, _ in holders} >= set(names)
        assert {UUID(bytes=timer_id) for _, timer_id in holders} <= kept

"""What ended long ago is forgotten whole; what lives stays; and at no moment does a timer outlive its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

import pymysql
import pytest

from tests.db import scratch
from tests.db.days import engine_at, micros
from tests.db.desk import SECOND_US, Desk, finished, in_state, new_timer
from tests.db.proxy import Proxy, When
from timer_controller.retention import LOOK_SECONDS, PAUSES_BEHIND, Retention
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.errors import DatabaseUnavailable, NotCancellable, TimerNotFound
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Engine, Pool, open_engine, parse_url
from timer_db.operations import membership, partitions
from timer_db.operations.cancel import cancel
from timer_db.operations.inspect import list_attempts, list_timers
from timer_db.operations.partitions import name_of
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.schema import upgrade
from timer_db.shards import Shards
from timer_db.statements import queue
from timer_db.statements.literals import delete_from

DAY = date(2027, 1, 15)
KEPT_DAYS = 7
FIRST_US = micros(DAY, "09:00")
LATER = DAY + timedelta(days=KEPT_DAYS + 1)
"""The first moment of it is the one at which the day's partition may go."""


@pytest.fixture(scope="module")
def database(server: EmbeddedServer) -> Iterator[str]:
    """A database of this file's own, since it makes and drops partitions."""
    with scratch.scratch_database(server.url) as made:
        asyncio.run(_upgrade(made))
        yield made


async def _upgrade(url: str) -> None:
    engine = open_engine(parse_url(url), Pool(size=1))
    await upgrade(engine)
    await engine.dispose()


@pytest.fixture
def url(database: str) -> str:
    """As the migrations leave it."""
    tables = "timers, due_queue, deferred_queue, claim_batches, attempts, endings, controllers, timer_names"
    scratch.run(
        database,
        *(f"DELETE FROM {table}" for table in tables.split(", ")),
        "ALTER TABLE attempts PARTITION BY RANGE (finished_at_us) (PARTITION p_future VALUES LESS THAN MAXVALUE)",
    )
    return database


@asynccontextmanager
async def desk_at(url: str, day: date, clock: str = "12:00") -> AsyncIterator[Desk]:
    """One database at that moment."""
    async with engine_at(url, day, clock) as engine:
        yield Desk(Shards([engine]))


async def purge(engine: Engine, days: int = KEPT_DAYS) -> None:
    """A look and all its steps, as a controller makes them."""
    retention = Retention(engine, days=days, monotonic=lambda: 0.0)
    while await retention.run_once() != LOOK_SECONDS:
        pass


def _at(claim: Claim, at_us: int, state: TimerState) -> Finished:
    outcome = Outcome.delivered if state is TimerState.delivered else Outcome.unknown
    retry_at_us = at_us + SECOND_US if state is TimerState.scheduled else None
    return finished(claim, state, outcome, finished_at_us=at_us, retry_at_us=retry_at_us)


@dataclass
class Day:
    """Timers of one day: each end there is, with a name and without, and each way to be alive."""

    ended: list[UUID] = field(default_factory=list)
    living: list[UUID] = field(default_factory=list)

    async def make(self, desk: Desk, each: int = 1) -> None:
        """At the desk's day. `each` is how many of a kind."""
        await partitions.keep(desk.engine)
        controller = await desk.join()
        states = [TimerState.delivered, TimerState.failed, TimerState.unknown, TimerState.cancelled]
        for state in states:
            for name in (None, f"{state}"):
                for n in range(each):
                    self.ended.append(await self._end(desk, controller, state, name and f"{name} {n}"))
        names = (None, "waits", "is tried again", "is called")
        self.living += [await self._add(desk, name) for name in names]
        *_, retried, firing = self.living
        [claim] = await self._claim(desk, controller, retried)
        await desk.finish(controller, [_at(claim, FIRST_US, TimerState.scheduled)], {claim.batch})
        await self._claim(desk, controller, firing)
        await desk.write(f"UPDATE claim_batches SET claimed_at_us = {micros(LATER + timedelta(days=90))}")

    async def _end(self, desk: Desk, controller: int, state: TimerState, name: str | None) -> UUID:
        timer_id = await self._add(desk, name)
        if state is TimerState.cancelled:
            await cancel(desk.shards, timer_id)
        else:
            [claim] = await self._claim(desk, controller, timer_id)
            await desk.finish(controller, [_at(claim, FIRST_US, state)], {claim.batch})
        return timer_id

    async def _add(self, desk: Desk, name: str | None) -> UUID:
        [made] = await desk.add(new_timer(FIRST_US, name=name))
        return made.id

    async def _claim(self, desk: Desk, controller: int, timer_id: UUID) -> list[Claim]:
        """This one, and leave the others in the queue."""
        entry = entry_of(timer_id, 0, FIRST_US)
        others = [other for other in await desk.queued() if other != entry]
        if others:
            await desk.write("DELETE FROM due_queue")
            await desk.write(queue.put([entry]))
        self._number = getattr(self, "_number", 0) + 1
        claims = await desk.take(controller, self._number)
        if others:
            await desk.write(queue.put(others))
        return claims


async def _assert_whole(desk: Desk) -> None:
    """No timer lost its end before it went itself: it would look as if it were being called."""
    [(orphans,)] = await desk.rows(
        "SELECT COUNT(*) FROM timers t"
        " LEFT JOIN attempts a ON a.timer_id = t.id AND a.attempt = t.attempts_made + 1"
        " LEFT JOIN due_queue q ON q.due_key = CONCAT(UNHEX(LPAD(HEX(t.next_at_us), 16, '0')), t.id)"
        " LEFT JOIN claim_batches b ON LOCATE(t.id, b.entries)"
        " WHERE a.state IS NULL AND t.cancelled_at_us IS NULL AND q.due_key IS NULL AND b.number IS NULL"
    )
    assert orphans == 0
    [(dangling,)] = await desk.rows(
        "SELECT (SELECT COUNT(*) FROM timer_names n LEFT JOIN timers t ON t.id = n.timer_id WHERE t.id IS NULL)"
        " + (SELECT COUNT(*) FROM endings e LEFT JOIN timers t ON t.id = e.timer_id WHERE t.id IS NULL)"
    )
    assert dangling == 0


async def _assert_only_living(desk: Desk, day: Day) -> None:
    await _assert_whole(desk)
    assert {UUID(bytes=row[0]) for row in await desk.rows("SELECT id FROM timers")} == set(day.living)
    states = [await desk.state(timer_id) for timer_id in day.living]
    assert states == [TimerState.scheduled] * 3 + [TimerState.firing]
    assert await desk.count("endings") == 0
    names = await desk.rows("SELECT name FROM timer_names ORDER BY name")
    assert [name for (name,) in names] == ["is called", "is tried again", "waits"]
    assert await desk.count("attempts") == 0


def _partitions(url: str) -> set[str]:
    rows = scratch.run(
        url,
        "SELECT PARTITION_NAME FROM information_schema.PARTITIONS"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'attempts'",
    )
    return {str(row[0]) for row in rows}


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
        assert name_of(DAY) not in _partitions(url)
        # Those of the last week stay, and those of the next days are there.
        assert name_of(DAY + timedelta(days=1)) in _partitions(url)
        assert name_of(LATER + timedelta(days=partitions.DAYS_AHEAD)) in _partitions(url)
        await _assert_only_living(desk, day)


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
        assert name_of(DAY) in _partitions(url)


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
            await _assert_whole(desk)
            if LOOK_SECONDS in delays:
                break
        assert steps > 5
        await _assert_only_living(desk, day)


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
        await _assert_whole(near)
        async with asyncio.timeout(10):
            while await near.count("endings") or name_of(DAY) in _partitions(url):
                await purge(far)
                await _assert_whole(near)
        await _assert_only_living(near, day)


async def test_a_name_that_went_on_stays_with_its_new_timer(url: str) -> None:
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        [old] = await desk.add(new_timer(FIRST_US, name="n"))
        controller = await desk.join()
        [claim] = await desk.take(controller)
        await desk.finish(controller, [_at(claim, FIRST_US, TimerState.delivered)], {1})
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
        await desk.finish(controller, [_at(claim, FIRST_US, state) for claim in claims], {1})
        await desk.write("UPDATE timers SET attempts_made = attempts_made + 1")
        await desk.write("DELETE FROM endings")
        await desk.write(queue.put(claim.entry for claim in claims))
    async with desk_at(url, LATER) as desk:
        controller = await desk.join()
        [claim] = await desk.take(controller, limit=1)
        await desk.finish(controller, [_at(claim, micros(LATER), state)], {1})
        await purge(desk.engine)
        assert [await desk.state(timer.id) for timer in timers] == [state, TimerState.scheduled]
        assert await desk.count("timer_names") == 2
        assert await desk.count("endings") == (state is TimerState.failed)
        assert name_of(DAY) not in _partitions(url)


async def test_an_outcome_that_waited_for_days_is_waited_for(url: str) -> None:
    """The database was away, and a controller kept what it had to say about that day in its memory."""
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        timers = await desk.add(*(new_timer(FIRST_US + n) for n in range(2)))
        controller = await desk.join()
        claims = await desk.take(controller)
        await desk.finish(controller, [_at(claims[0], FIRST_US, TimerState.delivered)])
    async with desk_at(url, LATER) as desk:
        await purge(desk.engine)
        assert [await desk.state(timer.id) for timer in timers] == [TimerState.delivered, TimerState.firing]
        await desk.finish(controller, [_at(claims[1], FIRST_US, TimerState.delivered)], {1})
        assert await desk.state(timers[1].id) is TimerState.delivered
        await purge(desk.engine)
        assert await desk.count("timers") == await desk.count("attempts") == 0


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
            assert name_of(DAY) in _partitions(url)
        await purge(desk.engine)
        await _assert_only_living(desk, day)


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
        await _assert_only_living(desk, day)


async def test_controllers_that_are_long_gone_are_forgotten(url: str) -> None:
    async with desk_at(url, DAY) as desk:
        await partitions.keep(desk.engine)
        gone, holding, alive = [await desk.join() for _ in range(3)]
        await desk.add(new_timer(micros(LATER)), new_timer(micros(LATER) + 1))
        claims = await desk.take(gone, limit=1)
        await desk.finish(gone, [_at(claims[0], micros(LATER), TimerState.delivered)], {1})
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


async def test_a_database_restored_after_weeks(url: str) -> None:
    """What ended is forgotten, what waits is called, and new attempts have their partition."""
    day = Day()
    async with desk_at(url, DAY) as desk:
        await day.make(desk)
    weeks_later = DAY + timedelta(weeks=6)
    async with desk_at(url, weeks_later) as desk:
        await purge(desk.engine)
        await _assert_only_living(desk, day)
        controller = await desk.join()
        claims = await desk.take(controller)
        await desk.finish(controller, [_at(c, micros(weeks_later), TimerState.delivered) for c in claims], {1})
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
        await _assert_only_living(desk, day)


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
                outcomes = [_at(claim, micros(LATER), TimerState.delivered) for claim in claims]
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
        await _assert_whole(desk)
        kept = {UUID(bytes=row[0]) for row in await desk.rows("SELECT id FROM timers")}
        assert kept == {*made, *day.living}
        holders = await desk.rows("SELECT name, timer_id FROM timer_names")
        assert {name for name, _ in holders} >= set(names)
        assert {UUID(bytes=timer_id) for _, timer_id in holders} <= kept

"""Group commit: who shares a transaction, and what a failure does to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.db.wire import count_commits
from timer_api.intake import Intake, IntakeLimits, LineFull, Store
from timer_db.domain.errors import Away, DatabaseUnavailable, NameTaken
from timer_db.domain.ids import new_id
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.engine import Pool, open_shards
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.shards import Shards

Line = Intake[NewTimer, Scheduled]
Write = Store[NewTimer, Scheduled]


def new_timer(name: str | None = None, **fields: object) -> NewTimer:
    now_us = time.time_ns() // 1000
    made = {"id": new_id(now_us), "due_at_us": now_us, "created_at_us": now_us, "url": "https://example.com/"}
    return NewTimer(name=name, **{**made, **fields})  # type: ignore[arg-type]


def stored(timer: NewTimer) -> Scheduled:
    shown = Timer(
        id=timer.id,
        due_at_us=timer.due_at_us,
        created_at_us=timer.created_at_us,
        url=timer.url,
        name=timer.name,
        state=TimerState.scheduled,
    )
    return Scheduled(shown, created=True)


class Database:
    """Stands in for `schedule`: keeps the batches, and lets each go when told to."""

    def __init__(self, *, open_at_once: bool = False) -> None:
        self.batches: list[list[NewTimer]] = []
        self.begun = asyncio.Semaphore(0)
        self.gate = asyncio.Semaphore(1_000_000 if open_at_once else 0)
        self.failures: list[Exception] = []
        self.poison: set[str] = set()

    async def schedule(self, timers: Sequence[NewTimer]) -> list[Scheduled | NameTaken]:
        self.batches.append(list(timers))
        self.begun.release()
        await self.gate.acquire()
        if self.failures:
            raise self.failures.pop(0)
        if any(timer.name in self.poison for timer in timers):
            raise RuntimeError("poison")
        return [stored(timer) for timer in timers]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


@asynccontextmanager
async def intake(write: Write, **limits: int) -> AsyncIterator[Line]:
    line = Intake(write, IntakeLimits(**{"writers": 1, **limits}))
    line.start()
    yield line
    await line.stop(10)


def put_all(line: Line, timers: Sequence[NewTimer]) -> list[asyncio.Task[Scheduled]]:
    return [asyncio.create_task(line.put(timer, 100)) for timer in timers]


async def settled() -> None:
    """Every task that could go on without the database has done so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lone_create_waits_for_nobody() -> None:
    database = Database(open_at_once=True)
    async with intake(database.schedule) as line:
        timer = new_timer()
        assert await line.put(timer, 100) == stored(timer)
    assert database.sizes == [1]


async def test_what_comes_during_a_commit_shares_the_next_one() -> None:
    database = Database()
    async with intake(database.schedule) as line:
        first = put_all(line, [new_timer()])
        await database.begun.acquire()
        later = [new_timer() for _ in range(50)]
        answers = put_all(line, later)
        await settled()
        database.gate.release()
        database.gate.release()
        assert list(await asyncio.gather(*answers)) == [stored(timer) for timer in later]
        await asyncio.gather(*first)
    assert database.sizes == [1, 50]


async def test_a_batch_is_bounded_in_timers_and_in_bytes() -> None:
    database = Database(open_at_once=True)
    async with intake(database.schedule, batch_timers=10) as line:
        await asyncio.gather(*put_all(line, [new_timer() for _ in range(25)]))
    assert database.sizes == [10, 10, 5]
    database = Database(open_at_once=True)
    async with intake(database.schedule, batch_bytes=250) as line:
        await asyncio.gather(*put_all(line, [new_timer() for _ in range(5)]))
    assert database.sizes == [2, 2, 1]


async def test_two_writers_commit_side_by_side_when_many_wait() -> None:
    database = Database()
    async with intake(database.schedule, writers=2, crowd_timers=10) as line:
        answers = put_all(line, [new_timer()])
        await database.begun.acquire()
        answers += put_all(line, [new_timer() for _ in range(9)])
        await settled()
        assert database.sizes == [1]
        answers += put_all(line, [new_timer()])
        await database.begun.acquire()
        database.gate.release()
        database.gate.release()
        await asyncio.gather(*answers)
    assert database.sizes == [1, 10]


async def test_what_came_together_is_stored_together_and_answered_in_its_order() -> None:
    database = Database()
    async with intake(database.schedule, batch_timers=10) as line:
        first = put_all(line, [new_timer()])
        await database.begun.acquire()
        groups = [[new_timer() for _ in range(size)] for size in (6, 4, 3, 20)]
        answers = [asyncio.create_task(line.put_all(group, 100)) for group in groups]
        await settled()
        for _ in range(4):
            database.gate.release()
        assert [list(answer) for answer in await asyncio.gather(*answers)] == [
            [stored(timer) for timer in group] for group in groups
        ]
        await asyncio.gather(*first)
    # A group is never cut, however large.
    assert database.sizes == [1, 10, 3, 20]


async def test_of_a_group_one_that_cannot_be_stored_fails_alone() -> None:
    database = Database(open_at_once=True)
    database.poison = {"bad"}
    timers = [new_timer("bad" if n == 3 else f"good-{n}") for n in range(8)]
    async with intake(database.schedule) as line:
        results = await line.put_all(timers, 100)
    assert [n for n, result in enumerate(results) if isinstance(result, RuntimeError)] == [3]
    assert [result for n, result in enumerate(results) if n != 3] == [stored(t) for t in timers if t.name != "bad"]


@pytest.mark.parametrize("limits", [{"line_timers": 3}, {"line_bytes": 300}])
async def test_past_its_bound_the_line_takes_nobody_until_it_moves(limits: dict[str, int]) -> None:
    database = Database()
    async with intake(database.schedule, **limits) as line:
        answers = put_all(line, [new_timer()])
        await database.begun.acquire()
        answers += put_all(line, [new_timer() for _ in range(3)])
        await settled()
        with pytest.raises(LineFull):
            await line.put(new_timer(), 100)
        database.gate.release()
        await database.begun.acquire()
        answers += put_all(line, [new_timer()])
        database.gate.release()
        database.gate.release()
        assert len(await asyncio.gather(*answers)) == 5


async def test_a_lost_connection_is_met_by_one_repeat_of_the_same_batch() -> None:
    database = Database(open_at_once=True)
    database.failures = [DatabaseUnavailable("gone")]
    async with intake(database.schedule) as line:
        timers = [new_timer() for _ in range(3)]
        assert len(await asyncio.gather(*put_all(line, timers))) == 3
    assert database.batches == [timers, timers]


async def test_when_the_database_stays_away_nobody_is_told_that_it_worked() -> None:
    database = Database(open_at_once=True)
    database.failures = [DatabaseUnavailable("gone"), DatabaseUnavailable("gone")]
    async with intake(database.schedule) as line:
        answers = await asyncio.gather(*put_all(line, [new_timer() for _ in range(3)]), return_exceptions=True)
        assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3
        timer = new_timer()
        assert await line.put(timer, 100) == stored(timer)


async def test_one_create_that_cannot_be_stored_fails_alone() -> None:
    database = Database(open_at_once=True)
    database.poison = {"bad"}
    timers = [new_timer("bad" if n == 11 else f"good-{n}") for n in range(16)]
    async with intake(database.schedule) as line:
        answers = await asyncio.gather(*put_all(line, timers), return_exceptions=True)
    assert isinstance(answers[11], RuntimeError)
    assert [answer for n, answer in enumerate(answers) if n != 11] == [
        stored(t) for t in timers if t.name != "bad"
    ]
    # Halves of halves: twice the depth, not once per create.
    assert len(database.batches) == 9


async def test_who_goes_away_in_the_line_is_not_stored_and_holds_nobody_up() -> None:
    database = Database()
    async with intake(database.schedule) as line:
        first = put_all(line, [new_timer()])
        await database.begun.acquire()
        gone, stays = put_all(line, [new_timer("gone"), new_timer("stays")])
        await settled()
        gone.cancel()
        database.gate.release()
        await database.begun.acquire()
        database.gate.release()
        assert (await stays) is not None
        await asyncio.gather(*first)
    assert [timer.name for timer in database.batches[1]] == ["stays"]


async def test_who_goes_away_during_the_commit_leaves_the_writer_alive() -> None:
    database = Database()
    async with intake(database.schedule) as line:
        gone, stays = put_all(line, [new_timer(), new_timer()])
        await database.begun.acquire()
        gone.cancel()
        database.gate.release()
        await stays
        database.gate.release()
        await line.put(new_timer(), 100)


async def test_a_stop_stores_what_waits_and_takes_nobody_new() -> None:
    database = Database()
    async with intake(database.schedule) as line:
        answers = put_all(line, [new_timer()])
        await database.begun.acquire()
        answers += put_all(line, [new_timer() for _ in range(4)])
        await settled()
        stopping = asyncio.create_task(line.stop(10))
        await settled()
        with pytest.raises(LineFull):
            await line.put(new_timer(), 100)
        database.gate.release()
        database.gate.release()
        await stopping
        assert len(await asyncio.gather(*answers)) == 5


async def test_what_waits_is_refused_and_what_was_begun_is_not() -> None:
    """When it becomes known that the database is away."""
    database = Database()
    async with intake(database.schedule, line_timers=3) as line:
        (begun,) = put_all(line, [new_timer()])
        await database.begun.acquire()
        waiting = [*put_all(line, [new_timer() for _ in range(2)]), asyncio.create_task(put_one(line))]
        await settled()
        waiting[0].cancel()
        line.refuse(Away([0], 1))
        for answer in waiting[1:]:
            with pytest.raises(Away):
                await answer
        assert (line.waiting, begun.done()) == (0, False)
        # There is room again, and what comes later is stored.
        later = put_all(line, [new_timer() for _ in range(3)])
        for _ in range(2):
            database.gate.release()
        await asyncio.gather(begun, *later)
    assert database.sizes == [1, 3]


async def put_one(line: Line) -> Scheduled:
    (stored,) = await line.put_all([new_timer()], 100)
    if isinstance(stored, Exception):
        raise stored
    return stored


@pytest.mark.parametrize(
    ("failures", "tries", "told"),
    [
        ([Away([0], 1)], 1, Away),
        ([DatabaseUnavailable("lost"), Away([0], 1)], 2, DatabaseUnavailable),
    ],
)
async def test_that_nothing_was_begun_is_told_only_of_the_first_try(
    failures: list[Exception], tries: int, told: type[Exception]
) -> None:
    database = Database(open_at_once=True)
    database.failures = failures
    async with intake(database.schedule) as line:
        with pytest.raises(DatabaseUnavailable) as raised:
            await line.put(new_timer(), 100)
    assert type(raised.value) is told
    assert len(database.batches) == tries


async def test_a_stop_does_not_wait_for_ever() -> None:
    database = Database()
    line = Intake(database.schedule, IntakeLimits(writers=1))
    line.start()
    (answer,) = put_all(line, [new_timer()])
    await database.begun.acquire()
    await line.stop(0.01)
    assert not answer.done()
    answer.cancel()


@pytest_asyncio.fixture
async def shards(database_url: str) -> AsyncIterator[Shards]:
    opened = open_shards([database_url], Pool(size=4))
    yield opened
    await opened.close()


async def test_many_creates_at_once_take_few_transactions(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_commits(monkeypatch)
    timers = [new_timer() for _ in range(200)]
    async with intake(lambda batch: schedule(shards, batch), writers=2) as line:
        answers = await asyncio.gather(*put_all(line, timers))
    assert [answer.timer.id for answer in answers if isinstance(answer, Scheduled)] == [t.id for t in timers]
    assert 1 <= counts["commits"] <= 20
    assert await rows(shards, timers) == 200


async def test_a_row_that_the_database_refuses_fails_alone(shards: Shards) -> None:
    timers = [new_timer(due_at_us=2**62 if n == 5 else 0) for n in range(20)]
    async with intake(lambda batch: schedule(shards, batch)) as line:
        answers = await asyncio.gather(*put_all(line, timers), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Exception)] == [5]
    assert await rows(shards, timers) == 19


async def rows(shards: Shards, timers: Sequence[NewTimer]) -> int:
    listed = ",".join(f"x'{timer.id.hex}'" for timer in timers)
    (shard,) = shards
    async with shard.engine.connect() as connection:
        counted = await connection.execute(text(f"SELECT COUNT(*) FROM timers WHERE id IN ({listed})"))
        return int(counted.scalar_one())

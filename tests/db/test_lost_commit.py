"""A connection that is lost at COMMIT proves neither outcome: whatever happened, a repeat makes it right."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from tests.db.clockwork import Clockwork, every
from tests.db.desk import NOON_US, SECOND_US, Desk, entries_of, finished, new_timer, new_timers, retried
from tests.db.proxy import CUTS, Proxy, When
from tests.system import poll
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim, Returned
from timer_db.domain.destination import key_of
from timer_db.domain.errors import DatabaseUnavailable, NameTaken, NotCancellable, NotReplayable
from timer_db.domain.marks import marks_of
from timer_db.domain.owner import BY_DEFAULT
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.engine import Pool, open_shards
from timer_db.operations.cancel import cancel
from timer_db.operations.change import change
from timer_db.operations.claim import adopt, release
from timer_db.operations.counts import by_collection, count_states
from timer_db.operations.finish import Written, finish
from timer_db.operations.membership import beat
from timer_db.operations.replay import replay
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.operations.schedules import pause_schedule

Result = TypeVar("Result")

LATER_US = NOON_US + 3600 * SECOND_US * 24 * 365 * 10
SLOW = key_of("https://slow.test:443")


@dataclass
class Line:
    """A desk whose connection may break, and one beside it that stays."""

    proxy: Proxy
    far: Desk
    near: Desk

    async def break_at(self, when: When, behind: bytes, work: Coroutine[Any, Any, object]) -> None:
        """Lose the connection at the COMMIT of the transaction in which `behind` went by."""
        self.proxy.cut(when, behind=behind)
        with pytest.raises(DatabaseUnavailable):
            await work
        assert self.proxy.was_cut.is_set()

    async def repeat(self, when: When, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it again. A first try that is `late` ends only when the second one waits for it, or is through."""
        task = asyncio.ensure_future(work)
        if when is When.late:
            await poll(lambda: self._is_stuck_or(task), 10, "the repeat to wait for the first try")
            self.proxy.release()
            await self.proxy.server_is_done.wait()
        return await task

    async def _is_stuck_or(self, task: asyncio.Future[Any]) -> bool:
        [(_, waiting)] = await self.near.rows("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        return task.done() or int(waiting) > 0

    async def rolled_back(self) -> None:
        """Until the server has noticed the loss: this waits for the locks on the queue, which skip nobody."""
        await self.near.rows("SELECT * FROM due_queue FOR UPDATE")


@pytest_asyncio.fixture
async def line(database_url: str, desk: Desk) -> AsyncIterator[Line]:
    """A breakable connection to an empty database."""
    async with Proxy(database_url) as proxy:
        far = open_shards([proxy.url], Pool(size=2))
        yield Line(proxy, Desk(far), desk)
        await far.close()


@pytest.fixture(params=CUTS, ids=lambda when: when.name)
def when(request: pytest.FixtureRequest) -> When:
    """Each way to lose a connection."""
    found: When = request.param
    return found


async def test_schedule(line: Line, when: When) -> None:
    timers = [*new_timers(20), new_timer(name="n"), new_timer(name="n", meta=1), new_timer(name="m")]
    await line.break_at(when, b"INSERT INTO timers", schedule(line.far.shards, timers))
    assert await line.near.count("timers") == (22 if when is When.after else 0)

    results = await line.repeat(when, schedule(line.far.shards, timers))

    refused = results.pop(21)
    assert isinstance(refused, NameTaken)
    assert refused.holder == timers[20].id
    del timers[21]
    assert [result.timer.id for result in results if isinstance(result, Scheduled)] == [t.id for t in timers]
    assert await line.near.queued() == entries_of(timers)
    assert await line.near.count("timers") == 22


async def test_schedule_when_the_timer_was_called_before_the_repeat(line: Line) -> None:
    timers = new_timers(3)
    await line.break_at(When.after, b"INSERT INTO timers", schedule(line.far.shards, timers))
    controller = await line.near.join()
    await line.near.deliver(controller, limit=1)
    await line.near.take(controller, 2, limit=1)
    assert len(await schedule(line.far.shards, timers)) == 3
    assert await line.near.queued() == entries_of(timers[2:])


async def test_claim(line: Line, when: When) -> None:
    timers = await line.near.add(*new_timers(5))
    controller = await line.near.join()
    await line.break_at(when, b"INSERT INTO claim_batches", line.far.claim(controller, 1))

    adopted, _ = await line.repeat(when, adopt(line.far.engine, controller, 1))

    if when is When.before:
        assert adopted == []
        await line.rolled_back()
        adopted = await line.far.claim(controller, 2)
    assert adopted == entries_of(timers)
    assert await line.near.queued() == []
    assert list((await line.near.in_hand()).values()) == [entries_of(timers)]


def _outcomes(claims: list[Claim]) -> list[Any]:
    return [
        finished(claims[0]),
        finished(claims[1], TimerState.failed, Outcome.rejected),
        finished(claims[2], TimerState.unknown, Outcome.unknown),
        retried(claims[3], NOON_US + SECOND_US, Outcome.unknown),
    ]


@pytest.mark.parametrize("is_done", [True, False], ids=["whole batch", "part of it"])
async def test_finish(line: Line, when: When, is_done: bool) -> None:
    await line.near.add(*new_timers(4 if is_done else 5))
    controller = await line.near.join()
    claims = await line.near.take(controller)
    outcomes, done = _outcomes(claims), ({1} if is_done else set())
    await line.break_at(when, b"INSERT INTO attempts", line.far.finish(controller, outcomes, done))

    assert await line.repeat(when, line.far.finish(controller, outcomes, done, is_repeat=True)) == Written()

    assert [await line.near.state(claim.timer.id) for claim in claims[:4]] == [f.state for f in outcomes]
    assert await line.near.queued() == [claims[3].entry.moved_to(NOON_US + SECOND_US)]
    assert await line.near.count("attempts") == 4
    assert await line.near.count("endings") == 2
    assert len(await line.near.in_hand()) == (0 if is_done else 1)


@pytest.mark.parametrize("destination", [None, SLOW], ids=["queue", "backlog"])
@pytest.mark.parametrize("is_done", [True, False], ids=["whole batch", "part of it"])
async def test_give_back(line: Line, when: When, is_done: bool, destination: bytes | None) -> None:
    await line.near.add(*new_timers(4))
    controller = await line.near.join()
    entries = await line.near.claim(controller)
    back = entries if is_done else entries[:3]

    def work(*, is_repeat: bool) -> Coroutine[Any, Any, Written]:
        return line.far.give_back(
            controller, 1, back, is_done=is_done, destination=destination, is_repeat=is_repeat
        )

    table = b"due_queue" if destination is None else b"deferred_queue"
    await line.break_at(when, b"INSERT INTO " + table, work(is_repeat=False))
    assert await line.repeat(when, work(is_repeat=True)) == Written()

    assert await line.near.queued() == ([] if destination else back)
    assert await line.near.deferred() == ({destination: back} if destination else {})
    assert await line.near.in_hand() == ({} if is_done else {(controller, 1): entries[3:]})


async def test_finish_and_give_back_in_one(line: Line, when: When) -> None:
    """Of a batch, some are done, some go back, and some stay in hand."""
    await line.near.add(*new_timers(9))
    controller = await line.near.join()
    claims = await line.near.take(controller)
    outcomes = _outcomes(claims)
    returned = [Returned(1, claims[4].entry), Returned(1, claims[5].entry, SLOW)]

    def work(*, is_repeat: bool) -> Coroutine[Any, Any, Written]:
        return finish(line.far.engine, controller, outcomes, returned, set(), is_repeat=is_repeat)

    await line.break_at(when, b"UPDATE claim_batches", work(is_repeat=False))
    assert await line.repeat(when, work(is_repeat=True)) == Written()

    again = claims[3].entry.moved_to(NOON_US + SECOND_US)
    assert await line.near.queued() == sorted([again, claims[4].entry])
    assert await line.near.deferred() == {SLOW: [claims[5].entry]}
    assert await line.near.count("attempts") == 4
    [left] = (await line.near.in_hand()).values()
    assert left == [claim.entry for n, claim in enumerate(claims) if n not in (4, 5)]


async def test_a_claim_from_a_backlog(line: Line, when: When) -> None:
    timers = await line.near.add(*new_timers(5))
    controller = await line.near.join()
    await line.near.defer_all(controller, 1, SLOW)
    await line.break_at(when, b"INSERT INTO claim_batches", line.far.reclaim(controller, 2, SLOW))

    adopted, _ = await line.repeat(when, adopt(line.far.engine, controller, 2))

    if when is When.before:
        assert adopted == []
        # Until the server has noticed the loss: this waits for the locks of the first try.
        await line.near.rows("SELECT * FROM deferred_queue FOR UPDATE")
        adopted = await line.far.reclaim(controller, 3, SLOW)
    assert adopted == entries_of(timers)
    assert await line.near.deferred() == {}
    assert list((await line.near.in_hand()).values()) == [entries_of(timers)]


async def test_cancel(line: Line, when: When) -> None:
    [timer] = await line.near.add(new_timer())
    await line.break_at(when, b"UPDATE timers", cancel(line.far.shards, timer.id))
    [answer] = await asyncio.gather(line.repeat(when, cancel(line.far.shards, timer.id)), return_exceptions=True)
    # Whoever repeats a cancel that happened hears that the timer is cancelled.
    if when is When.before:
        assert isinstance(answer, Timer)
    else:
        assert isinstance(answer, NotCancellable)
        assert answer.state is TimerState.cancelled
    assert await line.near.state(timer.id) is TimerState.cancelled
    assert await line.near.queued() == []
    assert await line.near.count("endings") == 1


async def test_change(line: Line, when: When) -> None:
    """With labels and another place in the queue: a repeat finds it as it was, or as it is to be."""
    [timer] = await line.near.add(new_timer(labels={"env": "test"}))

    def work() -> Coroutine[Any, Any, Timer]:
        revise = partial(replace, due_at_us=LATER_US, priority=7, labels={"env": "prod"})
        return change(line.far.shards, timer.id, revise, is_moved=True)

    await line.break_at(when, b"UPDATE timers", work())
    changed = await line.repeat(when, work())
    assert (changed.priority, changed.due_at_us, changed.labels) == (7, LATER_US, {"env": "prod"})
    assert await line.near.queued() == [entry_of(timer.id, 7, LATER_US)]
    marks = {bytes(row[0])[:8] for row in await line.near.rows("SELECT entry FROM label_index")}
    assert marks == set(marks_of({"env": "prod"}, BY_DEFAULT))


async def test_replay(line: Line, when: When) -> None:
    [timer] = await line.near.add(new_timer(name="n"))
    controller = await line.near.join()
    [claim] = await line.near.take(controller)
    await line.near.finish(controller, [finished(claim, TimerState.failed, Outcome.rejected)], {1})
    await line.break_at(when, b"UPDATE timers", replay(line.far.shards, timer.id))
    [answer] = await asyncio.gather(line.repeat(when, replay(line.far.shards, timer.id)), return_exceptions=True)
    # Whoever repeats a replay that happened hears that the timer is scheduled: it is not called twice for it.
    if when is When.before:
        assert isinstance(answer, Timer)
    else:
        assert isinstance(answer, NotReplayable)
        assert answer.state is TimerState.scheduled
    assert await line.near.state(timer.id) is TimerState.scheduled
    assert len(await line.near.queued()) == 1
    assert await line.near.count("endings") == 0
    states = by_collection(await count_states(line.near.shards))[1]
    assert +states == Counter({TimerState.scheduled: 1})


async def test_release(line: Line, when: When) -> None:
    await line.near.add(*new_timers(5))
    controller = await line.near.join()
    await line.near.claim(controller, 1, plan=lambda entries, _: (entries, 4))
    await line.break_at(when, b"UPDATE claim_batches", release(line.far.engine, controller, {1: 2}))
    await line.repeat(when, release(line.far.engine, controller, {1: 2}))
    assert await line.near.unsent(controller) == {1: 2}


async def test_beat(line: Line, when: When) -> None:
    controller = await line.near.join()
    await line.break_at(when, b"UPDATE controllers", beat(line.far.engine, controller, DatabaseClock()))
    await line.repeat(when, beat(line.far.engine, controller, DatabaseClock()))


async def test_a_broken_connection_is_not_used_again(line: Line) -> None:
    """The pool keeps two; both break while idle, and the next work after one failure gets a new one."""
    await asyncio.gather(*(line.far.count("timers") for _ in range(2)))
    line.proxy.cut_all()
    failures = 0
    while True:
        try:
            await line.far.count("timers")
            break
        except DatabaseUnavailable:
            failures += 1
            assert failures <= 2
    await asyncio.gather(*(line.far.count("timers") for _ in range(2)))


async def test_planning(line: Line, when: When) -> None:
    """A planner that gets no answer looks again: every run is there once, and the schedule is behind the last."""
    near, far = Clockwork(line.near), Clockwork(line.far)
    await near.put(settings=every(5 * SECOND_US))
    await line.break_at(when, b"INSERT INTO timers", far.plan())
    assert await line.near.count("timers") == (6 if when is When.after else 0)
    if when is When.late:
        # What is locked is passed by; the first try is through before the second look.
        assert (await far.plan()).runs == 0
        line.proxy.release()
        await line.proxy.server_is_done.wait()
    elif when is When.before:
        await line.near.rows("SELECT * FROM schedules FOR UPDATE")
    await far.plan()
    runs = await near.runs()
    assert set((await near.moments()).values()) == {1}
    assert (await near.get()).next_run_at_us == runs[-1].due_at_us + 5 * SECOND_US


async def test_a_schedule_is_put(line: Line, when: When) -> None:
    far = Clockwork(line.far)
    await line.break_at(when, b"INSERT INTO schedules", far.put())
    again = await line.repeat(when, far.put())
    assert again == await Clockwork(line.near).get()
    assert await line.near.count("schedules") == 1


async def test_a_schedule_is_paused(line: Line, when: When) -> None:
    near = Clockwork(line.near)
    await near.put(settings=every(5 * SECOND_US))
    await near.plan_all()
    first = (await near.runs())[0].due_at_us
    await line.break_at(when, b"UPDATE schedules", pause_schedule(line.far.shards, "s"))
    paused = await line.repeat(when, pause_schedule(line.far.shards, "s"))
    assert (paused.is_paused, paused.next_run_at_us) == (True, first)
    assert await line.near.queued() == []

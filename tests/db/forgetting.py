"""What tests of retention have in common: a day of timers, a purge, and looks at what is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

from tests.db import scratch
from tests.db.days import engine_at, micros
from tests.db.desk import SECOND_US, Desk, finished, new_timer
from timer_controller.retention import LOOK_SECONDS, Retention
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.engine import Engine
from timer_db.operations import partitions
from timer_db.operations.cancel import cancel
from timer_db.shards import Shards
from timer_db.statements import queue

DAY = date(2027, 1, 15)
KEPT_DAYS = 7
FIRST_US = micros(DAY, "09:00")
LATER = DAY + timedelta(days=KEPT_DAYS + 1)
"""The first moment of it is the one at which the day's partition may go."""


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


def finished_at(claim: Claim, at_us: int, state: TimerState) -> Finished:
    """An attempt that ended then, and left its timer so."""
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
        await desk.finish(controller, [finished_at(claim, FIRST_US, TimerState.scheduled)], {claim.batch})
        await self._claim(desk, controller, firing)
        await desk.write(f"UPDATE claim_batches SET claimed_at_us = {micros(LATER + timedelta(days=90))}")

    async def _end(self, desk: Desk, controller: int, state: TimerState, name: str | None) -> UUID:
        timer_id = await self._add(desk, name)
        if state is TimerState.cancelled:
            await cancel(desk.shards, timer_id)
        else:
            [claim] = await self._claim(desk, controller, timer_id)
            await desk.finish(controller, [finished_at(claim, FIRST_US, state)], {claim.batch})
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


async def assert_whole(desk: Desk) -> None:
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


async def assert_only_living(desk: Desk, day: Day) -> None:
    """What ended that day is gone with all that belongs to it, and nothing else is."""
    await assert_whole(desk)
    assert {UUID(bytes=row[0]) for row in await desk.rows("SELECT id FROM timers")} == set(day.living)
    states = [await desk.state(timer_id) for timer_id in day.living]
    assert states == [TimerState.scheduled] * 3 + [TimerState.firing]
    assert await desk.count("endings") == 0
    names = await desk.rows("SELECT name FROM timer_names ORDER BY name")
    assert [name for (name,) in names] == ["is called", "is tried again", "waits"]
    assert await desk.count("attempts") == 0


def partitions_at(url: str) -> set[str]:
    """Names of the log's partitions."""
    rows = scratch.run(
        url,
        "SELECT PARTITION_NAME FROM information_schema.PARTITIONS"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'attempts'",
    )
    return {str(row[0]) for row in rows}

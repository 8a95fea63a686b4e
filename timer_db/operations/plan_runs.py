"""Make the runs of schedules, a little before their time: what a planner of a controller does.

A run is made, and its schedule goes on to the next one, in one transaction. So it is made once, whoever tries, and
whatever is lost on the way: a planner that gets no answer looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from timer_db import transactions
from timer_db.domain.asked_timer import timer_of
from timer_db.domain.directory import Directory
from timer_db.domain.ids import new_ids
from timer_db.domain.owner import Owner
from timer_db.domain.schedule_settings import StoredSchedule
from timer_db.domain.schedule_times import Overlap, plan
from timer_db.domain.timer import NewTimer
from timer_db.encryption import Keyring
from timer_db.operations.schedule import inserts
from timer_db.operations.schedule_rows import schedule_of
from timer_db.shards import Shard
from timer_db.statements import controllers
from timer_db.statements import schedules as statements
from timer_db.statements.schedules import Planned
from timer_db.transactions import Connection

PAGE = 100
"""Schedules of one transaction."""
RUNS_MAX = 500
"""Runs of one transaction."""
RUNS_EACH_MAX = 100
"""Those of one schedule: others have their turn too while one catches up."""
BYTES_MAX = 4 * 1024 * 1024
"""Of what the runs of one transaction are like; in hexadecimal it fits MariaDB's max_allowed_packet of 16 MiB."""
_BROKEN = (AttributeError, KeyError, TypeError, ValueError)
"""What one schedule may raise, of whatever version it is: it must not keep the others from running."""
_SLICE = 5
"""Schedules that are looked at before others have a turn: half a millisecond."""


class Place(NamedTuple):
    """A schedule's place in the order in which they are looked at."""

    next_run_at_us: int
    schedule_id: int


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a planner looks, from the present."""

    ahead_us: int
    """Runs are made so long before their time."""
    missed_after_us: int
    """A run that is late by more was missed."""
    made_in_time: bool = False
    """Runs of the past stand in the queue as if they had been made at their time, and not now."""


@dataclass(slots=True)
class Page:
    """What came of one look."""

    runs: int = 0
    behind: Place | None = None
    """Where to go on; None: this was all."""
    is_unfinished: bool = False
    """Whether schedules that were looked at have more runs to make now."""
    wake_after_us: int | None = None
    """Until the time comes of a run that waits for the one before."""
    faults: dict[str, str] = field(default_factory=dict)
    """Schedules that cannot be planned, by name, and why."""


async def plan_page(
    shard: Shard, directory: Directory, horizon: Horizon, *, late: bool, behind: Place | None = None
) -> Page:
    """Make the runs that are due within the horizon, of at most `PAGE` schedules that nobody else is planning.

    With `late`, of the schedules that missed a run, else of the others; from behind a place, in the order of their
    next runs. May be repeated, also after DatabaseUnavailable.
    """

    async def work(connection: Connection) -> Page:
        now_us = int(await connection.value(controllers.NOW))
        ahead_us, missed_us = now_us + horizon.ahead_us, now_us - horizon.missed_after_us
        from_us, until_us = (0, missed_us - 1) if late else (missed_us, ahead_us)
        start = max(Place(from_us, 0), behind or Place(0, 0))
        found = await connection.rows(statements.upcoming(*start, until_us, PAGE))
        if not found:
            return Page()
        places = _as_many_as_fit(found)
        sizes = {schedule_id: size_bytes for schedule_id, _, size_bytes in found}
        page = Page(behind=places[-1] if len(places) < len(found) or len(found) == PAGE else None)
        rows = await connection.rows(statements.lock([place.schedule_id for place in places], ahead_us))
        schedules = _read(rows, shard.keyring, page)
        planner = _Planner(page, directory, horizon, shard.number, now_us, await _busy(connection, schedules))
        for number, schedule in enumerate(sorted(schedules, key=_place_of)):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if not planner.look_at(schedule, sizes[schedule.id]):
                place = _place_of(schedule)
                page.behind = place._replace(schedule_id=place.schedule_id - 1)
                break
        await planner.write(connection, shard.keyring)
        return page

    return await transactions.run(shard.engine, work)


def _place_of(schedule: StoredSchedule) -> Place:
    return Place(schedule.next_run_at_us or 0, schedule.id)


def _as_many_as_fit(found: Sequence[tuple[Any, ...]]) -> list[Place]:
    places: list[Place] = []
    total_bytes = 0
    for schedule_id, next_us, size_bytes in found:
        total_bytes += size_bytes
        if places and total_bytes > BYTES_MAX:
            break
        places.append(Place(next_us, schedule_id))
    return places


def _read(rows: Sequence[tuple[Any, ...]], keyring: Keyring, page: Page) -> list[StoredSchedule]:
    schedules: list[StoredSchedule] = []
    for row in rows:
        try:
            schedules.append(schedule_of(row, keyring))
        except _BROKEN as error:
            page.faults[row[1]] = f"what is stored of it cannot be read: {error!r}"
    return schedules


async def _busy(connection: Connection, schedules: Sequence[StoredSchedule]) -> set[bytes]:
    """The last runs that have not ended, of the schedules to which that matters."""
    last = [
        schedule.last_timer_id.bytes
        for schedule in schedules
        if schedule.settings.overlap is Overlap.skip and schedule.last_timer_id is not None
    ]
    return {bytes(row[0]) for row in await connection.rows(statements.not_ended(last))} if last else set()


class _Planner:
    """What one transaction writes, while it is gathered."""

    def __init__(
        self, page: Page, directory: Directory, horizon: Horizon, shard: int, now_us: int, busy: set[bytes]
    ) -> None:
        self._page = page
        self._directory = directory
        self._horizon = horizon
        self._now_us = now_us
        self._busy = busy
        self._ids = iter(new_ids(now_us, shard, RUNS_MAX))
        self._room_bytes = BYTES_MAX
        self._runs: list[NewTimer] = []
        self._planned: list[Planned] = []

    def look_at(self, schedule: StoredSchedule, size_bytes: int) -> bool:
        """Plan one schedule; False when there is no room for a run of it."""
        limit = min(RUNS_EACH_MAX, RUNS_MAX - len(self._runs), self._room_bytes // size_bytes)
        if limit <= 0 and self._runs:
            return False
        try:
            self._plan(schedule, size_bytes, max(1, limit))
        except _BROKEN as error:
            self._page.faults[schedule.name] = str(error)
        return True

    def _plan(self, schedule: StoredSchedule, size_bytes: int, limit: int) -> None:
        self._check(schedule)
        next_us = _place_of(schedule).next_run_at_us
        last_id = schedule.last_timer_id
        until_us = self._now_us + self._horizon.ahead_us
        found = plan(
            schedule.times,
            next_us,
            now_us=self._now_us,
            until_us=until_us,
            missed_after_us=self._horizon.missed_after_us,
            catch_up=schedule.settings.catch_up,
            overlap=schedule.settings.overlap,
            is_idle=last_id is None or last_id.bytes not in self._busy,
            limit=limit,
        )
        runs = [self._run(schedule, run_us) for run_us in found.runs]
        self._runs += runs
        self._room_bytes -= len(runs) * size_bytes
        if found.next_us == next_us:
            # It waits for the run before, at the longest until its own time.
            wake_us = next_us - self._now_us
            self._page.wake_after_us = min(wake_us, self._page.wake_after_us or wake_us)
            return
        last = (runs[-1].due_at_us, runs[-1].id.bytes) if runs else (None, b"")
        self._planned.append(Planned(schedule.id, found.next_us, *last))
        if found.next_us is not None and found.next_us <= until_us:
            self._page.is_unfinished = True

    def _check(self, schedule: StoredSchedule) -> None:
        """ValueError for one whose runs cannot be made."""
        if schedule.unreadable:
            raise ValueError(schedule.unreadable)
        owner = schedule.settings.owner
        if not self._directory.knows(owner):
            raise ValueError("its collection or its route is not known here")
        if self._directory.collections[owner.collection_id].is_deleted:
            raise ValueError("its collection was deleted")
        if owner.route_id and self._directory.routes[owner.route_id].is_deleted:
            raise ValueError("its route was deleted")

    def _run(self, schedule: StoredSchedule, run_us: int) -> NewTimer:
        settings = schedule.settings
        collection_id, route_id, _ = settings.owner
        owner = Owner(collection_id, route_id, schedule.id)
        usual = self._directory.usual_of(owner)
        made_us = min(run_us, self._now_us) if self._horizon.made_in_time else self._now_us
        return timer_of(settings.timer, next(self._ids), run_us, made_us, owner, usual)

    async def write(self, connection: Connection, keyring: Keyring) -> None:
        """Note how far each schedule is now, store the runs, and commit."""
        if self._planned:
            await connection.write(statements.advance(self._planned), count=len(self._planned))
        if self._runs:
            self._page.runs = len(self._runs)
            await connection.write_last(inserts(self._runs, keyring))

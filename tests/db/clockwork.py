"""Schedules as tests speak of them. The clock is the server's, so tests move the schedules instead."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

from tests.db.desk import SECOND_US, Desk
from timer_db.domain import marks
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.schedule_settings import ScheduleSettings, StoredSchedule
from timer_db.domain.timer import Timer
from timer_db.operations.plan_runs import Horizon, Page, plan_page
from timer_db.operations.schedules import get_schedule, put_schedule
from timer_db.shards import Shard

MINUTE_US = 60 * SECOND_US
HORIZON = Horizon(ahead_us=30 * SECOND_US, missed_after_us=5 * SECOND_US)
URL = "https://example.com/hook"


def every(period_us: int = MINUTE_US, **fields: Any) -> ScheduleSettings:
    """A schedule with this period."""
    return ScheduleSettings(
        **{"every": period_us / SECOND_US, "every_us": period_us, "timer": {"url": URL}, **fields}
    )


class Clockwork:
    """The schedules of one database."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.shard: Shard = desk.shards.home

    async def put(self, name: str = "s", settings: ScheduleSettings | None = None) -> StoredSchedule:
        """Make it, or change it."""
        return (await put_schedule(self.desk.shards, name, settings or every())).schedule

    async def get(self, name: str = "s") -> StoredSchedule:
        """As it stands."""
        return await get_schedule(self.desk.shards, name)

    async def move(self, name: str = "s", *, next_in_us: int) -> int:
        """Let its next run be that long from now, as if time had passed; gives the time of it."""
        at_us = await self.desk.now_us() + next_in_us
        await self.desk.write(f"UPDATE schedules SET next_run_at_us = {at_us} WHERE name = '{name}'")
        return at_us

    async def plan(self, *, late: bool = False, directory: Directory = ONLY_DEFAULT, **fields: Any) -> Page:
        """One look of a planner."""
        return await plan_page(self.shard, directory, HORIZON, late=late, **fields)

    async def plan_all(self, shard: Shard | None = None) -> int:
        """Looks until all is planned; gives the number of runs."""
        runs, page = 0, Page(is_unfinished=True)
        while page.is_unfinished or page.behind:
            page = await plan_page(shard or self.shard, ONLY_DEFAULT, HORIZON, late=False, behind=page.behind)
            runs += page.runs
        late = Page(runs=1)
        while late.runs or late.behind:
            late = await plan_page(shard or self.shard, ONLY_DEFAULT, HORIZON, late=True, behind=late.behind)
            runs += late.runs
        return runs

    async def runs(self, name: str = "s") -> list[Timer]:
        """Its runs in the order of their time, by the index of marks."""
        mark = marks.of_schedule((await self.get(name)).id).hex()
        rows = await self.desk.rows(
            f"SELECT SUBSTR(entry, 9) FROM label_index WHERE SUBSTR(entry, 1, 8) = x'{mark}'"
        )
        found = await asyncio.gather(*(self.desk.timer(UUID(bytes=bytes(row[0]))) for row in rows))
        return sorted(found, key=lambda timer: timer.due_at_us)

    async def moments(self) -> Counter[tuple[int, int]]:
        """How many timers there are of each schedule and moment: one of each, or something is wrong."""
        rows = await self.desk.rows("SELECT schedule_id, due_at_us FROM timers WHERE schedule_id IS NOT NULL")
        return Counter((int(schedule_id), int(due_us)) for schedule_id, due_us in rows)

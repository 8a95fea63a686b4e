"""Makes the runs of schedules a little before their time, so that they are claimed and called like all timers."""

from __future__ import annotations

import logging

from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.plan_runs import Horizon, Page, Place, plan_page
from timer_db.shards import Shard

log = logging.getLogger(__name__)

AHEAD_SECONDS = 5.0
"""Beyond two polls: one passes until the next look, one until the run is claimed. In what is left, a controller
plans 10,000 schedules that are due at one moment."""
LATE_SECONDS = 5.0
"""A run that is late by more than this and a poll was missed: a controller that was killed is replaced sooner."""


class Planner:
    """Looks once per poll. First come the schedules that are in time; of those that missed runs, a page each time,
    and the next one at once. Any number of planners share the work, each with what no other has locked."""

    def __init__(self, shard: Shard, directory: DirectoryKeeper, *, poll_seconds: float) -> None:
        self._shard = shard
        self._directory = directory
        self._poll_seconds = poll_seconds
        self._horizon = Horizon(
            ahead_us=round((2 * poll_seconds + AHEAD_SECONDS) * 1_000_000),
            missed_after_us=round((poll_seconds + LATE_SECONDS) * 1_000_000),
        )
        self._late_behind: Place | None = None
        self._faults: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()

    async def run_once(self) -> float:
        """One look; gives the seconds until the next."""
        pages = [await self._plan(late=False)]
        while pages[-1].behind is not None:
            pages.append(await self._plan(late=False, behind=pages[-1].behind))
        late = await self._plan(late=True, behind=self._late_behind)
        self._late_behind = late.behind
        pages.append(late)
        await self._note({fault for page in pages for fault in page.faults.items()})
        if late.runs or late.behind is not None or any(page.is_unfinished for page in pages):
            return 0.0
        wakes_us = [page.wake_after_us for page in pages if page.wake_after_us is not None]
        return min([self._poll_seconds, *(wake_us / 1_000_000 for wake_us in wakes_us)])

    async def _plan(self, *, late: bool, behind: Place | None = None) -> Page:
        return await plan_page(self._shard, self._directory.current, self._horizon, late=late, behind=behind)

    async def _note(self, faults: set[tuple[str, str]]) -> None:
        """Say once about each schedule why it does not run."""
        if not faults:
            return
        # What is not known here may have been made just now.
        await self._directory.refresh()
        for name, reason in sorted(faults & self._faults - self._told):
            log.error("schedule %s does not run: %s", name, reason)
        self._told |= faults & self._faults
        self._faults |= faults

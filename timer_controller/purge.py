"""One pass over everything that is older than the retention."""

from __future__ import annotations

import logging
from collections import deque

from timer_db.engine import Engine
from timer_db.operations import partitions, retention
from timer_db.operations.overdue import Cohort, Overdue, Walk

log = logging.getLogger(__name__)


class Purge:
    """Bounded steps, each a transaction. It may be left after any, and another pass does what is left to do."""

    def __init__(self, engine: Engine, overdue: Overdue) -> None:
        self._engine = engine
        self._cutoff_us = overdue.cutoff_us
        # First, since a walk that is done says that nothing so old is left of a collection.
        self._cohorts = deque(overdue.cohorts)
        self._cancelled_behind: tuple[int, bytes] | None = None
        self._walks = deque(overdue.walks)
        self._behind: tuple[bytes, int] | None = None
        self._timers = 0

    async def step(self) -> bool:
        """Whether there is more to do: not at the end, and not while another controller is at it."""
        if self._cohorts:
            return await self._forget_cancelled(self._cohorts[0])
        if self._walks:
            return await self._walk(self._walks[0])
        is_full = self._cutoff_us is not None and await self._forget_the_rest(self._cutoff_us)
        if not is_full and self._timers:
            log.info("deleted %d timers that ended before the retention", self._timers)
        return is_full

    async def _walk(self, walk: Walk) -> bool:
        page = await retention.forget_page(self._engine, walk, self._behind)
        if page is None:
            return False
        self._timers += page.timers
        self._behind = page.last
        if page.last is None:
            self._walks.popleft()
            if walk.is_last and await partitions.drop(self._engine, walk.partition.name):
                log.info("dropped partition %s of the log of attempts", walk.partition.name)
        return True

    async def _forget_cancelled(self, cohort: Cohort) -> bool:
        page = await retention.forget_cancelled(self._engine, cohort, self._cancelled_behind)
        if page is None:
            return False
        self._timers += page.timers
        self._cancelled_behind = page.last
        if page.last is None:
            self._cohorts.popleft()
        return True

    async def _forget_the_rest(self, cutoff_us: int) -> bool:
        gone = await retention.forget_controllers(self._engine, cutoff_us)
        return max(gone, await retention.forget_events(self._engine, cutoff_us)) == retention.PAGE

"""One pass over everything that is older than the retention."""

from __future__ import annotations

import logging
from collections import deque

from timer_db.engine import Engine
from timer_db.operations import partitions, retention
from timer_db.operations.retention import Overdue

log = logging.getLogger(__name__)


class Purge:
    """Bounded steps, each a transaction. It may be left after any, and another pass does what is left to do."""

    def __init__(self, engine: Engine, overdue: Overdue) -> None:
        self._engine = engine
        self._cutoff_us = overdue.cutoff_us
        self._partitions = deque(overdue.partitions)
        self._behind: tuple[bytes, int] | None = None
        self._cancelled_from_us: int | None = 0
        self._timers = 0

    async def step(self) -> bool:
        """Whether there is more to do: not at the end, and not while another controller is at it."""
        if self._partitions:
            return await self._walk()
        if self._cancelled_from_us is not None:
            return await self._forget_cancelled(self._cancelled_from_us)
        is_full = await retention.forget_controllers(self._engine, self._cutoff_us) == retention.PAGE
        if not is_full and self._timers:
            log.info("deleted %d timers that ended before the retention", self._timers)
        return is_full

    async def _walk(self) -> bool:
        partition = self._partitions[0]
        page = await retention.forget_page(self._engine, partition, self._behind)
        if page is None:
            return False
        self._timers += page.timers
        self._behind = page.last
        if page.last is None:
            self._partitions.popleft()
            if await partitions.drop(self._engine, partition.name):
                log.info("dropped partition %s of the log of attempts", partition.name)
        return True

    async def _forget_cancelled(self, from_us: int) -> bool:
        page = await retention.forget_cancelled(self._engine, from_us, self._cutoff_us)
        if page is None:
            return False
        self._timers += page.timers
        self._cancelled_from_us = page.last_us
        return True

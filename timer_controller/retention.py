"""Looks after the log of attempts, and deletes what is older than the retention, and keys of a day ago."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from timer_controller.purge import Purge
from timer_db.engine import Engine
from timer_db.operations import partitions
from timer_db.operations.idempotency import forget_keys
from timer_db.operations.overdue import Own, find_overdue

log = logging.getLogger(__name__)

LOOK_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
"""While there is no partition for today and none could be made."""
PAUSES_BEHIND = 9
"""Pauses as long as a step while timers are overdue: what is deleted can wait."""


class Retention:
    """Each hour, keeps a partition ready for each of the next days, and begins to delete what is too old.

    Between two steps of that it waits as long as the last one took: so it keeps one connection busy for half the
    time at most, and the slower the server is, the less it asks for. While timers are overdue, it waits longer.
    `own` are the collections with a retention of their own, by number; the others have `days`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        days: int,
        own: Callable[[], Mapping[int, Own]] = dict,
        is_behind: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._days = days
        self._own = own
        self._is_behind = is_behind
        self._monotonic = monotonic
        self._next_look_at = float("-inf")
        self._purge: Purge | None = None
        self._has_old_keys = False

    async def run_once(self) -> float:
        """One look or one step; gives the seconds until the next."""
        began = self._monotonic()
        if began >= self._next_look_at:
            self._next_look_at = began + await self._look()
        if await self._step():
            return (self._monotonic() - began) * (PAUSES_BEHIND if self._is_behind() else 1)
        self._purge = None
        return max(0.0, self._next_look_at - self._monotonic())

    async def _step(self) -> bool:
        """Whether there is more to do."""
        if self._has_old_keys:
            self._has_old_keys = await forget_keys(self._engine)
        if self._has_old_keys:
            return True
        return self._purge is not None and await self._purge.step()

    async def _look(self) -> float:
        """Gives the seconds until the next."""
        made = await partitions.keep(self._engine)
        if made:
            log.info("made partitions of the log of attempts: %s", ", ".join(made))
        self._has_old_keys = True
        own = self._own()
        if (self._days or own) and self._purge is None:
            self._purge = Purge(self._engine, await find_overdue(self._engine, self._days, own))
        return AGAIN_SECONDS if made is None else LOOK_SECONDS

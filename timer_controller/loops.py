"""The one way in which things repeat: a step returns the seconds until the next, and an event can wake it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from timer_db.domain.errors import DatabaseUnavailable, Fenced

log = logging.getLogger(__name__)

AWAY_SECONDS = 0.5
"""The pause after a step that did not reach the database."""
FAULT_SECONDS = 5.0
"""The pause after a step of a part that is not vital, and went wrong."""


class Outage:
    """What the loops on one database know of its absence: told by the first that misses it, and when all have it
    again."""

    def __init__(self, database: str = "the database") -> None:
        """`database` is what it is called."""
        self._database = database
        self._missing_it: set[str] = set()

    def missed(self, loop: str, error: DatabaseUnavailable) -> None:
        """A step of this loop did not reach it."""
        if not self._missing_it:
            log.warning("%s is away: %s", self._database, error, extra={"loop": loop})
        self._missing_it.add(loop)

    def reached(self, loop: str) -> None:
        """A step of this loop did."""
        if loop in self._missing_it:
            self._missing_it.remove(loop)
            if not self._missing_it:
                log.info("%s is back", self._database, extra={"loop": loop})


class Repeater:
    """Repeats `run_once` until `stop`; `wake` makes the next step come at once.

    Calls go on without a part that is not `is_vital`, so a fault of it is told, and does not end the others.
    """

    def __init__(
        self,
        name: str,
        run_once: Callable[[], Awaitable[float]],
        outage: Outage | None = None,
        *,
        is_vital: bool = True,
    ) -> None:
        self._name = name
        self._run_once = run_once
        self._is_vital = is_vital
        self._fault = ""
        self._outage = outage or Outage()
        self._wake = asyncio.Event()
        self._is_stopping = False

    def wake(self) -> None:
        """Do the next step now, or right after the one under way."""
        self._wake.set()

    def stop(self) -> None:
        """End after the step under way."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Repeat. Errors other than an absent database end it, if it is vital; Fenced always does."""
        while not self._is_stopping:
            self._wake.clear()
            delay_seconds = await self._step()
            if delay_seconds > 0 and not self._is_stopping:
                try:
                    async with asyncio.timeout(delay_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _step(self) -> float:
        try:
            delay_seconds = await self._run_once()
        except DatabaseUnavailable as error:
            self._outage.missed(self._name, error)
            return AWAY_SECONDS
        except Fenced:
            raise
        except Exception as error:
            if self._is_vital:
                raise
            self._note_fault(repr(error))
            return FAULT_SECONDS
        self._fault = ""
        self._outage.reached(self._name)
        return delay_seconds

    def _note_fault(self, fault: str) -> None:
        """Once, until it goes away or is another one."""
        if fault != self._fault:
            log.exception(
                "a fault in '%s'; it is tried again, and calls go on", self._name, extra={"loop": self._name}
            )
        self._fault = fault

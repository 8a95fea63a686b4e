"""The one way in which things repeat: a step returns the seconds until the next, and an event can wake it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from timer_db.domain.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

AWAY_SECONDS = 0.5
"""The pause after a step that did not reach the database."""


class Repeater:
    """Repeats `run_once` until `stop`; `wake` makes the next step come at once."""

    def __init__(self, name: str, run_once: Callable[[], Awaitable[float]]) -> None:
        self._name = name
        self._run_once = run_once
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._database_is_away = False

    def wake(self) -> None:
        """Do the next step now, or right after the one under way."""
        self._wake.set()

    def stop(self) -> None:
        """End after the step under way."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Repeat. Errors other than an absent database end it."""
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
            if not self._database_is_away:
                log.warning("%s: the database is away: %s", self._name, error, extra={"loop": self._name})
            self._database_is_away = True
            return AWAY_SECONDS
        if self._database_is_away:
            log.info("%s: the database is back", self._name, extra={"loop": self._name})
            self._database_is_away = False
        return delay_seconds

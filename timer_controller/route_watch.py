"""Disables routes whose calls have failed for too long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from timer_controller.breaker import in_words
from timer_controller.groups import Groups, RouteGroup
from timer_db.clock import DatabaseClock
from timer_db.domain.route import Route
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.routes import disable_route, note_successes

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
NOTES_PER_PERIOD = 10
"""So often, in the time after which a route is disabled, it is written down that a call of it has succeeded."""


class RouteWatch:
    """A controller knows how its own calls went. That one succeeded it tells the others by way of the database, as
    often as they need to know; and a route is disabled only if nobody has told that meanwhile."""

    def __init__(
        self,
        directory: DirectoryKeeper,
        groups: Groups,
        *,
        clock: DatabaseClock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._groups = groups
        self._clock = clock
        self._monotonic = monotonic

    async def run_once(self) -> float:
        """One look; gives the seconds until the next."""
        now = self._monotonic()
        succeeded: list[RouteGroup] = []
        failing: list[tuple[RouteGroup, Route]] = []
        for group in self._groups.routes():
            route = group.route
            if route is None or route.settings.disable_after_seconds is None:
                continue
            seconds = route.settings.disable_after_seconds
            if group.has_succeeded and now - group.noted_at >= _every_seconds(seconds):
                succeeded.append(group)
            if group.failing_since is not None and group.failed_at - group.failing_since >= seconds:
                failing.append((group, route))
        if succeeded:
            await self._note(succeeded, now)
        for group, route in failing:
            if not group.is_stopped:
                await self._disable(group, route, now)
        return LOOK_SECONDS

    async def _note(self, succeeded: list[RouteGroup], now: float) -> None:
        numbers = [group.route.id for group in succeeded if group.route is not None]
        await note_successes(self._directory.engine, numbers)
        for group in succeeded:
            group.has_succeeded = False
            group.noted_at = now

    async def _disable(self, group: RouteGroup, route: Route, now: float) -> None:
        seconds = route.settings.disable_after_seconds or 0
        since = in_words(now - (group.failing_since or now))
        because = f"no call has succeeded for {since}; the last one: {group.reason}"
        unless_since_us = self._clock.earliest_us() - round((seconds + _every_seconds(seconds)) * 1_000_000)
        if await disable_route(self._directory.engine, route, because, unless_since_us):
            log.warning(
                "the route %s is disabled: %s", route.name, because, extra={"route": route.name, "reason": because}
            )
            await self._directory.refresh()


def _every_seconds(disable_after_seconds: int) -> float:
    return max(1.0, disable_after_seconds / NOTES_PER_PERIOD)

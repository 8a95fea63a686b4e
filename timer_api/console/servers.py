"""The database servers, each asked by itself: one that is slow or away hides nothing of the others."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable

from timer_db.domain.errors import DatabaseUnavailable
from timer_db.operations.overview import Glance, Slots, glance
from timer_db.shards import Shard

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""A server that has not answered by then is away, until it answers."""
_AWAY_PATIENCE_SECONDS = 0.2
"""For one that is away already nobody waits longer."""
_BUSY_SHARE = 10
_PAUSE_SECONDS_MAX = 5.0


class Server:
    """One server: what it told last, and whether it answers."""

    def __init__(self, shard: Shard, monotonic: Callable[[], float]) -> None:
        self.number = shard.number
        self._shard = shard
        self._monotonic = monotonic
        self._asking: asyncio.Task[Glance] | None = None
        self._asked_at = self._answered_at = self._next_at = -math.inf
        self._before: Glance | None = None
        self.seen: Glance | None = None
        """None until it has answered for the first time."""
        self.is_away = False

    async def look(self, collection_ids: Iterable[int] | None, watched: Collection[bytes]) -> bool:
        """Ask it, unless it was asked a moment ago; whether it told something new.

        A question that takes too long is left to end by itself, and no other is asked until then: there is never
        more than one connection that waits.
        """
        if self._asking is None:
            if self._monotonic() < self._next_at:
                return False
            self._asked_at = self._monotonic()
            self._asking = asyncio.create_task(glance(self._shard, collection_ids, watched), name="look")
        patience_seconds = _AWAY_PATIENCE_SECONDS if self.is_away else PATIENCE_SECONDS
        left_seconds = self._asked_at + patience_seconds - self._monotonic()
        done, _ = await asyncio.wait([self._asking], timeout=max(0.0, left_seconds))
        if not done:
            self._note_away("it takes long to answer")
            return False
        asked, self._asking = self._asking, None
        took_seconds = self._monotonic() - self._asked_at
        pause_seconds = max(LOOK_SECONDS * 0.9, _BUSY_SHARE * took_seconds)
        self._next_at = self._monotonic() + min(pause_seconds, _PAUSE_SECONDS_MAX)
        try:
            self._note(asked.result())
        except DatabaseUnavailable as error:
            self._note_away(str(error))
            return False
        return True

    @property
    def silent_seconds(self) -> float | None:
        """Since it told something; None when it never did."""
        return None if self.seen is None else self._monotonic() - self._answered_at

    def rate(self, *states: str) -> float | None:
        """By how many timers in these states a second there were more, between its last two looks."""
        if self.seen is None or self._before is None:
            return None
        seconds = (self.seen.now_us - self._before.now_us) / 1_000_000
        return _more(self._before.slots, self.seen.slots, states) / seconds if seconds > 0 else None

    def stop(self) -> Iterable[asyncio.Task[Glance]]:
        """Ask no more; gives what is still to end."""
        if self._asking is None:
            return ()
        self._asking.cancel()
        return (self._asking,)

    def _note(self, seen: Glance) -> None:
        if self.is_away:
            log.info("database %d answers the console again", self.number)
        self.is_away = False
        self._before, self.seen = self.seen, seen
        self._answered_at = self._monotonic()

    def _note_away(self, why: str) -> None:
        if not self.is_away:
            log.warning("database %d does not answer the console: %s", self.number, why)
        self.is_away = True


def _more(before: Slots, now: Slots, states: tuple[str, ...]) -> int:
    """By how many timers each slot has risen. Those that fell are of timers that were forgotten."""
    return sum(max(0, timers - before.get(place, 0)) for place, timers in now.items() if place[0] in states)

"""How much is due and not called, looked at now and then: a scrape asks the database nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from timer_db.operations.overview import Glance, look_at_backlog
from timer_db.shards import Shard

LOOK_SECONDS = 5.0
_PAUSES = 50
"""A look takes a fiftieth of the time at most, however slow the server is."""


class BacklogWatch:
    """The last look at one server; None before the first, and while the last is too old to say anything."""

    def __init__(self, shard: Shard, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shard = shard
        self._monotonic = monotonic
        self._seen: Glance | None = None
        self._seen_at = 0.0

    @property
    def seen(self) -> Glance | None:
        """What was seen, at most a minute ago."""
        return self._seen if self._monotonic() - self._seen_at < 60 else None

    async def run_once(self) -> float:
        """One look; gives the seconds until the next."""
        began = self._monotonic()
        self._seen = await look_at_backlog(self._shard)
        self._seen_at = self._monotonic()
        return max(LOOK_SECONDS, _PAUSES * (self._seen_at - began))

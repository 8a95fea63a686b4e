"""How much is due and not called, looked at now and then: a scrape asks the database nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from timer_db.operations.overview import Glance, look_at_backlog
from timer_db.shards import Shard

LOOK_SECONDS = 5.0
_PAUSES = 50
_PAUSE_SECONDS_MAX = 30.0
"""A look takes a fiftieth of the time at most, unless the server is so slow that nothing would be known then."""
_KEPT_SECONDS = 60.0


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
        return self._seen if self._monotonic() - self._seen_at < _KEPT_SECONDS else None

    async def run_once(self) -> float:
        """One look; gives the seconds until the next."""
        began = self._monotonic()
        self._seen = await look_at_backlog(self._shard)
        self._seen_at = self._monotonic()
        return min(_PAUSE_SECONDS_MAX, max(LOOK_SECONDS, _PAUSES * (self._seen_at - began)))

"""How many timers of a collection may wait: creates beyond that are refused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from timer_db.domain.errors import CollectionFull
from timer_db.domain.timer import NewTimer
from timer_db.operations.counts import waiting_by_collection
from timer_db.operations.directory import DirectoryKeeper
from timer_db.shards import Shards

KEPT_SECONDS = 1.0
"""So long a count is good. What this process makes meanwhile is added to it, so it never goes beyond a limit by
itself; with others beside it, by as many as they make in that time."""

Refused = dict[UUID, CollectionFull]


class WaitingLimits:
    """Asked before creates of collections with a limit are stored; others pay nothing."""

    def __init__(
        self, shards: Shards, directory: DirectoryKeeper, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._shards = shards
        self._directory = directory
        self._monotonic = monotonic
        self._reading = asyncio.Lock()
        self._read_at: dict[int, float] = {}
        self._waiting: Counter[int] = Counter()
        """As it was read."""
        self._added: Counter[int] = Counter()
        """Since then, or on its way at that time, whether the count has it or not."""
        self._on_its_way: Counter[int] = Counter()

    @asynccontextmanager
    async def admit(self, timers: Sequence[NewTimer]) -> AsyncIterator[Refused]:
        """Those that may not be made, in the order of the list; the others count while the body stores them."""
        concerned = [timer for timer in timers if timer.owner.collection_id in self._directory.current.limited]
        if not concerned:
            yield {}
            return
        await self._read({timer.owner.collection_id for timer in concerned})
        refused: Refused = {}
        taken: Counter[int] = Counter()
        for timer in concerned:
            number = timer.owner.collection_id
            collection = self._directory.current.collections[number]
            limit = collection.settings.waiting_max
            if limit is not None and self._waiting[number] + self._added[number] >= limit:
                refused[timer.id] = CollectionFull(collection.name, limit)
            else:
                self._added[number] += 1
                taken[number] += 1
        self._on_its_way += taken
        try:
            yield refused
        finally:
            self._on_its_way -= taken

    async def _read(self, numbers: Collection[int]) -> None:
        async with self._reading:
            now = self._monotonic()
            stale = [n for n in numbers if now - self._read_at.get(n, float("-inf")) >= KEPT_SECONDS]
            if not stale:
                return
            for number in stale:
                self._added[number] = self._on_its_way[number]
            found = await waiting_by_collection(self._shards, stale)
            for number in stale:
                self._waiting[number] = found[number]
                self._read_at[number] = now

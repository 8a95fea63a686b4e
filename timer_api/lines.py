"""A line of creates for each database server: one that is away, or slow, holds up nobody who needs another."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic

from timer_api.intake import Intake, IntakeLimits, Item, LineFull, Made, Store
from timer_db.domain.errors import Away
from timer_db.operations.watch import ClockKeeper
from timer_db.shards import Shards


class Lines(Generic[Item, Made]):
    """As `Intake`; `number_of` tells on which server an item is stored."""

    def __init__(
        self,
        shards: Shards,
        keeper: ClockKeeper,
        number_of: Callable[[Item], int],
        store: Store[Item, Made],
        limits: IntakeLimits | None = None,
        name: str = "writer",
    ) -> None:
        self._keeper = keeper
        self._number_of = number_of
        several = len(shards) > 1
        self._of: dict[int, Intake[Item, Made]] = {
            shard.number: Intake(store, limits, f"{name} of database {shard.number}" if several else name)
            for shard in shards
        }
        self._only = None if several else self._of[shards.home.number]
        """With one server, who asked for the time was told whether it is there; a create asks no more."""

    def start(self) -> None:
        """Begin to write."""
        for line in self._of.values():
            line.start()

    async def stop(self, within_seconds: float) -> None:
        """Store what waits, and end."""
        await asyncio.gather(*(line.stop(within_seconds) for line in self._of.values()))

    @property
    def waiting(self) -> int:
        """Items in all lines."""
        return sum(line.waiting for line in self._of.values())

    def refuse(self, refusal: Away) -> None:
        """What waits for servers that are away, and was not begun, is not stored."""
        for number in refusal.numbers:
            self._of[number].refuse(refusal)

    def put(self, item: Item, size_bytes: int) -> Awaitable[Made]:
        """Store one item; to be awaited until it is committed.

        Raises LineFull when too much waits, Away while its server is one of several and away, and why this item is
        not stored.
        """
        line = self._only
        if line is None:
            number = self._number_of(item)
            self._keeper.check(number)
            line = self._of[number]
        return line.put(item, size_bytes)

    async def put_all(self, items: Sequence[Item], size_bytes: int) -> Sequence[Made | Exception]:
        """Store items that came together, in one commit for each server; gives what came of each, in their order:
        LineFull and Away also for those that were not begun."""
        if self._only is not None:
            return await self._put_together(next(iter(self._of)), items, size_bytes)
        parts: defaultdict[int, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            parts[self._number_of(item)].append(place)
        stored = await asyncio.gather(
            *(
                self._put_together(
                    number, [items[place] for place in places], size_bytes * len(places) // len(items)
                )
                for number, places in parts.items()
            )
        )
        results: dict[int, Made | Exception] = {}
        for places, of_part in zip(parts.values(), stored, strict=True):
            results.update(zip(places, of_part, strict=True))
        return [results[place] for place in range(len(items))]

    async def _put_together(
        self, number: int, items: Sequence[Item], size_bytes: int
    ) -> Sequence[Made | Exception]:
        try:
            self._keeper.check(number)
            return await self._of[number].put_all(items, size_bytes)
        except (Away, LineFull) as refusal:
            return [refusal] * len(items)

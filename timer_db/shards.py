"""The database servers, and which one holds what: a pure map, since an id says where its timer lives."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db.domain.ids import SHARDS_MAX, shard_of
from timer_db.encryption import NO_KEYS, Keyring


@dataclass(frozen=True, slots=True)
class Shard:
    """One database server and its number, which stands in the id of every timer on it."""

    number: int
    engine: AsyncEngine
    keyring: Keyring = NO_KEYS
    """What content is sealed with there."""


class Shards:
    """All servers, in the order of `TIMER_DB_URL`; the position in that list is the shard's number."""

    def __init__(self, engines: Sequence[AsyncEngine], keyring: Keyring = NO_KEYS) -> None:
        if not 1 <= len(engines) <= SHARDS_MAX:
            raise ValueError(f"{len(engines)} database servers; 1 to {SHARDS_MAX} are possible")
        self._shards = tuple(Shard(number, engine, keyring) for number, engine in enumerate(engines))

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def home(self) -> Shard:
        """The first one, where everything is of which there is one for all: keys, collections, routes, events."""
        return self._shards[0]

    def holding(self, timer_id: UUID) -> Shard | None:
        """The shard of this id; None when no server has that number, so that no timer can have the id."""
        number = shard_of(timer_id)
        return self._shards[number] if number < len(self._shards) else None

    def for_name(self, collection: str, name: str) -> Shard:
        """Where the timer with this name lives, whoever asks."""
        return self._shards[zlib.crc32(f"{collection}\0{name}".encode()) % len(self._shards)]

    def for_new(self, draw: int, away: Collection[int] = ()) -> Shard:
        """A shard for a timer without a name, one that is not away if there is any; `draw` is any number, evenly
        spread."""
        likely = [shard for shard in self._shards if shard.number not in away] if away else self._shards
        return (likely or self._shards)[draw % len(likely or self._shards)]

    async def close(self) -> None:
        """Close every connection."""
        for shard in self._shards:
            await shard.engine.dispose()

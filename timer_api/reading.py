"""Reads that wait for no database that is away.

A read is refused while a server that it needs is away, and given up when one goes away meanwhile: whoever asks is
told within seconds, and which server it is. One that is slow, and answers, is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

from timer_api.service import Service
from timer_db.domain.errors import Away, DatabaseUnavailable
from timer_db.operations.watch import LOOK_SECONDS
from timer_db.shards import Shard, Shards

Result = TypeVar("Result")

_left_out: ContextVar[set[int] | None] = ContextVar("left out", default=None)


@contextmanager
def doing_without(left_out: set[int]) -> Iterator[None]:
    """Reads of all servers do without those that are away, and note them here by their numbers.

    Only for who shows that something is missing: anybody else would take a part for the whole.
    """
    token = _left_out.set(left_out)
    try:
        yield
    finally:
        _left_out.reset(token)


async def of_one(service: Service, shard: Shard | None, read: Callable[[], Awaitable[Result]]) -> Result:
    """A read of one server, or of none (None: no server has that number). Raises Away."""
    if shard is None:
        return await read()
    try:
        return await _unless_away(service, read, frozenset([shard.number]))
    except Away:
        raise
    except DatabaseUnavailable as error:
        raise Away([shard.number], len(service.shards)) from error


async def of_all(
    service: Service, read: Callable[[Shards, Sequence[int]], Awaitable[Result]], *, in_turn: bool = False
) -> Result:
    """A read of every server, or of those that answer (`doing_without`): it gets them, and the number of each.
    Raises Away, and DatabaseUnavailable for one that fails before it is known to be away.

    One that reads them `in_turn` may have enough before it comes to one that is away: that is seen only then.
    """
    left_out = _left_out.get()
    while True:
        away = frozenset() if left_out is None else service.keeper.away
        asked = [shard for shard in service.shards if shard.number not in away]
        if not asked:
            raise Away(away, len(service.shards))
        # Whoever reads counts servers by their places.
        part = Shards([shard.engine for shard in asked], asked[0].keyring) if away else service.shards
        numbers = [shard.number for shard in asked]
        try:
            found = await _unless_away(service, partial(read, part, numbers), frozenset(numbers), is_lazy=in_turn)
        except Away:
            if left_out is None:
                raise
        else:
            if left_out is not None:
                left_out |= away
            return found


async def _unless_away(
    service: Service, read: Callable[[], Awaitable[Result]], needed: frozenset[int], *, is_lazy: bool = False
) -> Result:
    def check() -> None:
        if away := needed & service.keeper.away:
            raise Away(away, len(service.shards))

    if not is_lazy:
        check()
    reading = asyncio.ensure_future(read())
    reading.add_done_callback(lambda done: done.cancelled() or done.exception())
    while not (await asyncio.wait([reading], timeout=LOOK_SECONDS))[0]:
        # What is given up is left to end by itself: a query in flight is never cut.
        check()
    return reading.result()

"""A controller's place among the others: join, beat, leave.

A membership's id is the fencing token: one that lost its place never gets it back, it joins anew under
another id. What was claimed under the old one is rescued by whoever finds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.clock import DatabaseClock
from timer_db.domain.errors import Fenced
from timer_db.domain.queue_entry import ENTRY_BYTES
from timer_db.shards import Shard
from timer_db.statements import controllers
from timer_db.transactions import Connection

HOST_MAX = 255


@dataclass(frozen=True, slots=True)
class Member:
    """A controller that has joined and not left, on one server."""

    shard: int
    id: int
    host: str
    pid: int
    version: str
    joined_at_us: int
    beat_at_us: int
    claims_in_hand: int


async def list_members(shard: Shard) -> list[Member]:
    """Every one of a server, the oldest first."""
    return await transactions.run(shard.engine, partial(members_on, shard=shard.number))


async def members_on(connection: Connection, shard: int) -> list[Member]:
    """Those of one server, which has this number."""
    rows = await connection.rows(controllers.MEMBERS)
    return [
        Member(shard, number, host, pid, version, joined_us, beat_us, int(held_bytes) // ENTRY_BYTES)
        for number, host, pid, version, joined_us, beat_us, held_bytes in rows
    ]


async def join(engine: AsyncEngine, host: str, pid: int, version: str) -> int:
    """A new membership; gives its id."""

    async def work(connection: Connection) -> int:
        return await connection.insert(*controllers.join(host[:HOST_MAX], pid, version))

    return await transactions.run(engine, work)


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat that was written."""

    asked_at: float
    """The monotonic moment (seconds) from which the lease counts: before the question left, so that the server's
    idea of the lease ends later than ours."""
    now_us: int
    """By the database's clock."""
    members: Mapping[int, int]
    """Every member then, with what it told last as its `settled_at_us`."""


async def beat(
    engine: AsyncEngine,
    controller_id: int,
    clock: DatabaseClock,
    monotonic: Callable[[], float] = time.monotonic,
    *,
    settled_at_us: int = 0,
) -> Beat:
    """Tell that this controller lives, and to which members its shares belong; look at the clock by the way, and
    at the others. Raises Fenced when the membership is gone."""

    async def work(connection: Connection) -> Beat:
        asked_at = monotonic()
        now_us = int(await connection.value(controllers.NOW))
        clock.learn(now_us, asked_at, monotonic())
        if await connection.write(controllers.beat(controller_id, now_us, settled_at_us)) == 0:
            raise Fenced(f"controller {controller_id} was silent for too long; others took its claims over")
        return Beat(asked_at, now_us, dict(await connection.rows(controllers.SETTLED)))

    return await transactions.run(engine, work)


async def leave(engine: AsyncEngine, controller_id: int) -> bool:
    """End a membership in order, when nothing is in its hands. False when it had been ended by others."""

    async def work(connection: Connection) -> bool:
        return await connection.write(controllers.leave(controller_id)) == 1

    return await transactions.run(engine, work)

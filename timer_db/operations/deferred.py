"""Claim timers that wait for a receiver in trouble."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.errors import Fenced
from timer_db.domain.queue_entry import QueueEntry, pack
from timer_db.operations.claim import BATCH_MAX
from timer_db.statements import claims, deferred
from timer_db.transactions import Connection

FIRST_NUMBER = 1 << 31
"""Numbers of these batches begin here, so that they never meet those of claims from the queue."""


async def destinations(engine: AsyncEngine) -> list[bytes]:
    """The keys of all receivers for which timers wait."""

    async def work(connection: Connection) -> list[bytes]:
        return [bytes(row[0]) for row in await connection.rows(deferred.DESTINATIONS)]

    return await transactions.run(engine, work)


async def claim_deferred(
    engine: AsyncEngine,
    controller_id: int,
    number: int,
    *,
    destination: bytes,
    behind: QueueEntry | None,
    limit: int,
) -> list[QueueEntry]:
    """Take at most `limit` timers of one receiver, highest priority and oldest first, as batch `number`.

    `behind` is where the last claim of this drain ended. In all else as `claim.claim`: nothing to take makes no
    batch, Fenced when the controller is no member, and after DatabaseUnavailable `claim.adopt` reads it back.
    """

    async def work(connection: Connection) -> list[QueueEntry]:
        statement = deferred.take(destination, behind, min(limit, BATCH_MAX))
        taken = [QueueEntry(rank, bytes(key)) for rank, key in await connection.rows(statement)]
        by_rank: defaultdict[int, list[bytes]] = defaultdict(list)
        for entry in taken:
            by_rank[entry.rank].append(entry.due_key)
        for rank, keys in by_rank.items():
            await connection.write(deferred.remove(destination, rank, keys), count=len(keys))
        if taken and await connection.write(claims.hold(controller_id, number, pack(taken), 0)) == 0:
            raise Fenced(f"controller {controller_id} is no member any more")
        return taken

    return await transactions.run(engine, work)

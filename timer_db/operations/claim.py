"""Claim due timers, and give claims back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.claim import Claim
from timer_db.domain.errors import Fenced, TimerNotFound, UnexpectedCount
from timer_db.domain.queue_entry import QueueEntry, pack, time_bound, unpack
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.packed import claims_of
from timer_db.operations.rows import fields_of
from timer_db.statements import claims, queue, timers
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

BATCH_MAX = LIST_MAX
"""The most that one claim takes."""
FROM_THE_START = time_bound(0)


async def ready_ranks(engine: AsyncEngine, horizon_us: int) -> list[int]:
    """The ranks of the priorities that have something to call before `horizon_us`, highest priority first."""

    async def work(connection: Connection) -> list[int]:
        firsts = await connection.rows(queue.READY)
        bound = time_bound(horizon_us)
        return sorted(rank for rank, due_key in firsts if bytes(due_key) < bound)

    return await transactions.run(engine, work)


async def claim(
    engine: AsyncEngine,
    controller_id: int,
    number: int,
    *,
    ranks: Sequence[int],
    behind: Mapping[int, bytes],
    horizon_us: int,
    limit: int,
) -> list[QueueEntry]:
    """Take at most `limit` timers that may be called before `horizon_us`, as batch `number` of the controller.

    `ranks` are looked at in order; `behind` gives for a rank the due key where the last claim of this drain
    ended. Nothing to take makes no batch. Raises Fenced when the controller is no member. After
    DatabaseUnavailable nobody knows whether the batch was made: `adopt` reads it back.
    """

    async def work(connection: Connection) -> list[QueueEntry]:
        taken: list[QueueEntry] = []
        for rank in ranks:
            wanted = min(limit, BATCH_MAX) - len(taken)
            if wanted == 0:
                break
            statement = queue.take(rank, behind.get(rank, FROM_THE_START), horizon_us, wanted)
            keys = [bytes(row[0]) for row in await connection.rows(statement)]
            if keys:
                await connection.write(queue.remove(rank, keys), count=len(keys))
                taken += [QueueEntry(rank, key) for key in keys]
        if taken and await connection.write(claims.hold(controller_id, number, pack(taken))) == 0:
            raise Fenced(f"controller {controller_id} is no member any more")
        return taken

    return await transactions.run(engine, work)


async def adopt(engine: AsyncEngine, controller_id: int, number: int) -> list[QueueEntry]:
    """What `claim` took under this number, when its answer was lost; empty when it did not happen."""

    async def work(connection: Connection) -> list[QueueEntry]:
        rows = await connection.rows(claims.look(controller_id, number))
        return unpack(bytes(rows[0][0])) if rows else []

    return await transactions.run(engine, work)


async def load(engine: AsyncEngine, batch: int, entries: Sequence[QueueEntry]) -> list[Claim]:
    """What was asked for, of claimed timers, in the order of `entries`. One that is gone is left out."""

    async def work(connection: Connection) -> list[Claim]:
        return await load_on(connection, batch, entries)

    return await transactions.run(engine, work)


async def load_on(connection: Connection, batch: int, entries: Sequence[QueueEntry]) -> list[Claim]:
    """The same in a transaction that is open."""
    if not entries:
        return []
    by_id = {entry.due_key[8:]: entry for entry in entries}
    [(count, packed)] = await connection.rows(timers.packed(by_id))
    claims = claims_of(packed, batch, by_id) if count else []
    if len(claims) != count:
        raise UnexpectedCount("reading packed timers", len(claims), count)
    found = {claim.entry: claim for claim in claims}
    return [found[entry] for entry in entries if entry in found]


async def load_whole(engine: AsyncEngine, claim: Claim) -> Claim:
    """The same claim with everything that was asked for, however large. Raises TimerNotFound."""

    async def work(connection: Connection) -> Claim:
        rows = await connection.rows(timers.asked([claim.entry.timer_id]))
        if not rows:
            raise TimerNotFound(claim.timer.id)
        timer = Timer(**fields_of(rows[0]), state=TimerState.firing, attempts=claim.timer.attempts)
        return Claim(claim.batch, claim.entry, timer, claim.attempt, claim.possible_duplicate)

    return await transactions.run(engine, work)


async def give_back(
    engine: AsyncEngine, controller_id: int, number: int, entries: Iterable[QueueEntry], *, is_done: bool
) -> bool:
    """Put claims that were not used back where they stood. `is_done`: nothing else of the batch is in hand.

    Safe to repeat. False when the batch was taken over by others, who put its timers back themselves.
    """
    returned = set(entries)

    async def work(connection: Connection) -> bool:
        rows = await connection.rows(claims.lock(controller_id, [number]))
        if not rows:
            return False
        held = unpack(bytes(rows[0][1]))
        back = [entry for entry in held if entry in returned]
        if back:
            await connection.write(queue.put(back), count=len(back))
        if is_done:
            await connection.write(claims.drop(controller_id, [number]), count=1)
        elif back:
            rest = pack(entry for entry in held if entry not in returned)
            await connection.write(claims.rewrite(controller_id, number, rest), count=1)
        return True

    return await transactions.run(engine, work)

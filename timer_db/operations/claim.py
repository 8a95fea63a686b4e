"""Claim due timers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.claim import Claim
from timer_db.domain.errors import Fenced, TimerNotFound, UnexpectedCount
from timer_db.domain.queue_entry import HEAD_KEY, QueueEntry, pack, unpack
from timer_db.operations.packed import claims_of, keys_of
from timer_db.statements import claims as statements
from timer_db.statements import queue, timers
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

BATCH_MAX = LIST_MAX
"""The most that one claim takes."""
FROM_THE_START = HEAD_KEY


@dataclass(frozen=True, slots=True)
class Taken:
    """A claimed batch: its places in their order, and what was asked for, in none. The timer of a place without a
    claim is gone. Those of `waiting`, in the order of the batch, may not be sent before `release`."""

    entries: list[QueueEntry]
    claims: list[Claim]
    waiting: Sequence[QueueEntry]


Plan = Callable[[Sequence[QueueEntry], Sequence[Claim]], tuple[Sequence[QueueEntry], int]]
"""Of places in the order of the queue, and what was asked for, in none: the order in which they will be sent, and
how many of the last wait."""


def all_at_once(entries: Sequence[QueueEntry], claims: Sequence[Claim] = ()) -> tuple[Sequence[QueueEntry], int]:
    """A plan by which nothing waits."""
    return entries, 0


async def first_entries(engine: AsyncEngine, behind: Mapping[int, bytes]) -> dict[int, bytes | None]:
    """For each priority in use (by rank) the first due key behind the one that `behind` gives, None when there is
    none. Priorities that `behind` does not know are looked at from the start."""

    async def work(connection: Connection) -> dict[int, bytes | None]:
        bounds = dict(behind)
        while True:
            rows = await connection.rows(queue.firsts(bounds))
            found = {int(rank): None if key is None else bytes(key) for rank, key in rows if rank is not None}
            if found.keys() <= bounds.keys():
                return {**dict.fromkeys(bounds), **found}
            in_use = {int(row[0]) for row in await connection.rows(queue.RANKS)}
            bounds.update(dict.fromkeys(in_use - bounds.keys(), FROM_THE_START))

    return await transactions.run(engine, work)


async def put_heads(engine: AsyncEngine, ranks: Collection[int]) -> None:
    """See to it that these priorities have heads."""

    async def work(connection: Connection) -> None:
        in_order = sorted(ranks)
        for start in range(0, len(in_order), LIST_MAX):
            await connection.write(queue.put_heads(in_order[start : start + LIST_MAX]))

    await transactions.run(engine, work)


async def claim(
    engine: AsyncEngine,
    controller_id: int,
    number: int,
    *,
    ranks: Sequence[int],
    behind: Mapping[int, bytes],
    horizon_us: int,
    limit: int,
    plan: Plan = all_at_once,
) -> Taken:
    """Take at most `limit` timers that may be called before `horizon_us`, as batch `number` of the controller.

    `ranks` are looked at in order; `behind` gives for a rank the due key up to which it was looked through
    before. What waits by `plan` is known as unsent until `release`, should the controller be lost. Nothing to
    take makes no batch. Raises Fenced when the controller is no member. After
    DatabaseUnavailable nobody knows whether the batch was made: `adopt` reads it back.
    """

    async def work(connection: Connection) -> Taken:
        entries: list[QueueEntry] = []
        found: list[Claim] = []
        for rank in ranks:
            wanted = min(limit, BATCH_MAX) - len(entries)
            if wanted == 0:
                break
            statement = queue.take(rank, behind.get(rank, FROM_THE_START), horizon_us, wanted)
            [(count, packed)] = await connection.rows(timers.packed_of(statement))
            if count:
                keys = sorted(keys_of(packed))
                if len(keys) != count:
                    raise UnexpectedCount("reading packed timers", len(keys), count)
                await connection.write(queue.remove(rank, keys), count=count)
                entries += [QueueEntry(rank, key) for key in keys]
                found += claims_of(packed, number, partial(QueueEntry, rank))
        ordered, unsent = plan(entries, found)
        if entries and await connection.write(statements.hold(controller_id, number, pack(ordered), unsent)) == 0:
            raise Fenced(f"controller {controller_id} is no member any more")
        return Taken(entries, found, ordered[len(ordered) - unsent :])

    return await transactions.run(engine, work)


async def adopt(engine: AsyncEngine, controller_id: int, number: int) -> tuple[list[QueueEntry], int]:
    """What `claim` took under this number, when its answer was lost, and how many of the last may not be sent yet;
    empty when it did not happen."""

    async def work(connection: Connection) -> tuple[list[QueueEntry], int]:
        rows = await connection.rows(statements.look(controller_id, number))
        return (unpack(bytes(rows[0][0])), int(rows[0][1])) if rows else ([], 0)

    return await transactions.run(engine, work)


async def release(engine: AsyncEngine, controller_id: int, unsent: Mapping[int, int]) -> None:
    """From now on all claims of these batches (by number) may be sent, but for so many of the last.

    May be repeated. Raises Fenced when the batches are not the controller's any more.
    """

    async def work(connection: Connection) -> None:
        found = await connection.write(statements.release(controller_id, unsent))
        if found != len(unsent):
            raise Fenced(f"controller {controller_id} lost {len(unsent) - found} batches")

    await transactions.run(engine, work)


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
    claims = claims_of(packed, batch, by_id.__getitem__) if count else []
    if len(claims) != count:
        raise UnexpectedCount("reading packed timers", len(claims), count)
    found = {claim.entry: claim for claim in claims}
    return [found[entry] for entry in entries if entry in found]


async def load_whole(engine: AsyncEngine, claim: Claim) -> Claim:
    """The same claim with everything that was asked for, however large. Raises TimerNotFound."""

    async def work(connection: Connection) -> Claim:
        by_id = {claim.entry.timer_id: claim.entry}
        [(count, packed)] = await connection.rows(timers.packed(by_id, whole=True))
        if not count:
            raise TimerNotFound(claim.timer.id)
        return claims_of(packed, claim.batch, by_id.__getitem__)[0]

    return await transactions.run(engine, work)

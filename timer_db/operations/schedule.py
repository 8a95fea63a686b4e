"""Store new timers: many in one commit, and safe to repeat."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from uuid import UUID

from pymysql.constants import ER
from pymysql.err import IntegrityError

from timer_db import transactions
from timer_db.domain import ids
from timer_db.domain.errors import NameTaken
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import ENDED, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations.rows import DEFAULT_COLLECTION_ID, content_sha256, next_at_us, row_of, timer_of
from timer_db.shards import Shard, Shards
from timer_db.statements import names, queue, reading
from timer_db.statements import timers as statements
from timer_db.transactions import Connection

_VALUES = attrgetter(*(field.name for field in fields(NewTimer)))
"""The fields that a new timer and a stored one share, in the order of their constructors."""
_MAKE: Callable[..., Timer] = Timer


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A stored timer; `created` is False when its name belonged to this very timer already."""

    timer: Timer
    created: bool


def choose_id(shards: Shards, now_us: int, collection: str, name: str | None) -> UUID:
    """An id for a new timer, with the number of the shard that will hold it."""
    if name is not None:
        shard = shards.for_name(collection, name)
    else:
        shard = shards.for_new(secrets.randbits(16) if len(shards) > 1 else 0)
    return ids.new_id(now_us, shard.number)


async def schedule(shards: Shards, timers: Sequence[NewTimer]) -> list[Scheduled | NameTaken]:
    """Store timers; the results are in the same order. One commit per shard, whole or not at all.

    Ids are chosen before, so the same call may be repeated after `DatabaseUnavailable`: what the first try
    did store is not stored again, and is not called twice.
    """
    by_shard: defaultdict[int, list[NewTimer]] = defaultdict(list)
    for timer in timers:
        by_shard[ids.shard_of(timer.id)].append(timer)
    found: dict[UUID, Scheduled | NameTaken] = {}
    for shard in shards:
        if batch := by_shard.pop(shard.number, None):
            found.update(await _schedule_on(shard, batch))
    if by_shard:
        raise ValueError(f"no server has the shard number {min(by_shard)}")
    return [found[timer.id] for timer in timers]


async def _schedule_on(shard: Shard, timers: Sequence[NewTimer]) -> dict[UUID, Scheduled | NameTaken]:
    async def first_try(connection: Connection) -> dict[UUID, Scheduled | NameTaken]:
        return await _store(connection, timers, stored_before=frozenset())

    async def repeat(connection: Connection) -> dict[UUID, Scheduled | NameTaken]:
        rows = await connection.rows(statements.existing([timer.id.bytes for timer in timers]))
        return await _store(connection, timers, stored_before=frozenset(UUID(bytes=row[0]) for row in rows))

    try:
        return await transactions.run(shard.engine, first_try)
    except IntegrityError as error:
        # Only a repeat of a call that had been committed finds its ids taken.
        if transactions.code_of(error) != ER.DUP_ENTRY:
            raise
        return await transactions.run(shard.engine, repeat)


async def _store(
    connection: Connection, timers: Sequence[NewTimer], stored_before: frozenset[UUID]
) -> dict[UUID, Scheduled | NameTaken]:
    results: dict[UUID, Scheduled | NameTaken] = {}
    named = [timer for timer in timers if timer.name is not None]
    if named:
        results.update(await _settle_names(connection, named))
    for timer in timers:
        if timer.id in stored_before:
            results[timer.id] = Scheduled(_as_new(timer), created=True)
    new = [timer for timer in timers if timer.id not in results]
    if new:
        await connection.write(statements.insert([row_of(timer) for timer in new]), count=len(new))
        places = [entry_of(timer.id, timer.priority, next_at_us(timer)) for timer in new]
        await connection.write(queue.put(places), count=len(new))
        results.update({timer.id: Scheduled(_as_new(timer), created=True) for timer in new})
    return results


def _as_new(timer: NewTimer) -> Timer:
    return _MAKE(*_VALUES(timer), TimerState.scheduled, 0, next_at_us(timer))


async def _settle_names(connection: Connection, named: Sequence[NewTimer]) -> dict[UUID, Scheduled | NameTaken]:
    """Take the names, or say who has them. Only those that did not get theirs are in the result."""
    # By name, so that two batches with names in common lock them in one order; the first to ask comes first.
    ordered = sorted(named, key=lambda timer: timer.name or "")
    contents = {timer.id: content_sha256(timer) for timer in ordered}
    wanted = {timer.name: timer for timer in reversed(ordered) if timer.name is not None}
    rows = [(DEFAULT_COLLECTION_ID, name, t.id.bytes, contents[t.id]) for name, t in sorted(wanted.items())]
    await connection.write(*names.take(rows))
    holders = {
        name: (UUID(bytes=holder), bytes(content))
        for name, holder, content in await connection.rows(*names.holders(DEFAULT_COLLECTION_ID, sorted(wanted)))
    }
    living = await _living(connection, {holder for holder, _ in holders.values()} | contents.keys())
    results: dict[UUID, Scheduled | NameTaken] = {}
    for timer in ordered:
        assert timer.name is not None
        holder, content = holders[timer.name]
        if holder == timer.id:
            continue
        if timer.id in living:
            # A first try stored it; it had the name then, whoever has it now.
            results[timer.id] = Scheduled(_as_new(timer), created=True)
        elif holder in living and living[holder].state in ENDED:
            await connection.write(
                *names.hand_over(
                    DEFAULT_COLLECTION_ID, timer.name, holder.bytes, timer.id.bytes, contents[timer.id]
                ),
                count=1,
            )
            holders[timer.name] = (timer.id, contents[timer.id])
        elif content == contents[timer.id]:
            first = living.get(holder) or _as_new(wanted[timer.name])
            results[timer.id] = Scheduled(first, created=False)
        else:
            results[timer.id] = NameTaken(timer.name, holder)
    return results


async def _living(connection: Connection, timer_ids: Collection[UUID]) -> dict[UUID, Timer]:
    rows = await connection.rows(reading.by_ids([timer_id.bytes for timer_id in timer_ids]))
    return {timer.id: timer for timer in map(timer_of, rows)}

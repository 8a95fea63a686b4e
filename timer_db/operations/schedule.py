"""Store new timers: many in one commit, and safe to repeat."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from operator import attrgetter, itemgetter
from typing import NamedTuple
from uuid import UUID

from pymysql.constants import ER
from pymysql.err import IntegrityError

from timer_db import transactions
from timer_db.domain import ids
from timer_db.domain.errors import NameTaken
from timer_db.domain.marks import marks_of
from timer_db.domain.owner import BY_DEFAULT
from timer_db.domain.states import ENDED, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.encryption import Keyring
from timer_db.operations.rows import (
    content_sha256,
    next_at_us,
    row_of,
    sealed,
    timer_of,
)
from timer_db.shards import Shard, Shards
from timer_db.statements import counts, labels, names, queue, reading
from timer_db.statements import timers as statements
from timer_db.statements.counts import MADE, Counted
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

_VALUES = attrgetter(*(field.name for field in fields(NewTimer)))
"""The fields that a new timer and a stored one share, in the order of their constructors."""
_MAKE: Callable[..., Timer] = Timer
_PLACE = itemgetter(2, 4, 0)
"""Priority, `next_at_us` and id of a row of `row_of`."""


class Scheduled(NamedTuple):
    """A stored timer; `created` is False when its name belonged to this very timer already."""

    timer: Timer
    created: bool


def choose_id(shards: Shards, now_us: int, collection: str, name: str | None, away: Collection[int] = ()) -> UUID:
    """An id for a new timer, with the number of the shard that will hold it: one that is away only if it must."""
    shard = shards.for_name(collection, name) if name is not None else _any_shard(shards, away)
    return ids.new_id(now_us, shard.number)


def choose_ids(
    shards: Shards, now_us: int, names: Sequence[tuple[str, str] | None], away: Collection[int] = ()
) -> list[UUID]:
    """The same for many timers of one commit, each with its collection and name or None; they go to as few servers
    as their names allow."""
    anywhere = _any_shard(shards, away).number
    if len(shards) == 1:
        return ids.new_ids(now_us, anywhere, len(names))
    numbers = [anywhere if name is None else shards.for_name(*name).number for name in names]
    counts = Counter(numbers)
    chosen = {number: iter(ids.new_ids(now_us, number, counts[number])) for number in counts}
    return [next(chosen[number]) for number in numbers]


def _any_shard(shards: Shards, away: Collection[int]) -> Shard:
    return shards.for_new(secrets.randbits(16) if len(shards) > 1 else 0, away)


async def schedule(shards: Shards, timers: Sequence[NewTimer]) -> list[Scheduled | NameTaken]:
    """Store timers; the results are in the same order. One commit per shard, whole or not at all.

    Ids are chosen before, so the same call may be repeated after `DatabaseUnavailable`: what the first try
    did store is not stored again, and is not called twice.
    """
    by_shard: defaultdict[int, list[NewTimer]] = defaultdict(list)
    for timer in timers:
        by_shard[ids.shard_of(timer.id)].append(timer)
    if unknown := by_shard.keys() - {shard.number for shard in shards}:
        raise ValueError(f"no server has the shard number {min(unknown)}")
    if len(by_shard) == 1:
        (number,) = by_shard
        return await _schedule_on(next(shard for shard in shards if shard.number == number), timers)
    found: dict[UUID, Scheduled | NameTaken] = {}
    for shard in shards:
        if batch := by_shard.get(shard.number):
            results = await _schedule_on(shard, batch)
            found.update({timer.id: result for timer, result in zip(batch, results, strict=True)})
    return [found[timer.id] for timer in timers]


async def _schedule_on(shard: Shard, timers: Sequence[NewTimer]) -> list[Scheduled | NameTaken]:
    async def first_try(connection: Connection) -> list[Scheduled | NameTaken]:
        return await _store(connection, timers, frozenset(), shard.keyring)

    async def repeat(connection: Connection) -> list[Scheduled | NameTaken]:
        rows = await connection.rows(statements.existing([timer.id.bytes for timer in timers]))
        return await _store(connection, timers, frozenset(UUID(bytes=row[0]) for row in rows), shard.keyring)

    try:
        return await transactions.run(shard.engine, first_try)
    except IntegrityError as error:
        # Only a repeat of a call that had been committed finds its ids taken.
        if transactions.code_of(error) != ER.DUP_ENTRY:
            raise
        return await transactions.run(shard.engine, repeat)


async def _store(
    connection: Connection, timers: Sequence[NewTimer], stored_before: frozenset[UUID], keyring: Keyring
) -> list[Scheduled | NameTaken]:
    named = [timer for timer in timers if timer.name is not None]
    settled = await _settle_names(connection, named, keyring) if named else {}
    new = timers
    if settled or stored_before:
        new = [timer for timer in timers if timer.id not in settled and timer.id not in stored_before]
    if new:
        await connection.write_last(inserts(new, keyring))
    if not settled:
        return [Scheduled(as_stored(timer), True) for timer in timers]
    return [settled.get(timer.id) or Scheduled(as_stored(timer), True) for timer in timers]


def inserts(timers: Sequence[NewTimer], keyring: Keyring) -> list[tuple[str, int | None]]:
    """The statements that store new timers, and how many rows each writes."""
    rows = [row_of(timer) for timer in timers]
    if keyring:
        rows = [sealed(row, keyring) for row in rows]
    writes: list[tuple[str, int | None]] = [
        (statements.insert(rows), len(rows)),
        (queue.put_new(map(_PLACE, rows)), len(rows)),
    ]
    if marks := [
        mark + timer.id.bytes
        for timer in timers
        if timer.labels or timer.owner != BY_DEFAULT
        for mark in marks_of(timer.labels, timer.owner)
    ]:
        writes.append((labels.put(marks), len(marks)))
    made = Counter(timer.owner for timer in timers)
    writes.append((counts.add({Counted(*group, MADE): n for group, n in made.items()}), None))
    return writes


def as_stored(timer: NewTimer) -> Timer:
    """A new timer as it stands right after its commit; one that came as a `Timer` says so already."""
    if isinstance(timer, Timer):
        return timer
    return _MAKE(*_VALUES(timer), TimerState.scheduled, 0, next_at_us(timer))


async def _settle_names(
    connection: Connection, timers: Sequence[NewTimer], keyring: Keyring
) -> dict[UUID, Scheduled | NameTaken]:
    """Take the names, or say who has them. Only those that did not get theirs are in the result."""
    by_collection: defaultdict[int, list[tuple[str, NewTimer]]] = defaultdict(list)
    for timer in timers:
        if timer.name is not None:
            by_collection[timer.owner.collection_id].append((timer.name, timer))
    results: dict[UUID, Scheduled | NameTaken] = {}
    for collection_id, named in sorted(by_collection.items(), key=itemgetter(0)):
        # By name, so that two batches with names in common lock them in one order; the first to ask comes first.
        named.sort(key=itemgetter(0))
        results.update(await _settle_names_in(connection, collection_id, named, keyring))
    return results


async def _settle_names_in(
    connection: Connection, collection_id: int, named: Sequence[tuple[str, NewTimer]], keyring: Keyring
) -> dict[UUID, Scheduled | NameTaken]:
    contents = {timer.id: content_sha256(timer) for _, timer in named}
    wanted = dict(reversed(named))
    hashes = {timer_id: keyring.hash(content) for timer_id, content in contents.items()}
    rows = [(collection_id, name, t.id.bytes, hashes[t.id]) for name, t in sorted(wanted.items())]
    await connection.write(*names.take(rows))
    holders = {
        name: (UUID(bytes=holder), bytes(content))
        for name, holder, content in await connection.rows(*names.holders(collection_id, sorted(wanted)))
    }
    contested = [(name, timer) for name, timer in named if holders[name][0] != timer.id]
    ids = {i for name, timer in contested for i in (holders[name][0], timer.id)}
    living = await _living(connection, ids, keyring)
    results: dict[UUID, Scheduled | NameTaken] = {}
    for name, timer in contested:
        holder, content = holders[name]
        if timer.id in living:
            # A first try stored it; it had the name then, whoever has it now.
            results[timer.id] = Scheduled(as_stored(timer), created=True)
        elif holder in living and living[holder].state in ENDED:
            change = names.hand_over(collection_id, name, holder.bytes, timer.id.bytes, hashes[timer.id])
            await connection.write(*change, count=1)
            holders[name] = (timer.id, hashes[timer.id])
        elif keyring.is_hash_of(content, contents[timer.id]):
            first = living.get(holder) or as_stored(wanted[name])
            results[timer.id] = Scheduled(first, created=False)
        else:
            results[timer.id] = NameTaken(name, holder)
    return results


async def _living(connection: Connection, timer_ids: Collection[UUID], keyring: Keyring) -> dict[UUID, Timer]:
    found: dict[UUID, Timer] = {}
    ordered = sorted(timer_ids)
    for first in range(0, len(ordered), LIST_MAX):
        some = [timer_id.bytes for timer_id in ordered[first : first + LIST_MAX]]
        rows = await connection.rows(reading.by_ids(some))
        found.update({timer.id: timer for timer in [timer_of(row, keyring) for row in rows]})
    return found

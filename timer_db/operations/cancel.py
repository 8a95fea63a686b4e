"""Cancel a timer that waits."""

from __future__ import annotations

from uuid import UUID

from timer_db import transactions
from timer_db.domain.errors import NotCancellable, TimerNotFound
from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.encryption import Keyring
from timer_db.operations.rows import timer_of
from timer_db.shards import Shards
from timer_db.statements import attempts, controllers, counts, deferred, queue, reading, timers
from timer_db.statements.counts import Counted
from timer_db.transactions import Connection


async def cancel(shards: Shards, timer_id: UUID) -> Timer:
    """The cancelled timer, which is surely never called again.

    Raises TimerNotFound, or NotCancellable for one that is being called or has ended.
    """
    shard = shards.holding(timer_id)
    if shard is None:
        raise TimerNotFound(timer_id)

    async def work(connection: Connection) -> Timer:
        # One that was claimed or deferred since it was read is looked at again.
        while True:
            timer = await _read(connection, timer_id, shard.keyring)
            if timer.state is not TimerState.scheduled or timer.next_attempt_at_us is None:
                raise NotCancellable(timer_id, timer.state)
            place = entry_of(timer_id, timer.priority, timer.next_attempt_at_us)
            if await _take_out(connection, place):
                break
        now_us = int(await connection.value(controllers.NOW))
        await connection.write(timers.cancel(timer_id.bytes, now_us), count=1)
        await connection.write(attempts.end([(TimerState.cancelled, timer_id.bytes, now_us)]), count=1)
        counted = Counted(timer.owner.collection_id, timer.owner.route_id, TimerState.cancelled)
        await connection.write(counts.add({counted: 1}))
        return await _read(connection, timer_id, shard.keyring)

    return await transactions.run(shard.engine, work)


async def _take_out(connection: Connection, place: QueueEntry) -> bool:
    """Whether it was in the queue, or among those that wait for a receiver in trouble, and is out of it now."""
    if await connection.write(queue.remove(place.rank, [place.due_key])):
        return True
    for row in await connection.rows(deferred.holding(place)):
        destination = bytes(row[0])
        if await connection.rows(deferred.lock(destination, place)):
            await connection.write(deferred.remove(destination, place.rank, [place.due_key]), count=1)
            return True
    return False


async def _read(connection: Connection, timer_id: UUID, keyring: Keyring) -> Timer:
    rows = await connection.rows(reading.by_ids([timer_id.bytes]))
    if not rows:
        raise TimerNotFound(timer_id)
    return timer_of(rows[0], keyring)

"""Cancel timers that wait. A cancelled timer is surely never called again."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from timer_db.domain.errors import NotCancellable
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.bulk import Done, for_one, in_state, left
from timer_db.operations.inspect import get_timer
from timer_db.operations.standing import Standing, take_out
from timer_db.shards import Shards
from timer_db.statements import attempts, controllers, counts, timers
from timer_db.statements.counts import Counted
from timer_db.transactions import Connection


async def cancel(shards: Shards, timer_id: UUID) -> Timer:
    """The cancelled timer.

    Raises TimerNotFound, or NotCancellable for one that is being called or has ended.
    """
    await for_one(shards, timer_id, cancel_some)
    return await get_timer(shards, timer_id)


async def cancel_some(connection: Connection, found: Sequence[Standing]) -> Done:
    """As many as wait (`bulk.Verb`)."""
    done = Done()
    waiting = in_state(found, {TimerState.scheduled}, NotCancellable, done)
    done.changed = [timer.timer_id for timer in await take_out(connection, waiting)]
    done.again = left(waiting, done.changed)
    if done.changed:
        now_us = int(await connection.value(controllers.NOW))
        count = len(done.changed)
        await connection.write(timers.cancel(done.changed, now_us), count=count)
        ends = [(TimerState.cancelled, timer_id, now_us) for timer_id in done.changed]
        await connection.write(attempts.end(ends), count=count)
        by_owner = await connection.rows(timers.owners(done.changed))
        cancelled = {Counted(c, r, s, TimerState.cancelled): number for c, r, s, number in by_owner}
        await connection.write(counts.add(cancelled))
    return done

"""Call timers that wait at another time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from timer_db.domain.errors import NotChangeable, TooFarAhead
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.bulk import Done, Refused, Verb, for_one, in_state, left
from timer_db.operations.inspect import get_timer
from timer_db.operations.standing import Standing, take_out
from timer_db.shards import Shards
from timer_db.statements import controllers, queue, timers
from timer_db.transactions import Connection


class Move(NamedTuple):
    """Where to: either all to one time, or each by so much; what would be in the past is now."""

    to_us: int | None = None
    by_us: int | None = None
    latest_us: int | None = None
    """A timer that would be due later than this stays where it is."""

    def leads_too_far(self, timer: Standing) -> bool:
        """Whether a timer would be due too late."""
        return self.latest_us is not None and timer.due_at_us + (self.by_us or 0) > self.latest_us


NOW = Move(to_us=0)


async def fire(shards: Shards, timer_id: UUID) -> Timer:
    """The timer, which is due now.

    Raises TimerNotFound, or NotChangeable for one that is being called or has ended.
    """
    await for_one(shards, timer_id, mover(NOW))
    return await get_timer(shards, timer_id)


def mover(move: Move) -> Verb:
    """Moves as many as wait."""

    async def move_some(connection: Connection, found: Sequence[Standing]) -> Done:
        done = Done()
        waiting = in_state(found, {TimerState.scheduled}, NotChangeable, done)
        near = [timer for timer in waiting if not move.leads_too_far(timer)]
        done.refused += [
            Refused(timer.timer_id, timer.state, TooFarAhead(UUID(bytes=timer.timer_id)))
            for timer in waiting
            if move.leads_too_far(timer)
        ]
        taken = await take_out(connection, near)
        done.changed = [timer.timer_id for timer in taken]
        done.again = left(near, done.changed)
        if taken:
            now_us = int(await connection.value(controllers.NOW))
            if move.by_us is None:
                at_us = max(move.to_us or 0, now_us)
                statement = timers.move_to(done.changed, at_us)
                places = [timer.place.moved_to(at_us) for timer in taken]
            else:
                shift_us = move.by_us
                statement = timers.move_by(done.changed, shift_us, now_us)
                places = [timer.place.moved_to(max(timer.place.at_us + shift_us, now_us)) for timer in taken]
            await connection.write(statement, count=len(taken))
            await connection.write(queue.put(places), count=len(taken))
        return done

    return move_some

"""Where timers stand, and how those that wait are taken out of their queues by others than a claim.

Whoever takes a timer out has it for himself: no claim finds it, and nobody else changes it. Places are locked in
their order, those of the queue before those of the backlogs, so that those who take many never deadlock; a claim
passes over what is locked, and waits for nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.statements import deferred, queue, reading
from timer_db.transactions import Connection


class Standing(NamedTuple):
    """A timer as it stood when it was looked at."""

    timer_id: bytes
    collection_id: int
    state: TimerState
    place: QueueEntry
    """Where it is, if it is scheduled."""
    destination: bytes | None
    """The receiver in trouble that it waits for, if it does."""
    due_at_us: int
    attempts_made: int
    outcome: Outcome | None
    """Of the attempt that ended it."""


async def standing(connection: Connection, timer_ids: Iterable[bytes]) -> dict[bytes, Standing]:
    """Those of the timers that are there, at most LIST_MAX."""
    rows = await connection.rows(reading.standing(timer_ids))
    return {found.timer_id: found for found in map(_standing_of, rows)}


def _standing_of(row: Sequence[Any]) -> Standing:
    timer_id, collection_id, priority, due_at_us, next_at_us, cancelled, made, is_queued, destination = row[:9]
    ended_as, outcome = row[9:]
    if ended_as is not None:
        state = TimerState(ended_as)
    elif cancelled is not None:
        state = TimerState.cancelled
    else:
        state = TimerState.scheduled if is_queued or destination is not None else TimerState.firing
    return Standing(
        bytes(timer_id),
        collection_id,
        state,
        entry_of(UUID(bytes=timer_id), priority, next_at_us),
        destination if destination is None else bytes(destination),
        due_at_us,
        made,
        None if outcome is None else Outcome(outcome),
    )


async def take_out(connection: Connection, timers: Iterable[Standing]) -> list[Standing]:
    """Those of the scheduled timers that were still where they stood; they are in no queue now.

    The others were claimed, moved or cancelled since: whoever cares looks at them again, in another transaction.
    """
    queued: defaultdict[int, dict[bytes, Standing]] = defaultdict(dict)
    apart: defaultdict[tuple[bytes, int], dict[bytes, Standing]] = defaultdict(dict)
    for timer in timers:
        rank, due_key = timer.place
        if timer.destination is None:
            queued[rank][due_key] = timer
        else:
            apart[timer.destination, rank][due_key] = timer
    taken: list[Standing] = []
    for rank, by_key in sorted(queued.items()):
        if found := [bytes(row[0]) for row in await connection.rows(queue.lock(rank, by_key))]:
            await connection.write(queue.remove(rank, found), count=len(found))
            taken += [by_key[due_key] for due_key in found]
    for (destination, rank), by_key in sorted(apart.items()):
        if found := [bytes(row[0]) for row in await connection.rows(deferred.lock(destination, rank, by_key))]:
            await connection.write(deferred.remove(destination, rank, found), count=len(found))
            taken += [by_key[due_key] for due_key in found]
    return taken

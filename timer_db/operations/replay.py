"""Call timers again that have ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from timer_db.domain.errors import NameInUse, NotReplayable
from timer_db.domain.queue_entry import entry_of
from timer_db.domain.states import ENDED, Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.bulk import Done, Refused, for_one, in_state, left
from timer_db.operations.inspect import get_timer
from timer_db.operations.standing import Standing, standing
from timer_db.shards import Shards
from timer_db.statements import attempts, controllers, counts, names, queue, timers
from timer_db.statements.counts import Counted
from timer_db.transactions import Connection

REPLAYABLE = frozenset({TimerState.failed, TimerState.unknown, TimerState.delivered})
_MAY_HAVE_ARRIVED = frozenset({Outcome.delivered, Outcome.unknown})
_NO_CONTENT = bytes(32)
"""The hash of no content: a name that was taken back is not known for what it was made with."""


class _Locked(NamedTuple):
    """A timer that nobody else can replay or delete now."""

    standing: Standing
    name: str | None
    priority: int
    collection_id: int
    route_id: int
    schedule_id: int

    @property
    def timer_id(self) -> bytes:
        return self.standing.timer_id


async def replay(shards: Shards, timer_id: UUID) -> Timer:
    """The timer, scheduled again, and due now. Its attempts go on counting, its retry policy begins anew.

    Raises TimerNotFound, NotReplayable for one that has not ended or was cancelled, and NameInUse.
    """
    await for_one(shards, timer_id, replay_some)
    return await get_timer(shards, timer_id)


async def replay_some(connection: Connection, found: Sequence[Standing]) -> Done:
    """As many as have ended (`bulk.Verb`).

    Rows are locked in the order in which retention locks them: endings, timers, names.
    """
    done = Done()
    ended = in_state(found, REPLAYABLE, NotReplayable, done)
    locked = await _lock(connection, ended)
    done.again = left(ended, [timer.timer_id for timer in locked])
    free = await _take_names(connection, locked, done)
    if not free:
        return done
    now_us = int(await connection.value(controllers.NOW))
    by_state: defaultdict[TimerState, list[bytes]] = defaultdict(list)
    for timer in free:
        by_state[timer.standing.state].append(timer.timer_id)
    for state in (TimerState.failed, TimerState.unknown):
        if ids := by_state[state]:
            await connection.write(attempts.unend(state, ids), count=len(ids))
    done.changed = [timer.timer_id for timer in free]
    doubtful = [timer.timer_id for timer in free if timer.standing.outcome in _MAY_HAVE_ARRIVED]
    await connection.write(timers.replay(done.changed, doubtful, now_us), count=len(free))
    places = [entry_of(UUID(bytes=timer.timer_id), timer.priority, now_us) for timer in free]
    await connection.write(queue.put(places), count=len(free))
    fewer = Counter(
        Counted(timer.collection_id, timer.route_id, timer.schedule_id, timer.standing.state) for timer in free
    )
    await connection.write(counts.add({counted: -number for counted, number in fewer.items()}))
    return done


async def _lock(connection: Connection, ended: Sequence[Standing]) -> list[_Locked]:
    """Those that stand as they stood."""
    by_id = {timer.timer_id: timer for timer in ended}
    held: set[bytes] = set()
    for state in (TimerState.failed, TimerState.unknown):
        if ids := [timer.timer_id for timer in ended if timer.state is state]:
            held.update(bytes(row[0]) for row in await connection.rows(attempts.lock_ends(state, ids)))
    held.update(timer.timer_id for timer in ended if timer.state is TimerState.delivered)
    if not held:
        return []
    locked: list[_Locked] = []
    for timer_id, name, priority, made, *owner in await connection.rows(timers.lock(held)):
        timer = by_id[bytes(timer_id)]
        if made == timer.attempts_made:
            locked.append(_Locked(timer, name, priority, *owner))
    return locked


async def _take_names(connection: Connection, locked: Sequence[_Locked], done: Done) -> list[_Locked]:
    """Those that have no name, or have it again; the others are refused."""
    free = [timer for timer in locked if timer.name is None]
    by_name: defaultdict[int, defaultdict[str, list[_Locked]]] = defaultdict(lambda: defaultdict(list))
    for timer in locked:
        if timer.name is not None:
            by_name[timer.collection_id][timer.name].append(timer)
    for collection_id, named in sorted(by_name.items()):
        free += await _take_names_in(connection, collection_id, named, done)
    return free


async def _take_names_in(
    connection: Connection, collection_id: int, named: Mapping[str, Sequence[_Locked]], done: Done
) -> list[_Locked]:
    # One that nobody has any more goes to the last timer that had it.
    wanted = [(collection_id, name, max(t.timer_id for t in some), _NO_CONTENT) for name, some in named.items()]
    await connection.write(*names.take(sorted(wanted)))
    rows = await connection.rows(*names.holders(collection_id, sorted(named)))
    holders = {name: bytes(holder) for name, holder, _ in rows}
    strangers = set(holders.values()) - {timer.timer_id for some in named.values() for timer in some}
    living = await standing(connection, strangers) if strangers else {}
    free: list[_Locked] = []
    for name, some in named.items():
        holder = holders[name]
        if holder not in living or living[holder].state in ENDED:
            first = max(some, key=lambda timer: (timer.timer_id == holder, timer.timer_id))
            free.append(first)
            if first.timer_id != holder:
                change = names.hand_over(collection_id, name, holder, first.timer_id, _NO_CONTENT)
                await connection.write(*change, count=1)
            holder = first.timer_id
        done.refused += [
            Refused(
                timer.timer_id,
                timer.standing.state,
                NameInUse(UUID(bytes=timer.timer_id), name, UUID(bytes=holder)),
            )
            for timer in some
            if timer.timer_id != holder
        ]
    return free

"""How many timers of a collection, a route or a schedule there are, in which states: from sums that are kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from timer_db import transactions
from timer_db.domain.queue_entry import unpack
from timer_db.domain.states import TimerState
from timer_db.shards import Shards
from timer_db.statements import claims, counts
from timer_db.statements.counts import MADE
from timer_db.transactions import Connection

Group = tuple[int, int, int]
"""The numbers of a collection, a route and a schedule; 0: timers without one."""
Counts = Mapping[Group, Counter[TimerState]]
_Sum = tuple[int, int, int, str, int]


async def count_states(
    shards: Shards,
    *,
    collection_ids: Iterable[int] | None = None,
    route_ids: Iterable[int] | None = None,
    schedule_ids: Iterable[int] | None = None,
) -> Counts:
    """How many timers are in each state, to within what moves meanwhile: of these collections, or of these routes,
    or of these schedules, or of all. Only where they are asked for are schedules told apart.

    Costs a row per group and what is in the hands of controllers, some microseconds a timer; nothing for those
    that wait or have ended.
    """
    found: defaultdict[Group, Counter[TimerState]] = defaultdict(Counter)
    per_schedule = schedule_ids is not None
    statement = counts.sums(collection_ids, route_ids, schedule_ids, per_schedule=per_schedule)
    for shard in shards:

        async def work(connection: Connection) -> tuple[Counter[Group], list[_Sum]]:
            return await _in_hand(connection, per_schedule=per_schedule), await connection.rows(statement)

        firing, sums = await transactions.run(shard.engine, work)
        for collection_id, route_id, schedule_id, state, timers in sums:
            group = found[collection_id, route_id, schedule_id]
            if state == MADE:
                group[TimerState.scheduled] += int(timers)
            else:
                group[TimerState(state)] += int(timers)
                group[TimerState.scheduled] -= int(timers)
        for key in firing.keys() & found.keys():
            found[key][TimerState.firing] += firing[key]
            found[key][TimerState.scheduled] -= firing[key]
    return found


def by_collection(counts: Counts) -> Mapping[int, Counter[TimerState]]:
    """The same for each collection by its number."""
    return _summed((group[0], states) for group, states in counts.items())


def by_route(counts: Counts) -> Mapping[int, Counter[TimerState]]:
    """The same for each route by its number."""
    return _summed((group[1], states) for group, states in counts.items())


def by_schedule(counts: Counts) -> Mapping[int, Counter[TimerState]]:
    """The same for each schedule by its number."""
    return _summed((group[2], states) for group, states in counts.items())


def _summed(parts: Iterable[tuple[int, Counter[TimerState]]]) -> Mapping[int, Counter[TimerState]]:
    found: defaultdict[int, Counter[TimerState]] = defaultdict(Counter)
    for number, states in parts:
        # Not `+`, which drops what is below zero.
        found[number].update(states)
    return found


async def count_stored(shards: Shards, collection_id: int) -> int:
    """How many timers of a collection there are, those that have ended among them."""
    sums = await _sums(shards, [collection_id], None)
    return sum(timers for (_, state), timers in sums.items() if state == MADE)


async def count_waiting(
    shards: Shards, collection_ids: Iterable[int] | None = None, *, route_id: int | None = None
) -> int:
    """How many timers of these collections, or of a route, are scheduled or firing."""
    waiting = await waiting_by_collection(shards, collection_ids, route_id=route_id)
    return sum(waiting.values())


async def waiting_by_collection(
    shards: Shards, collection_ids: Iterable[int] | None = None, *, route_id: int | None = None
) -> Counter[int]:
    """The same for each collection by its number."""
    sums = await _sums(shards, collection_ids, None if route_id is None else [route_id])
    waiting: Counter[int] = Counter()
    for (collection_id, state), timers in sums.items():
        waiting[collection_id] += timers if state == MADE else -timers
    return waiting


async def _sums(
    shards: Shards, collection_ids: Iterable[int] | None, route_ids: Iterable[int] | None
) -> Counter[tuple[int, str]]:
    found: Counter[tuple[int, str]] = Counter()
    statement = counts.sums(collection_ids, route_ids)
    for shard in shards:

        async def work(connection: Connection) -> list[_Sum]:
            return await connection.rows(statement)

        for collection_id, _, _, state, timers in await transactions.run(shard.engine, work):
            found[collection_id, state] += int(timers)
    return found


async def _in_hand(connection: Connection, *, per_schedule: bool) -> Counter[Group]:
    """What controllers hold and nobody has written down the end of."""
    found: Counter[Group] = Counter()
    for controller_id, number, claimed_at_us, packed in await connection.rows(claims.ALL_WITH_TIMES):
        timer_ids = [entry.timer_id for entry in unpack(bytes(packed))]
        if timer_ids:
            statement = counts.in_batch(controller_id, number, claimed_at_us, timer_ids)
            for collection_id, route_id, schedule_id, timers in await connection.rows(statement):
                found[collection_id, route_id, schedule_id if per_schedule else 0] += int(timers)
    return found

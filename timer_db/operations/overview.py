"""How a server is doing: one look, in so few and so bounded reads that it can be had every second."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from timer_db import transactions
from timer_db.domain.destination import Grouped, group_of
from timer_db.domain.queue_entry import HEAD_KEY, QueueEntry, entry_of, unpack
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.membership import Member, members_on
from timer_db.shards import Shard, Shards
from timer_db.statements import controllers, overview, queue
from timer_db.statements.counts import MADE
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

ALL = MADE
"""In the place of a state: every timer that is stored."""
COUNTED_MAX = 10_000
"""Overdue timers of a server are counted so far, all priorities together."""
_NEWEST = 200
_WATCHED_MAX = 800
_DAY_US = 86_400_000_000
_RECENT_US = 60_000_000

Slots = Mapping[tuple[str, int], int]
"""By state and slot: timers, as `timer_counts` has them."""


class Held(NamedTuple):
    """What holds timers up, and the first of them."""

    group: tuple[Grouped, int] | None
    """A collection or a route; None: a receiver."""
    timer_id: UUID
    due_at_us: int
    url: str | None


class Made(NamedTuple):
    """An attempt that ended its timer."""

    late_us: int
    """First byte sent minus the time at which it was to be made."""
    finished_at_us: int
    latency_us: int | None
    outcome: Outcome
    collection_id: int
    route_id: int
    url: str | None


@dataclass(slots=True)
class Glance:
    """What one look at a server saw."""

    now_us: int
    """By its clock."""
    round_trip_us: int
    """What it took to answer the simplest question."""
    slots: dict[tuple[str, int], int] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    first_at_us: int | None = None
    """When the first of all that wait in the queue may be called; None when nothing waits there."""
    overdue: int = 0
    """Timers that are due and in nobody's hands; at most `COUNTED_MAX` are counted."""
    overdue_is_capped: bool = False
    """There are that many, or more."""
    deferred_at_us: int | None = None
    """The same as `first_at_us`, of those that wait for a receiver, a route or a collection."""
    deferred: int = 0
    """As many as wait so, counted as far as `overdue`."""
    deferred_is_capped: bool = False
    """The same as `overdue_is_capped`."""
    held_at_us: dict[tuple[Grouped, int] | None, int] = field(default_factory=dict)
    """The same as `deferred_at_us`, for each collection and route; None: for all receivers together."""
    held: list[Held] = field(default_factory=list)
    """Some of those that hold timers up."""
    in_hand: set[bytes] = field(default_factory=set)
    """Ids of some timers that are about to be called, for `watched` of a later look."""
    made: dict[tuple[bytes, int], Made] = field(default_factory=dict)
    """Attempts of the last minute, some of many, by timer and time."""

    @property
    def totals(self) -> dict[str, int]:
        """Timers by state, and `ALL`."""
        found: dict[str, int] = {}
        for (state, _), timers in self.slots.items():
            found[state] = found.get(state, 0) + timers
        return found


async def glance(shard: Shard, collection_ids: Iterable[int] | None, watched: Collection[bytes]) -> Glance:
    """One look at a server.

    With collections, counts and attempts are of these only. `watched` are ids that an earlier look saw in hand:
    how late they were called is told once they have ended. Raises DatabaseUnavailable.
    """
    bound = None if collection_ids is None else frozenset(collection_ids)

    async def work(connection: Connection) -> Glance:
        asked_at = time.perf_counter()
        now_us = int(await connection.value(controllers.NOW))
        seen = Glance(now_us, round((time.perf_counter() - asked_at) * 1_000_000))
        for state, slot, timers in await connection.rows(overview.totals(bound)):
            seen.slots[state, slot] = int(timers)
        seen.members = await members_on(connection, shard.number)
        await _see_queue(connection, seen)
        await _see_deferred(connection, seen)
        for (packed,) in await connection.rows(overview.SAMPLED):
            seen.in_hand |= {entry.timer_id for entry in unpack(bytes(packed))}
        await _see_attempts(connection, seen, bound, watched)
        return seen

    return await transactions.run(shard.engine, work)


async def look_at_backlog(shard: Shard) -> Glance:
    """The part of a look that says what is due and not called, and who is at work."""

    async def work(connection: Connection) -> Glance:
        asked_at = time.perf_counter()
        now_us = int(await connection.value(controllers.NOW))
        seen = Glance(now_us, round((time.perf_counter() - asked_at) * 1_000_000))
        seen.members = await members_on(connection, shard.number)
        await _see_queue(connection, seen)
        await _see_deferred(connection, seen)
        return seen

    return await transactions.run(shard.engine, work)


async def _see_queue(connection: Connection, seen: Glance) -> None:
    ranks = [rank for (rank,) in await connection.rows(queue.RANKS)]
    found = await connection.rows(queue.firsts(dict.fromkeys(ranks, HEAD_KEY)))
    firsts = {rank: QueueEntry(rank, bytes(key)).at_us for rank, key in found if key is not None}
    seen.first_at_us = min(firsts.values(), default=None)
    late = sorted(rank for rank, at_us in firsts.items() if at_us < seen.now_us)
    for start in range(0, len(late), LIST_MAX):
        if (left := COUNTED_MAX - seen.overdue) > 0:
            ranks = late[start : start + LIST_MAX]
            seen.overdue += int(await connection.value(overview.overdue(ranks, seen.now_us, left)))
    seen.overdue_is_capped = seen.overdue >= COUNTED_MAX


async def _see_deferred(connection: Connection, seen: Glance) -> None:
    for rank, key in await connection.rows(overview.DEFERRED_FIRSTS):
        seen.deferred_at_us = _earlier(seen.deferred_at_us, QueueEntry(rank, bytes(key)).at_us)
    if seen.deferred_at_us is None:
        return
    seen.deferred = int(await connection.value(overview.deferred(COUNTED_MAX)))
    seen.deferred_is_capped = seen.deferred >= COUNTED_MAX
    keys: dict[bytes, None] = {}
    for key, rank, due_key in await connection.rows(overview.HELD_FIRSTS):
        keys[bytes(key)] = None
        group, at_us = group_of(bytes(key)), QueueEntry(rank, bytes(due_key)).at_us
        seen.held_at_us[group] = min(at_us, seen.held_at_us.get(group, at_us))
    if keys:
        some = list(keys)[: overview.HOLDERS_MAX]
        for key, due_key, url in await connection.rows(overview.waiting_for(some)):
            entry = QueueEntry(0, bytes(due_key))
            seen.held.append(Held(group_of(bytes(key)), UUID(bytes=entry.timer_id), entry.at_us, url))


async def _see_attempts(
    connection: Connection, seen: Glance, bound: frozenset[int] | None, watched: Collection[bytes]
) -> None:
    recent_us = seen.now_us - _RECENT_US
    rows = await connection.rows(overview.newest_attempts(recent_us - recent_us % _DAY_US, _NEWEST))
    if watched:
        rows += await connection.rows(overview.attempts_of(list(watched)[:_WATCHED_MAX], recent_us))
    for timer_id, late_us, finished_us, latency_us, outcome, collection_id, route_id, url in rows:
        if finished_us >= recent_us and (bound is None or collection_id in bound):
            seen.made[bytes(timer_id), finished_us] = Made(
                max(0, late_us), finished_us, latency_us, Outcome(outcome), collection_id, route_id or 0, url
            )


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((at_us for at_us in (one, other) if at_us is not None), default=None)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a living timer is: in a controller's hands since then, or held up by a receiver, a route or a
    collection."""

    controller: str | None = None
    claimed_at_us: int | None = None
    held: Held | None = None


async def where_is(shards: Shards, timer: Timer) -> Whereabouts:
    """Of a timer that was just read. Nothing is known of one that waits in the queue, or has moved since."""
    shard = shards.holding(timer.id)
    assert shard is not None, "it was read from there"

    async def work(connection: Connection) -> Whereabouts:
        if timer.state is TimerState.firing:
            for number, host, pid, since_us in await connection.rows(overview.holding(timer.id.bytes)):
                name = f"{number}" if host is None else f"{number} ({host}:{pid})"
                return Whereabouts(name, since_us)
        elif timer.state is TimerState.scheduled and timer.next_attempt_at_us is not None:
            place = entry_of(timer.id, timer.priority, timer.next_attempt_at_us)
            for (key,) in await connection.rows(overview.held_by(place)):
                return Whereabouts(held=Held(group_of(bytes(key)), timer.id, place.at_us, timer.url))
        return Whereabouts()

    return await transactions.run(shard.engine, work)

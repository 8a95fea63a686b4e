"""Do something with timers, one or many: some hundred in a transaction, and each for itself what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from timer_db import transactions
from timer_db.domain.cursor import Place
from timer_db.domain.errors import TimerError, TimerNotFound, WrongState
from timer_db.domain.filter import Filter
from timer_db.domain.ids import shard_of
from timer_db.domain.states import TimerState
from timer_db.operations.finding import find
from timer_db.operations.standing import Standing, standing
from timer_db.shards import Shard, Shards
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

FIND_WORK_MAX = 40_000
"""So many timers are looked at for one call by a filter, whatever is found."""


class Refused(NamedTuple):
    """A timer that was not changed, its state (None: there is no such timer), and why."""

    timer_id: bytes
    state: TimerState | None
    error: TimerError


@dataclass(slots=True)
class Done:
    """What became of timers: those that were changed, those that were not, and those that moved away under the
    hand, and are looked at again."""

    changed: list[bytes] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    again: list[bytes] = field(default_factory=list)
    next: Place | None = None
    """Where a filter goes on; None: everything was found."""


Verb = Callable[[Connection, Sequence[Standing]], Awaitable[Done]]
"""What is done with timers in an open transaction, each of which ends up in one of the lists."""


async def for_one(shards: Shards, timer_id: UUID, verb: Verb) -> None:
    """Raises TimerNotFound, or why it was refused."""
    shard = shards.holding(timer_id)
    if shard is None:
        raise TimerNotFound(timer_id)
    for refused in (await _on(shard, [timer_id.bytes], verb, None)).refused:
        raise refused.error


async def for_ids(
    shards: Shards, timer_ids: Iterable[UUID], verb: Verb, visible: Collection[int] | None = None
) -> Done:
    """Timers by their ids; those of collections that are not visible are not there.

    After DatabaseUnavailable some may be done, and some not.
    """
    by_shard: defaultdict[int, list[bytes]] = defaultdict(list)
    for timer_id in dict.fromkeys(timer_ids):
        by_shard[shard_of(timer_id)].append(timer_id.bytes)
    done = Done()
    for shard in shards:
        await _add(done, shard, by_shard.pop(shard.number, []), verb, visible)
    for ids in by_shard.values():
        done.refused += map(_not_found, ids)
    return done


async def for_filter(
    shards: Shards, wanted: Filter, place: Place, limit: int, verb: Verb, *, is_moving: bool = False
) -> Done:
    """At most `limit` timers that are meant, behind a place. ValueError for a place that cannot be.

    A verb that moves timers in the queue must say so.
    """
    found = await find(shards, wanted, place, limit, FIND_WORK_MAX, by_id=is_moving)
    done = Done(next=found.next)
    for shard, ids in found.pages:
        await _add(done, shard, ids, verb, None)
    return done


async def _add(
    done: Done, shard: Shard, ids: Sequence[bytes], verb: Verb, visible: Collection[int] | None
) -> None:
    for first in range(0, len(ids), LIST_MAX):
        more = await _on(shard, ids[first : first + LIST_MAX], verb, visible)
        done.changed += more.changed
        done.refused += more.refused


async def _on(shard: Shard, ids: Sequence[bytes], verb: Verb, visible: Collection[int] | None) -> Done:
    """As many transactions as it takes until nothing moves away."""
    total = Done(again=list(ids))
    while total.again:

        async def work(connection: Connection, ids: Sequence[bytes] = tuple(total.again)) -> Done:
            found = await standing(connection, ids)
            seen = [timer for timer in found.values() if visible is None or timer.collection_id in visible]
            done = await verb(connection, seen) if seen else Done()
            missing = set(ids) - {timer.timer_id for timer in seen}
            done.refused += map(_not_found, sorted(missing))
            return done

        done = await transactions.run(shard.engine, work)
        total.changed += done.changed
        total.refused += done.refused
        total.again = done.again
    return total


def in_state(
    timers: Iterable[Standing], states: Collection[TimerState], error: type[WrongState], done: Done
) -> list[Standing]:
    """Those in one of these states; the others are refused."""
    fit: list[Standing] = []
    for timer in timers:
        if timer.state in states:
            fit.append(timer)
        else:
            refusal = error(UUID(bytes=timer.timer_id), timer.state)
            done.refused.append(Refused(timer.timer_id, timer.state, refusal))
    return fit


def _not_found(timer_id: bytes) -> Refused:
    return Refused(timer_id, None, TimerNotFound(UUID(bytes=timer_id)))


def left(timers: Iterable[Standing], changed: Iterable[bytes]) -> list[bytes]:
    """Those that were not changed."""
    gone = set(changed)
    return [timer.timer_id for timer in timers if timer.timer_id not in gone]

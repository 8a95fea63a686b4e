"""Look at timers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from timer_db import transactions
from timer_db.domain import cursor as cursors
from timer_db.domain.cursor import Place
from timer_db.domain.errors import NameNotFound, TimerNotFound
from timer_db.domain.filter import Filter
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Attempt, Timer
from timer_db.encryption import Keyring
from timer_db.operations.finding import find
from timer_db.operations.rows import timer_of
from timer_db.shards import Shard, Shards
from timer_db.statements import attempts, names, reading
from timer_db.transactions import Connection

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TimerPage:
    """Some timers, and the cursor of the next page; None when this is the last."""

    timers: list[Timer]
    next_cursor: str | None


async def get_timer(shards: Shards, timer_id: UUID) -> Timer:
    """The timer with this id, or TimerNotFound."""
    home = _home(shards, timer_id)
    found = await _on(home, lambda connection: _load(connection, [timer_id.bytes], home.keyring))
    if not found:
        raise TimerNotFound(timer_id)
    return found[0]


async def find_named(shards: Shards, collection: str, collection_id: int, name: str) -> Timer:
    """The timer that has this name, or had it last, or NameNotFound."""
    home = shards.for_name(collection, name)

    async def work(connection: Connection) -> list[Timer]:
        rows = await connection.rows(*names.holder(collection_id, name))
        return await _load(connection, [bytes(row[0]) for row in rows], home.keyring) if rows else []

    found = await _on(home, work)
    if not found:
        raise NameNotFound(collection, name)
    return found[0]


async def list_attempts(shards: Shards, timer_id: UUID) -> list[Attempt]:
    """Every attempt of a timer, first to last, or TimerNotFound."""
    await get_timer(shards, timer_id)

    async def work(connection: Connection) -> list[Attempt]:
        rows = await connection.rows(attempts.of_timer(timer_id.bytes))
        return [_attempt_of(timer_id, row) for row in rows]

    return await _on(_home(shards, timer_id), work)


def _attempt_of(timer_id: UUID, row: Sequence[Any]) -> Attempt:
    number, outcome, state, started, finished, controller, status, latency, reason, answer, host, pid = row
    return Attempt(
        timer_id=timer_id,
        number=number,
        outcome=Outcome(outcome),
        state=TimerState(state),
        started_at_us=started,
        finished_at_us=finished,
        controller=f"{controller}" if host is None else f"{controller} ({host}:{pid})",
        http_status=status,
        latency_us=latency,
        reason=reason,
        answer=bytes(answer),
    )


async def list_timers(shards: Shards, wanted: Filter, *, limit: int, cursor: str | None) -> TimerPage:
    """A page of at most `limit` timers; `finding` tells in which order. ValueError for a cursor that did not come
    from a list of this filter.

    A timer that changes between two pages may be missed by a list that means it no more; and one that waits and
    moves may be shown twice. With several shards each is listed in turn.
    """
    place = cursors.read(cursor, wanted) if cursor is not None else Place()
    found = await find(shards, wanted, place, limit)
    timers: list[Timer] = []
    for shard, ids in found.pages:
        timers += [timer for timer in await _load_in_order(shard, ids) if wanted.matches(timer)]
    return TimerPage(timers, cursors.write(found.next, wanted) if found.next else None)


async def get_named(shards: Shards, collection: str, collection_id: int, name: str) -> Timer | None:
    """The timer that has a name, or had it last."""
    shard = shards.for_name(collection, name)

    async def work(connection: Connection) -> list[Timer]:
        rows = await connection.rows(*reading.named(collection_id, name))
        return await _load(connection, [row[0] for row in rows], shard.keyring)

    return next(iter(await _on(shard, work)), None)


async def _load_in_order(shard: Shard, ids: Sequence[bytes]) -> list[Timer]:
    """Those of the timers that are still there."""
    timers = await _on(shard, lambda connection: _load(connection, ids, shard.keyring))
    by_id = {timer.id.bytes: timer for timer in timers}
    return [by_id[timer_id] for timer_id in ids if timer_id in by_id]


async def _load(connection: Connection, timer_ids: Sequence[bytes], keyring: Keyring) -> list[Timer]:
    if not timer_ids:
        return []
    rows = await connection.rows(reading.by_ids(timer_ids))
    return [timer_of(row, keyring) for row in rows]


async def _on(shard: Shard, work: Callable[[Connection], Awaitable[Result]]) -> Result:
    return await transactions.run(shard.engine, work)


def _home(shards: Shards, timer_id: UUID) -> Shard:
    shard = shards.holding(timer_id)
    if shard is None:
        raise TimerNotFound(timer_id)
    return shard

"""Look at timers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from timer_db import transactions
from timer_db.domain.errors import TimerNotFound
from timer_db.domain.owner import DEFAULT_COLLECTION, DEFAULT_COLLECTION_ID
from timer_db.domain.queue_entry import QueueEntry, pack, unpack
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Attempt, Timer
from timer_db.encryption import Keyring
from timer_db.operations.rows import timer_of
from timer_db.shards import Shard, Shards
from timer_db.statements import attempts, claims, reading
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


async def list_timers(
    shards: Shards, *, state: TimerState | None, name: str | None, limit: int, cursor: str | None
) -> TimerPage:
    """A page of at most `limit` timers. ValueError for a cursor that did not come from here.

    Scheduled timers come in the order of the queue (highest priority, then soonest); all others newest
    first. A timer that changes its state between two pages may be missed by a list of that state; none is
    shown twice. With several shards each is listed in turn.
    """
    if name is not None:
        return await _named(shards, state, name)
    number, place = _read_cursor(cursor, state, len(shards))
    for shard in list(shards)[number:]:
        timers, last = await _page_of(shard, state, place, limit)
        if len(timers) >= limit or last:
            return TimerPage(timers, _cursor(shard.number, last) if last else _next_shard(shards, shard))
        if timers:
            return TimerPage(timers, _next_shard(shards, shard))
        place = b""
    return TimerPage([], None)


async def _named(shards: Shards, state: TimerState | None, name: str) -> TimerPage:
    shard = shards.for_name(DEFAULT_COLLECTION, name)

    async def work(connection: Connection) -> list[Timer]:
        rows = await connection.rows(*reading.named(DEFAULT_COLLECTION_ID, name))
        return await _load(connection, [row[0] for row in rows], shard.keyring)

    timers = await _on(shard, work)
    return TimerPage([timer for timer in timers if state in (None, timer.state)], None)


async def _page_of(shard: Shard, state: TimerState | None, place: bytes, limit: int) -> tuple[list[Timer], bytes]:
    """Timers behind `place`, and the place of the last one read; empty when there are no more.

    A timer whose state changed between the two reads is left out, so a page may be shorter than the limit
    though more follow.
    """

    async def work(connection: Connection) -> tuple[list[Timer], bytes]:
        if state is None:
            rows = await connection.rows(reading.newest(place or None, limit))
            timers = [timer_of(row, shard.keyring) for row in rows]
            return timers, bytes(rows[-1][0]) if len(rows) == limit else b""
        ids, last = await _ids_in_state(connection, state, place, limit)
        by_id = {timer.id.bytes: timer for timer in await _load(connection, ids, shard.keyring)}
        found = [by_id[timer_id] for timer_id in ids if timer_id in by_id]
        return [timer for timer in found if timer.state is state], last if len(ids) == limit else b""

    return await _on(shard, work)


async def _ids_in_state(
    connection: Connection, state: TimerState, place: bytes, limit: int
) -> tuple[list[bytes], bytes]:
    if state is TimerState.scheduled:
        behind = unpack(place)[0] if place else None
        rows = await connection.rows(reading.waiting(behind, limit))
        entries = [QueueEntry(rank, bytes(key)) for rank, key in rows]
        return [entry.timer_id for entry in entries], pack(entries[-1:])
    if state is TimerState.firing:
        ids = await _ids_in_hand(connection)
        ids = [timer_id for timer_id in ids if not place or timer_id < place][:limit]
    else:
        statement = (
            reading.delivered(place or None, limit)
            if state is TimerState.delivered
            else reading.ended(state, place or None, limit)
        )
        ids = [bytes(row[0]) for row in await connection.rows(statement)]
    return ids, ids[-1] if ids else b""


async def _ids_in_hand(connection: Connection) -> list[bytes]:
    batches = await connection.rows(claims.ALL)
    return sorted({e.timer_id for _, entries in batches for e in unpack(bytes(entries))}, reverse=True)


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


def _next_shard(shards: Shards, shard: Shard) -> str | None:
    return _cursor(shard.number + 1, b"") if shard.number + 1 < len(shards) else None


def _cursor(shard: int, place: bytes) -> str:
    return base64.urlsafe_b64encode(shard.to_bytes(2, "big") + place).decode().rstrip("=")


def _read_cursor(cursor: str | None, state: TimerState | None, shards: int) -> tuple[int, bytes]:
    if cursor is None:
        return 0, b""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("it is not a cursor of this service") from error
    number, place = int.from_bytes(raw[:2], "big"), raw[2:]
    length = 26 if state is TimerState.scheduled else 16
    if len(raw) < 2 or number >= shards or len(place) not in (0, length):
        raise ValueError("it is not a cursor of this list: use it with the status it came from")
    return number, place

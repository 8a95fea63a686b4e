"""Forget timers that ended long ago, with everything that is kept about them.

Delivered, failed and unknown timers are found by the log of attempts: each partition that is old enough is walked,
the timers that ended in it are deleted, and then it is dropped as a whole. A timer's state is read from its last
attempt, so no timer may outlive that. Every step can be repeated, and may be left at any point.
`operations.overdue` says what is old enough.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import orjson
from pymysql.err import MySQLError
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.marks import marks_of
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.states import TimerState
from timer_db.operations.alone import alone
from timer_db.operations.overdue import Cohort, Walk
from timer_db.operations.partitions import is_missing
from timer_db.statements import counts, events, labels, retention
from timer_db.statements.counts import MADE, Counted
from timer_db.statements.literals import LIST_MAX
from timer_db.statements.retention import Among
from timer_db.transactions import Connection

PAGE = LIST_MAX
"""The most rows of a table that one transaction deletes."""


@dataclass(frozen=True, slots=True)
class AttemptsPage:
    """How many timers were deleted, and where the page ended; None when it was the last."""

    timers: int
    last: tuple[bytes, int] | None


@dataclass(frozen=True, slots=True)
class CancelledPage:
    """How many timers were deleted, and where the page ended; None when it was the last."""

    timers: int
    last: tuple[int, bytes] | None


async def forget_page(engine: AsyncEngine, walk: Walk, behind: tuple[bytes, int] | None) -> AttemptsPage | None:
    """Delete the timers that ended with one of the next attempts of a partition, as far as the walk is about them.
    With the last page it is written down that it is done. None when somebody else is at it.

    Timers that wait for another attempt stay, as do those that were called again after they had ended.
    """
    partition = walk.partition

    async def work(connection: Connection) -> AttemptsPage | None:
        async with alone(connection, "retention") as is_alone:
            if not is_alone:
                return None
            try:
                rows = await connection.rows(retention.page(partition.name, behind, PAGE))
            except MySQLError as error:
                if not is_missing(error):
                    raise
                return None  # who was at it has just dropped it
            by_end: defaultdict[tuple[int, str], list[bytes]] = defaultdict(list)
            for timer_id, attempt, state in rows:
                if state != TimerState.scheduled:
                    by_end[attempt, state].append(timer_id)
            gone = 0
            for (attempt, state), timer_ids in by_end.items():
                ended = retention.BY_ATTEMPT.format(attempt - 1)
                forgotten = await _forget(connection, timer_ids, ended, TimerState(state), walk.among)
                if forgotten and state != TimerState.delivered:
                    await connection.write(
                        retention.forget_endings(TimerState(state), forgotten, partition.end_us)
                    )
                gone += len(forgotten)
            if len(rows) < PAGE:
                for number, from_us in walk.advances.items():
                    await connection.write(retention.advance(number, from_us, partition.end_us))
                return AttemptsPage(gone, None)
            return AttemptsPage(gone, (bytes(rows[-1][0]), int(rows[-1][1])))

    return await transactions.run(engine, work)


async def forget_cancelled(
    engine: AsyncEngine, cohort: Cohort, behind: tuple[int, bytes] | None
) -> CancelledPage | None:
    """Delete timers of these collections that were cancelled before their cutoff, oldest first, from behind where
    the page before ended. None when somebody else is at it."""

    async def work(connection: Connection) -> CancelledPage | None:
        async with alone(connection, "retention") as is_alone:
            if not is_alone:
                return None
            place = behind or (cohort.begin_us, b"")
            rows = await connection.rows(retention.cancelled(*place, cohort.cutoff_us, PAGE))
            timer_ids = [bytes(timer_id) for timer_id, _ in rows]
            forgotten: list[bytes] = []
            if timer_ids:
                forgotten = await _forget(
                    connection, timer_ids, retention.BY_CANCEL, TimerState.cancelled, cohort.among
                )
            if forgotten:
                await connection.write(
                    retention.forget_endings(TimerState.cancelled, forgotten, cohort.cutoff_us),
                    count=len(forgotten),
                )
            return CancelledPage(len(forgotten), (int(rows[-1][1]), timer_ids[-1]) if len(rows) == PAGE else None)

    return await transactions.run(engine, work)


async def forget_controllers(engine: AsyncEngine, until_us: int) -> int:
    """Delete controllers that were gone by then; attempts show their numbers from now on."""

    async def work(connection: Connection) -> int:
        return await connection.write(retention.forget_controllers(until_us, PAGE))

    return await transactions.run(engine, work)


async def forget_events(engine: AsyncEngine, until_us: int) -> int:
    """Delete what happened before then."""

    async def work(connection: Connection) -> int:
        return await connection.write(events.forget(until_us, PAGE))

    return await transactions.run(engine, work)


async def _forget(
    connection: Connection, timer_ids: Collection[bytes], ended: str, state: TimerState, among: Among
) -> list[bytes]:
    """The ids of those that were deleted; their endings are left to the caller."""
    by_collection: defaultdict[int, list[str]] = defaultdict(list)
    marks: list[bytes] = []
    fewer: Counter[Counted] = Counter()
    rows = await connection.rows(retention.lock(timer_ids, ended, among))
    forgotten = [bytes(row[0]) for row in rows]
    if not forgotten:
        return []
    for timer_id, name, shown_labels, *group in rows:
        owner = Owner(*group)
        if name is not None:
            by_collection[owner.collection_id].append(str(name))
        if shown_labels or owner != BY_DEFAULT:
            found = orjson.loads(shown_labels) if shown_labels else {}
            marks += [mark + bytes(timer_id) for mark in marks_of(found, owner)]
        fewer.subtract(Counted(*owner, counted) for counted in (MADE, state))
    await _release(connection, by_collection.items(), forgotten)
    for first in range(0, len(marks), LIST_MAX):
        await connection.write(labels.remove(sorted(marks)[first : first + LIST_MAX]))
    await connection.write(counts.add(fewer))
    await connection.write(retention.forget_timers(forgotten, ended), count=len(forgotten))
    return forgotten


async def _release(
    connection: Connection, names: Iterable[tuple[int, list[str]]], timer_ids: Collection[bytes]
) -> None:
    for collection_id, of_collection in sorted(names):
        await connection.write(*retention.release_names(collection_id, of_collection, timer_ids))

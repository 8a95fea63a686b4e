"""Forget timers that ended long ago, with everything that is kept about them.

Delivered, failed and unknown timers are found by the log of attempts: each partition that is old enough is walked,
the timers that ended in it are deleted, and then it is dropped as a whole. A timer's state is read from its last
attempt, so no timer may outlive that. Every step can be repeated, and may be left at any point.
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
from timer_db.operations.partitions import DAY_US, Partition, is_missing, present
from timer_db.statements import controllers, counts, labels, retention
from timer_db.statements.counts import MADE, Counted
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

PAGE = LIST_MAX
"""The most rows of a table that one transaction deletes."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """What ended before `cutoff_us`, and the partitions of the log in which nothing newer is."""

    cutoff_us: int
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class AttemptsPage:
    """How many timers were deleted, and where the page ended; None when it was the last."""

    timers: int
    last: tuple[bytes, int] | None


@dataclass(frozen=True, slots=True)
class CancelledPage:
    """How many timers were deleted, and when the last of them was cancelled; None when it was the last page."""

    timers: int
    last_us: int | None


async def find_overdue(engine: AsyncEngine, days: int) -> Overdue:
    """What is older than so many days, by the database's clock.

    A partition is left alone while a batch is in hand that was claimed before its end: an outcome that waited for
    the database in a controller's memory could still come into it, behind those who walk through it.
    """

    async def work(connection: Connection) -> Overdue:
        cutoff_us = int(await connection.value(controllers.NOW)) - days * DAY_US
        oldest_claim_us = await connection.value(retention.OLDEST_CLAIM)
        settled_us = cutoff_us if oldest_claim_us is None else min(cutoff_us, int(oldest_claim_us))
        old = [partition for partition in await present(connection) if partition.end_us <= settled_us]
        return Overdue(cutoff_us, tuple(old))

    return await transactions.run(engine, work)


async def forget_page(
    engine: AsyncEngine, partition: Partition, behind: tuple[bytes, int] | None
) -> AttemptsPage | None:
    """Delete the timers that ended with one of the next attempts of a partition. None when somebody else is at it.

    Timers that wait for another attempt stay, as do those that were called again after they had ended.
    """

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
                if state != TimerState.delivered:
                    await connection.write(
                        retention.forget_endings(TimerState(state), timer_ids, partition.end_us)
                    )
                ended = retention.BY_ATTEMPT.format(attempt - 1)
                gone += await _forget(connection, timer_ids, ended, TimerState(state))
            return AttemptsPage(gone, (bytes(rows[-1][0]), int(rows[-1][1])) if len(rows) == PAGE else None)

    return await transactions.run(engine, work)


async def forget_cancelled(engine: AsyncEngine, from_us: int, until_us: int) -> CancelledPage | None:
    """Delete timers that were cancelled between these times, oldest first. None when somebody else is at it."""

    async def work(connection: Connection) -> CancelledPage | None:
        async with alone(connection, "retention") as is_alone:
            if not is_alone:
                return None
            rows = await connection.rows(retention.cancelled(from_us, until_us, PAGE))
            timer_ids = [bytes(timer_id) for timer_id, _ in rows]
            gone = 0
            if timer_ids:
                gone = await _forget(connection, timer_ids, retention.BY_CANCEL, TimerState.cancelled)
                await connection.write(
                    retention.forget_endings(TimerState.cancelled, timer_ids, until_us), count=len(timer_ids)
                )
            return CancelledPage(gone, int(rows[-1][1]) if len(rows) == PAGE else None)

    return await transactions.run(engine, work)


async def forget_controllers(engine: AsyncEngine, until_us: int) -> int:
    """Delete controllers that were gone by then; attempts show their numbers from now on."""

    async def work(connection: Connection) -> int:
        return await connection.write(retention.forget_controllers(until_us, PAGE))

    return await transactions.run(engine, work)


async def _forget(connection: Connection, timer_ids: Collection[bytes], ended: str, state: TimerState) -> int:
    by_collection: defaultdict[int, list[str]] = defaultdict(list)
    marks: list[bytes] = []
    fewer: Counter[Counted] = Counter()
    rows = await connection.rows(retention.lock(timer_ids, ended))
    for timer_id, name, shown_labels, *group in rows:
        owner = Owner(*group)
        if name is not None:
            by_collection[owner.collection_id].append(str(name))
        if shown_labels or owner != BY_DEFAULT:
            found = orjson.loads(shown_labels) if shown_labels else {}
            marks += [mark + bytes(timer_id) for mark in marks_of(found, owner)]
        fewer.subtract(Counted(owner.collection_id, owner.route_id, counted) for counted in (MADE, state))
    await _release(connection, by_collection.items(), timer_ids)
    for first in range(0, len(marks), LIST_MAX):
        await connection.write(labels.remove(sorted(marks)[first : first + LIST_MAX]))
    if fewer:
        await connection.write(counts.add(fewer))
    return await connection.write(retention.forget_timers(timer_ids, ended), count=len(rows))


async def _release(
    connection: Connection, names: Iterable[tuple[int, list[str]]], timer_ids: Collection[bytes]
) -> None:
    for collection_id, of_collection in sorted(names):
        await connection.write(*retention.release_names(collection_id, of_collection, timer_ids))

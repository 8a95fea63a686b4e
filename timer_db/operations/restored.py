"""Put a restored database in order, before any controller works on it.

What was committed after the backup is not there any more. So each timer that was due between the backup and the
moment at which the old controllers stopped may have been called, and the database does not know it: such a timer
counts as one whose call was lost with its controller. An attempt with the outcome `unknown` is logged, and its
`on_unknown` decides. Runs of schedules that came due meanwhile may have been made and called too: they are made,
and doubted like the others. A restoration that was cut off is repeated with the same time: what was done is not
found again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.claim import Finished
from timer_db.domain.directory import Directory
from timer_db.domain.errors import DatabaseError
from timer_db.domain.owner import Owner
from timer_db.domain.policy import after_loss
from timer_db.domain.queue_entry import HEAD_KEY, QueueEntry, unpack
from timer_db.domain.states import OnUnknown, Outcome, TimerState
from timer_db.operations import membership
from timer_db.operations.finish import logged_in_batch, write_attempts
from timer_db.operations.plan_runs import Horizon, Page, plan_page
from timer_db.operations.rescue import split
from timer_db.shards import Shard
from timer_db.statements import claims, controllers, deferred, queue, restored
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

PAGE = LIST_MAX
"""The most timers of one transaction."""
WATCH_SECONDS = 2.0
"""A controller at work beats in that time, unless its lease is longer than 10 s."""
_UP_TO_NOW = Horizon(ahead_us=0, missed_after_us=0, made_in_time=True)
REASON = "the database was restored from a backup; this call may have been made since"


@dataclass(slots=True)
class Report:
    """What was done on one server."""

    until_us: int
    memberships: int = 0
    """That the backup took for open, and that were ended."""
    next_controller: int = 0
    """Where the numbers of controllers go on."""
    unsent: int = 0
    """Claims that cannot have been called, and stand in the queue again."""
    runs: int = 0
    """Of schedules, that came due since the backup."""
    faults: dict[str, str] = field(default_factory=dict)
    """Schedules whose runs could not be made, by name, and why."""
    doubtful: Counter[TimerState] = field(default_factory=Counter)
    """Timers that may have been called, by what became of them."""


async def put_in_order(
    shard: Shard,
    directory: Directory,
    *,
    host: str,
    pid: int,
    until_us: int | None = None,
    hold: bool = False,
    watch_seconds: float = WATCH_SECONDS,
) -> Report:
    """Make one restored server fit for its controllers. `directory` is what it knows of collections and routes.

    `until_us` is when the last controller of the lost database stopped; None is now. With `hold`, timers that
    would be called again end as `unknown` instead. Raises DatabaseError when a controller is at work on this
    server, or when the time cannot be.
    """
    engine = shard.engine
    last_beat_us = await _refuse_company(engine, watch_seconds)
    now_us = await _now_us(engine)
    report = Report(now_us if until_us is None else until_us)
    if report.until_us > now_us:
        raise DatabaseError("the time given lies in the future, by the database's clock")
    if report.until_us < last_beat_us:
        raise DatabaseError("the time given is too early: the backup itself shows a controller at work after it")
    report.memberships = await _end_memberships(engine)
    await _raise_numbers(engine)
    # A membership of its own: every attempt is somebody's, and its number is the first of the new ones.
    report.next_controller = own_id = await membership.join(engine, host, pid, restored.VERSION)
    work = _Restoration(engine, own_id, report, hold=hold)
    await work.take_claims_back()
    await work.doubt_deferred()
    await work.doubt_queue()
    await _make_missed_runs(shard, directory, report)
    # Those runs too. Before them, what they might have waited for.
    await work.doubt_queue()
    await membership.leave(engine, own_id)
    return report


async def _make_missed_runs(shard: Shard, directory: Directory, report: Report) -> None:
    """Of schedules that came due since the backup, as far as their `catch_up` asks for them."""
    page = Page()
    made_in_round = 0
    while True:
        page = await plan_page(shard, directory, _UP_TO_NOW, late=True, behind=page.behind)
        made_in_round += page.runs
        report.faults |= page.faults
        if page.behind is None:
            if not made_in_round:
                return
            report.runs += made_in_round
            made_in_round = 0


class _Restoration:
    """The walk through one server's claims and queues."""

    def __init__(self, engine: AsyncEngine, own_id: int, report: Report, *, hold: bool) -> None:
        self._engine = engine
        self._own_id = own_id
        self._report = report
        self._until_us = report.until_us
        self._hold = hold
        self._page = 0

    async def take_claims_back(self) -> None:
        """What was in hand at the time of the backup."""

        async def find(connection: Connection) -> list[int]:
            return [int(row[0]) for row in await connection.rows(controllers.GONE_WITH_CLAIMS)]

        for controller_id in await transactions.run(self._engine, find):
            while await self._take_batch_back(controller_id):
                pass

    async def _take_batch_back(self, controller_id: int) -> bool:
        async def work(connection: Connection) -> tuple[list[QueueEntry], list[Finished]] | None:
            rows = await connection.rows(claims.lock_first_of(controller_id))
            if not rows:
                return None
            number, entries = int(rows[0][0]), unpack(bytes(rows[0][1]))
            done = await logged_in_batch(connection, controller_id, number, entries)
            # What was not released at the time of the backup may have been since.
            unsent, doubtful = split(entries, 0, done, self._until_us)
            if unsent:
                await connection.write(queue.put(unsent), count=len(unsent))
            lost = await self._doubt(connection, controller_id, number, doubtful)
            await connection.write(claims.drop(controller_id, [number]), count=1)
            return unsent, lost

        taken = await transactions.run(self._engine, work)
        if taken is None:
            return False
        unsent, lost = taken
        self._report.unsent += len(unsent)
        self._count(lost)
        return True

    async def doubt_deferred(self) -> None:
        """What waited for a receiver in trouble."""

        async def find(connection: Connection) -> list[bytes]:
            return [bytes(row[0]) for row in await connection.rows(deferred.DESTINATIONS)]

        for destination in await transactions.run(self._engine, find):

            async def lock(
                connection: Connection, behind: QueueEntry, destination: bytes = destination
            ) -> list[QueueEntry]:
                rows = await connection.rows(restored.lock_deferred(destination, behind, PAGE))
                return [QueueEntry(int(rank), bytes(key)) for rank, key in rows]

            async def remove(
                connection: Connection, rank: int, keys: Sequence[bytes], destination: bytes = destination
            ) -> None:
                await connection.write(deferred.remove(destination, rank, keys), count=len(keys))

            await self._walk(QueueEntry(0, HEAD_KEY), lock, remove)

    async def doubt_queue(self) -> None:
        """What waited for its time, and was due by then."""

        async def find(connection: Connection) -> list[int]:
            return [int(row[0]) for row in await connection.rows(queue.RANKS)]

        async def lock(connection: Connection, behind: QueueEntry) -> list[QueueEntry]:
            rows = await connection.rows(restored.lock_due(behind.rank, behind.due_key, self._until_us, PAGE))
            return [QueueEntry(behind.rank, bytes(row[0])) for row in rows]

        async def remove(connection: Connection, rank: int, keys: Sequence[bytes]) -> None:
            await connection.write(queue.remove(rank, keys), count=len(keys))

        for rank in await transactions.run(self._engine, find):
            await self._walk(QueueEntry(rank, HEAD_KEY), lock, remove)

    async def _walk(
        self,
        start: QueueEntry,
        lock: Callable[[Connection, QueueEntry], Awaitable[list[QueueEntry]]],
        remove: Callable[[Connection, int, Sequence[bytes]], Awaitable[None]],
    ) -> None:
        """Page by page behind the last one, so that what was taken out is not waded through."""
        behind: QueueEntry | None = start
        while behind is not None:
            self._page += 1

            async def work(
                connection: Connection, behind: QueueEntry = behind
            ) -> tuple[QueueEntry | None, list[Finished]]:
                await self._refuse_others(connection)
                found = await lock(connection, behind)
                doubtful = [entry for entry in found if entry.at_us <= self._until_us]
                for rank, keys in _by_rank(doubtful):
                    await remove(connection, rank, keys)
                lost = await self._doubt(connection, self._own_id, self._page, doubtful)
                return (found[-1] if len(found) == PAGE else None), lost

            behind, lost = await transactions.run(self._engine, work)
            self._count(lost)

    async def _refuse_others(self, connection: Connection) -> None:
        """One that lost its membership joins again at once, and would claim what is not marked yet."""
        for controller_id, host, pid, *_ in await connection.rows(restored.MEMBERS):
            if controller_id != self._own_id:
                raise _at_work(controller_id, host, pid)

    async def _doubt(
        self, connection: Connection, controller_id: int, number: int, entries: Sequence[QueueEntry]
    ) -> list[Finished]:
        """Log an unknown attempt for each of these, which are in no queue any more."""
        if not entries:
            return []
        now_us = int(await connection.value(controllers.NOW))
        places = {entry.timer_id: entry for entry in entries}
        lost = [
            self._as_unknown(
                number, places[bytes(timer_id)], int(made) + 1, OnUnknown(on_unknown), Owner(*owner), now_us
            )
            for timer_id, made, on_unknown, *owner in await connection.rows(restored.asked(places))
        ]
        await write_attempts(connection, controller_id, lost)
        return lost

    def _as_unknown(
        self, number: int, entry: QueueEntry, attempt: int, on_unknown: OnUnknown, owner: Owner, now_us: int
    ) -> Finished:
        is_held = self._hold and on_unknown is OnUnknown.resend
        following = after_loss(OnUnknown.hold if is_held else on_unknown, now_us)
        return Finished(
            batch=number,
            entry=entry,
            attempt=attempt,
            outcome=Outcome.unknown,
            state=following.state,
            started_at_us=entry.at_us,
            finished_at_us=now_us,
            reason=REASON,
            retry_at_us=following.retry_at_us,
            owner=owner,
        )

    def _count(self, lost: Sequence[Finished]) -> None:
        self._report.doubtful.update(attempt.state for attempt in lost)


def _by_rank(entries: Sequence[QueueEntry]) -> Iterator[tuple[int, list[bytes]]]:
    keys: defaultdict[int, list[bytes]] = defaultdict(list)
    for rank, due_key in entries:
        keys[rank].append(due_key)
    yield from keys.items()


async def _refuse_company(engine: AsyncEngine, watch_seconds: float) -> int:
    """A membership that the backup took for open does not beat; one that does is a controller at work.

    Gives the last beat in the backup (0: no membership was open).
    """

    async def look(connection: Connection) -> dict[int, tuple[Any, ...]]:
        return {int(row[0]): row for row in await connection.rows(restored.MEMBERS)}

    before = await transactions.run(engine, look)
    if not before:
        return 0
    await asyncio.sleep(watch_seconds)
    for controller_id, row in (await transactions.run(engine, look)).items():
        if row != before.get(controller_id):
            raise _at_work(controller_id, *row[1:3])
    # A run of this that was cut off leaves a membership too.
    beats_us = [int(beat_us) for *_, version, beat_us in before.values() if version != restored.VERSION]
    return max(beats_us, default=0)


def _at_work(controller_id: int, host: str, pid: int) -> DatabaseError:
    return DatabaseError(
        f"controller {controller_id} ({host}:{pid}) is at work on this database:"
        " stop all controllers, then run this again"
    )


async def _end_memberships(engine: AsyncEngine) -> int:
    async def work(connection: Connection) -> int:
        return await connection.write(restored.END_ALL)

    return await transactions.run(engine, work)


async def _raise_numbers(engine: AsyncEngine) -> None:
    async def work(connection: Connection) -> None:
        await connection.write(restored.count_from(int(await connection.value(restored.NEXT_ID))))

    await transactions.run(engine, work)


async def _now_us(engine: AsyncEngine) -> int:
    async def work(connection: Connection) -> int:
        return int(await connection.value(controllers.NOW))

    return await transactions.run(engine, work)

"""One database as tests speak to it: short words for what they do all the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.claim import Claim, Finished, Returned
from timer_db.domain.filter import Filter
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import QueueEntry, entry_of, time_bound, unpack
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations import claim as claiming
from timer_db.operations import deferred, membership
from timer_db.operations.finish import Written, finish
from timer_db.operations.inspect import get_timer
from timer_db.operations.schedule import Scheduled, schedule
from timer_db.shards import Shards
from timer_db.statements import controllers
from timer_db.transactions import Connection

NOON_US = 1_800_000_000_000_000
"""The moment at which timers of tests are due, unless they say otherwise."""
SECOND_US = 1_000_000
LATER_US = NOON_US + 1_000_000 * SECOND_US
LEASE_US = 5 * SECOND_US


def new_timer(at_us: int = NOON_US, **fields: Any) -> NewTimer:
    """A timer that is due at `at_us`."""
    asked: dict[str, Any] = {
        "id": new_id(at_us),
        "due_at_us": at_us,
        "created_at_us": at_us - 60 * SECOND_US,
        "url": "https://example.com/hook",
    }
    return NewTimer(**{**asked, **fields})


def new_timers(count: int, **fields: Any) -> list[NewTimer]:
    """So many, due a microsecond apart."""
    return [new_timer(NOON_US + n, **fields) for n in range(count)]


def entries_of(timers: Iterable[NewTimer]) -> list[QueueEntry]:
    """Their places, in the order of the queue."""
    return sorted(entry_of(timer.id, timer.priority, timer.due_at_us) for timer in timers)


def finished(
    claim: Claim,
    state: TimerState = TimerState.delivered,
    outcome: Outcome = Outcome.delivered,
    **fields: Any,
) -> Finished:
    """What came of a claim: delivered, unless it is said otherwise."""
    noted: dict[str, Any] = {
        "batch": claim.batch,
        "entry": claim.entry,
        "attempt": claim.attempt,
        "outcome": outcome,
        "state": state,
        "started_at_us": NOON_US + 10,
        "finished_at_us": NOON_US + 20,
        "reason": "as the test says",
    }
    return Finished(**{**noted, **fields})


def retried(claim: Claim, at_us: int, outcome: Outcome = Outcome.not_sent) -> Finished:
    """An attempt after which another one is to come."""
    return finished(claim, TimerState.scheduled, outcome, retry_at_us=at_us)


def in_state(state: TimerState | None) -> Filter:
    """What means every timer in this state; None: in any."""
    return Filter(states=None if state is None else frozenset({state}))


class Desk:
    """The verbs of `timer_db.operations` on the one shard of a test."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.engine: AsyncEngine = next(iter(shards)).engine

    async def add(self, *timers: NewTimer) -> list[Timer]:
        """Schedule them; each must be new."""
        made: list[Timer] = []
        for result in await schedule(self.shards, timers):
            assert isinstance(result, Scheduled)
            assert result.created
            made.append(result.timer)
        return made

    async def join(self) -> int:
        """A new controller."""
        return await membership.join(self.engine, "host", 1, "test")

    async def claim(
        self,
        controller_id: int,
        number: int = 1,
        *,
        limit: int = claiming.BATCH_MAX,
        horizon_us: int = LATER_US,
        behind: Mapping[int, bytes] | None = None,
        plan: claiming.Plan = claiming.all_at_once,
    ) -> list[QueueEntry]:
        """As the claimer does; gives the places."""
        return (await self.claim_whole(controller_id, number, limit, horizon_us, behind, plan)).entries

    async def claim_whole(
        self,
        controller_id: int,
        number: int = 1,
        limit: int = claiming.BATCH_MAX,
        horizon_us: int = LATER_US,
        behind: Mapping[int, bytes] | None = None,
        plan: claiming.Plan = claiming.all_at_once,
    ) -> claiming.Taken:
        """The same with what was asked for."""
        firsts = await claiming.first_entries(self.engine, {})
        ranks = sorted(rank for rank, first in firsts.items() if first and first < time_bound(horizon_us))
        return await claiming.claim(
            self.engine,
            controller_id,
            number,
            ranks=ranks,
            behind=behind or {},
            horizon_us=horizon_us,
            limit=limit,
            plan=plan,
        )

    async def take(self, controller_id: int, number: int = 1, *, limit: int = claiming.BATCH_MAX) -> list[Claim]:
        """Claim; gives what was asked for."""
        taken = await self.claim_whole(controller_id, number, limit)
        return sorted(taken.claims, key=lambda claim: claim.entry)

    async def finish(
        self,
        controller_id: int,
        outcomes: Sequence[Finished],
        done: Iterable[int] = (),
        *,
        is_repeat: bool = False,
    ) -> Written:
        """As the finisher does."""
        return await finish(self.engine, controller_id, outcomes, [], set(done), is_repeat=is_repeat)

    async def give_back(
        self,
        controller_id: int,
        number: int,
        entries: Iterable[QueueEntry],
        *,
        is_done: bool = False,
        destination: bytes | None = None,
        is_repeat: bool = False,
    ) -> Written:
        """Claims of one batch go back unsent: into the queue, or into the backlog of a destination."""
        returned = [Returned(number, entry, destination) for entry in entries]
        done = {number} if is_done else set()
        return await finish(self.engine, controller_id, [], returned, done, is_repeat=is_repeat)

    async def defer_all(self, controller_id: int, number: int, destination: bytes) -> list[QueueEntry]:
        """Everything that is due, by way of one batch, into the backlog of a destination."""
        entries = await self.claim(controller_id, number)
        await self.give_back(controller_id, number, entries, is_done=True, destination=destination)
        return entries

    async def reclaim(
        self,
        controller_id: int,
        number: int,
        destination: bytes,
        *,
        behind: QueueEntry | None = None,
        limit: int = claiming.BATCH_MAX,
    ) -> list[QueueEntry]:
        """Claim from the backlog of a destination."""
        return await deferred.claim_deferred(
            self.engine, controller_id, number, destination=destination, behind=behind, limit=limit
        )

    async def deliver(
        self, controller_id: int, number: int = 1, *, limit: int = claiming.BATCH_MAX
    ) -> list[Claim]:
        """Claim what is due, and say that it was delivered."""
        claims = await self.take(controller_id, number, limit=limit)
        await self.finish(controller_id, [finished(claim) for claim in claims], {number})
        return claims

    async def timer(self, timer_id: UUID) -> Timer:
        """The timer as it stands."""
        return await get_timer(self.shards, timer_id)

    async def state(self, timer_id: UUID) -> TimerState:
        """Its state."""
        return (await self.timer(timer_id)).state

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Whatever a test wants to see."""

        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await connection.rows(sql)

        return await transactions.run(self.engine, work)

    async def write(self, sql: str) -> int:
        """What only a test would do. Gives the number of rows."""

        async def work(connection: Connection) -> int:
            return await connection.write(sql)

        return await transactions.run(self.engine, work)

    async def now_us(self) -> int:
        """By the database's clock."""
        return int((await self.rows(controllers.NOW))[0][0])

    async def count(self, table: str) -> int:
        """How many rows it has."""
        return int((await self.rows(f"SELECT COUNT(*) FROM {table}"))[0][0])

    async def queued(self) -> list[QueueEntry]:
        """The whole queue, in its order."""
        rows = await self.rows("SELECT priority_rank, due_key FROM due_queue WHERE is_head = 0 ORDER BY 1, 2")
        return [QueueEntry(rank, bytes(key)) for rank, key in rows]

    async def deferred(self) -> dict[bytes, list[QueueEntry]]:
        """The backlog of every destination, in its order."""
        found: dict[bytes, list[QueueEntry]] = {}
        for key, rank, due_key in await self.rows("SELECT * FROM deferred_queue ORDER BY 1, 2, 3"):
            found.setdefault(bytes(key), []).append(QueueEntry(rank, bytes(due_key)))
        return found

    async def in_hand(self) -> dict[tuple[int, int], list[QueueEntry]]:
        """Every batch by controller and number."""
        rows = await self.rows("SELECT controller_id, number, entries FROM claim_batches")
        return {(controller_id, number): unpack(bytes(entries)) for controller_id, number, entries in rows}

    async def unsent(self, controller_id: int) -> dict[int, int]:
        """By batch, how many of its last claims are known as unsent."""
        rows = await self.rows(f"SELECT number, unsent FROM claim_batches WHERE controller_id = {controller_id}")
        return {int(number): int(unsent) for number, unsent in rows}

    async def silence(self, controller_id: int, *, seconds: float) -> None:
        """Set its last beat back."""
        by_us = round(seconds * SECOND_US)
        await self.write(f"UPDATE controllers SET beat_at_us = beat_at_us - {by_us} WHERE id = {controller_id}")

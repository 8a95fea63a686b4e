"""Take back the claims of controllers that are gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.policy import after_loss
from timer_db.domain.queue_entry import QueueEntry, unpack
from timer_db.domain.states import Outcome
from timer_db.operations.claim import load_on
from timer_db.operations.finish import logged_in_batch, write_attempts
from timer_db.statements import claims, controllers, queue
from timer_db.transactions import Connection


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of one batch: timers that were surely not called, and those that may have been."""

    controller_id: int
    unsent: int
    unknown: int
    outcomes: Sequence[Finished] = field(default=(), compare=False, repr=False)
    """What was written down of those that may have been called."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A controller that is no member any more; it cannot have sent anything after `last_breath_us`."""

    controller_id: int
    last_breath_us: int


async def fence_silent(
    engine: AsyncEngine, lease_us: int, may_judge: Callable[[], bool] = lambda: True
) -> list[int]:
    """End the membership of every controller whose last beat is older than the lease; gives their ids.

    `may_judge` is asked once it is known who is silent: when the database stood still meanwhile, all are.
    """

    async def find(connection: Connection) -> list[tuple[int, int]]:
        return [(int(row[0]), int(row[1])) for row in await connection.rows(controllers.silent(lease_us))]

    fenced = []
    for controller_id, beat_at_us in await transactions.run(engine, find):

        async def fence(connection: Connection, silent: int = controller_id, beat_at_us: int = beat_at_us) -> bool:
            return await connection.write(controllers.fence(silent, beat_at_us)) == 1

        if may_judge() and await transactions.run(engine, fence):
            fenced.append(controller_id)
    return fenced


async def find_gone(engine: AsyncEngine, lease_us: int) -> list[Gone]:
    """Controllers that are gone and whose claims nobody has taken back yet."""

    async def work(connection: Connection) -> list[Gone]:
        rows = await connection.rows(controllers.GONE_WITH_CLAIMS)
        return [Gone(int(controller_id), int(beat_us) + lease_us) for controller_id, beat_us in rows]

    return await transactions.run(engine, work)


async def rescue_batch(engine: AsyncEngine, gone: Gone) -> Rescued | None:
    """Take one batch back, in one transaction; None when none is left, or another is at work on the last.

    What its controller had not released, and what is due after its last possible breath, was never sent and goes
    back where it stood. The others are `unknown`, and follow their `on_unknown`.
    """

    async def work(connection: Connection) -> Rescued | None:
        rows = await connection.rows(claims.lock_first_of(gone.controller_id))
        if not rows:
            return None
        number, entries, unsent_count = int(rows[0][0]), unpack(bytes(rows[0][1])), int(rows[0][2])
        done = await logged_in_batch(connection, gone.controller_id, number, entries)
        unsent, doubtful = split(entries, unsent_count, done, gone.last_breath_us)
        if unsent:
            await connection.write(queue.put(unsent), count=len(unsent))
        now_us = int(await connection.value(controllers.NOW))
        loaded = await load_on(connection, number, doubtful)
        lost = [_as_unknown(claim, gone, now_us) for claim in loaded]
        await write_attempts(connection, gone.controller_id, lost)
        await connection.write(claims.drop(gone.controller_id, [number]), count=1)
        return Rescued(gone.controller_id, len(unsent), len(lost), lost)

    return await transactions.run(engine, work)


def split(
    entries: Sequence[QueueEntry], unsent: int, done: Collection[QueueEntry], last_breath_us: int
) -> tuple[list[QueueEntry], list[QueueEntry]]:
    """Of what is not done: the timers that cannot have been sent, the last `unsent` among them, and those that may
    have been."""
    released = len(entries) - unsent
    not_sent: list[QueueEntry] = []
    doubtful: list[QueueEntry] = []
    for place, entry in enumerate(entries):
        if entry not in done:
            (not_sent if place >= released or entry.at_us > last_breath_us else doubtful).append(entry)
    return not_sent, doubtful


def _as_unknown(claim: Claim, gone: Gone, now_us: int) -> Finished:
    following = after_loss(claim.timer.on_unknown, now_us)
    return Finished(
        batch=claim.batch,
        entry=claim.entry,
        attempt=claim.attempt,
        outcome=Outcome.unknown,
        state=following.state,
        started_at_us=claim.entry.at_us,
        finished_at_us=now_us,
        reason=f"controller {gone.controller_id} was lost while it held this timer; the call may have been made",
        retry_at_us=following.retry_at_us,
        owner=claim.timer.owner,
    )

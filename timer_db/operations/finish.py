"""Write down what became of claims: the only place in which the batches of a living controller change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.claim import Finished, Returned
from timer_db.domain.errors import UnexpectedCount
from timer_db.domain.queue_entry import QueueEntry, pack, unpack
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.notices import write_notices
from timer_db.statements import attempts, claims, counts, deferred, queue, timers
from timer_db.statements.counts import Counted
from timer_db.transactions import Connection

_KIND = attrgetter("owner", "state")


@dataclass(frozen=True, slots=True)
class Written:
    """What of a `finish` was written. `lost` had been taken over: others decided about those timers."""

    lost: list[Finished] = field(default_factory=list)
    lost_batches: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Held:
    """A batch as it stands; the last `unsent` of its entries were surely not sent."""

    packed: bytes
    unsent: int


async def finish(
    engine: AsyncEngine,
    controller_id: int,
    finished: Sequence[Finished],
    returned: Sequence[Returned],
    done_batches: Collection[int],
    *,
    is_repeat: bool = False,
) -> Written:
    """Log attempts, put retries into the queue, put back what was not sent, and drop the batches of which
    nothing is in hand any more.

    One transaction, guarded by the batches' rows: who does not find them has lost the claims. After
    DatabaseUnavailable the same call with `is_repeat` writes what the first one did not.
    """

    async def work(connection: Connection) -> Written:
        numbers = {f.batch for f in finished} | {r.batch for r in returned} | set(done_batches)
        rows = await connection.rows(claims.lock(controller_id, numbers))
        held = {int(number): _Held(entries, int(unsent)) for number, entries, unsent in rows}
        already = await _logged_before(connection, controller_id, finished) if is_repeat else set()
        unwritten = [f for f in finished if (f.batch, f.entry, f.finished_at_us) not in already]
        lost = [f for f in unwritten if f.batch not in held]
        new = [f for f in unwritten if f.batch in held]
        await write_attempts(connection, controller_id, new)
        rests = await _put_back(connection, held, returned, is_repeat=is_repeat) if returned else {}
        for number in rests.keys() - set(done_batches):
            # Else a rescue would put back a second time what stands in a queue already.
            rest = rests[number]
            statement = claims.rewrite(controller_id, number, rest.packed, rest.unsent)
            await connection.write(statement, count=1)
        if gone := held.keys() & set(done_batches):
            await connection.write(claims.drop(controller_id, gone), count=len(gone))
        # A batch that a repeat does not find was dropped by the first try, unless something of it is lost.
        missing = frozenset(f.batch for f in lost) if is_repeat else frozenset(numbers - held.keys())
        return Written(lost, missing)

    return await transactions.run(engine, work)


async def _put_back(
    connection: Connection, held: Mapping[int, _Held], returned: Sequence[Returned], *, is_repeat: bool
) -> dict[int, _Held]:
    """Put the claims into their queues, as far as their batches hold them. Gives what is left of the batches.

    What a first try put back is not in its batch any more.
    """
    by_batch: defaultdict[int, dict[QueueEntry, bytes | None]] = defaultdict(dict)
    for r in returned:
        if r.batch in held:
            by_batch[r.batch][r.entry] = r.destination
    queued: list[QueueEntry] = []
    apart: list[tuple[bytes, QueueEntry]] = []
    rests: dict[int, _Held] = {}
    for number, back in by_batch.items():
        entries = unpack(held[number].packed)
        found = [entry for entry in entries if entry in back]
        if len(found) != len(back) and not is_repeat:
            raise UnexpectedCount(f"putting back claims of batch {number}", len(found), len(back))
        for entry in found:
            destination = back[entry]
            if destination is None:
                queued.append(entry)
            else:
                apart.append((destination, entry))
        if found:
            behind = len(entries) - held[number].unsent
            unsent = sum(entry not in back for entry in entries[behind:])
            rests[number] = _Held(pack([entry for entry in entries if entry not in back]), unsent)
    if queued:
        await connection.write(queue.put(queued), count=len(queued))
    if apart:
        await connection.write(deferred.put(apart), count=len(apart))
    return rests


async def write_attempts(connection: Connection, controller_id: int, finished: Sequence[Finished]) -> None:
    """The rows of attempts whose batch is locked by this transaction."""
    if not finished:
        return
    in_order = sorted(finished, key=lambda f: f.entry.due_key[8:])
    await connection.write(attempts.log(controller_id, in_order), count=len(in_order))
    others = [f for f in finished if f.state is not TimerState.delivered]
    retries = [(f, f.retry_at_us) for f in others if f.retry_at_us is not None]
    ended = _ends(finished if not retries else [f for f in finished if f.retry_at_us is None])
    if ended:
        await connection.write(counts.add(ended))
    failed = [f for f in others if f.state in (TimerState.failed, TimerState.unknown)]
    if failed:
        ends = [(f.state, f.entry.timer_id, f.finished_at_us) for f in failed]
        await connection.write(attempts.end(ends), count=len(ends))
        await write_notices(connection, failed)
    if retries:
        again = {f.entry.timer_id: (at, f.outcome is Outcome.unknown) for f, at in retries}
        await connection.write(timers.retry(again), count=len(again))
        await connection.write(queue.put([f.entry.moved_to(at) for f, at in retries]), count=len(retries))


def _ends(finished: Iterable[Finished]) -> Counter[Counted]:
    ended: Counter[Counted] = Counter()
    # Nearly all are of a few kinds: a name is built for each kind and not for each timer.
    for (owner, state), number in Counter(map(_KIND, finished)).items():
        ended[Counted(owner.collection_id, owner.route_id, owner.schedule_id, state)] += number
    return ended


async def logged_in_batch(
    connection: Connection, controller_id: int, number: int, entries: Iterable[QueueEntry]
) -> dict[QueueEntry, int]:
    """Those of a batch's timers whose attempt is written down, and when it finished."""
    by_id = {entry.timer_id: entry for entry in entries}
    if not by_id:
        return {}
    rows = await connection.rows(attempts.logged(controller_id, number, by_id))
    return {by_id[bytes(timer_id)]: int(finished_at_us) for timer_id, finished_at_us in rows}


async def _logged_before(
    connection: Connection, controller_id: int, finished: Sequence[Finished]
) -> set[tuple[int, QueueEntry, int]]:
    """What a first try wrote. A rescuer's row of the same claim finished at another time, and is not ours."""
    by_batch: defaultdict[int, list[QueueEntry]] = defaultdict(list)
    for f in finished:
        by_batch[f.batch].append(f.entry)
    found: set[tuple[int, QueueEntry, int]] = set()
    for number, entries in by_batch.items():
        logged = await logged_in_batch(connection, controller_id, number, entries)
        found.update((number, entry, finished_at_us) for entry, finished_at_us in logged.items())
    return found

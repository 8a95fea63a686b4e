"""Outcomes, written into the log, and claims that are given back."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Sequence

from tests.simulation.model.tables import Attempted, DuplicateKey, Tables, check_free, put
from timer_db.domain.claim import Finished, Returned
from timer_db.domain.errors import UnexpectedCount
from timer_db.domain.queue_entry import QueueEntry
from timer_db.domain.states import Outcome, TimerState
from timer_db.operations.finish import Written


def finish(
    tables: Tables,
    controller_id: int,
    finished: Sequence[Finished],
    returned: Sequence[Returned],
    done_batches: Collection[int],
    *,
    is_repeat: bool = False,
) -> Written:
    """Outcomes are logged, and claims put back, as far as the controller still has the batches they are from."""
    numbers = {f.batch for f in finished} | {r.batch for r in returned} | set(done_batches)
    held = {number for number in numbers if (controller_id, number) in tables.batches}
    unwritten = [f for f in finished if not (is_repeat and _is_logged(tables, controller_id, f))]
    lost = [f for f in unwritten if f.batch not in held]
    back: dict[int, dict[QueueEntry, bytes | None]] = defaultdict(dict)
    for r in returned:
        if r.batch in held:
            back[r.batch][r.entry] = r.destination
    for number, entries in back.items():
        missing = entries.keys() - set(tables.batches[controller_id, number].entries)
        if missing and not is_repeat:
            raise UnexpectedCount(f"batch {number}", len(entries) - len(missing), len(entries))
    # What is in the batch no more was put back by the first try.
    found = [
        (entry, destination)
        for number, entries in back.items()
        for entry, destination in entries.items()
        if entry in tables.batches[controller_id, number].entries
    ]
    new = [f for f in unwritten if f.batch in held]
    _check_attempts(tables, new)
    check_free(tables, [entry for entry, to in found if to is None] + [again for f in new if (again := _again(f))])
    write_attempts(tables, controller_id, new)
    put(tables, [entry for entry, destination in found if destination is None])
    for entry, destination in found:
        if destination is not None:
            insort(tables.deferred.setdefault(destination, []), entry)
    for number, entries in back.items():
        batch = tables.batches[controller_id, number]
        batch.unsent = sum(entry not in entries for entry in batch.entries[len(batch.entries) - batch.unsent :])
        batch.entries = [entry for entry in batch.entries if entry not in entries]
    for number in held & set(done_batches):
        del tables.batches[controller_id, number]
    missing_batches = {f.batch for f in lost} if is_repeat else numbers - held
    return Written(lost, frozenset(missing_batches))


def _again(finished: Finished) -> QueueEntry | None:
    return None if finished.retry_at_us is None else finished.entry.moved_to(finished.retry_at_us)


def _is_logged(tables: Tables, controller_id: int, wanted: Finished) -> bool:
    return any(
        made.controller_id == controller_id
        and made.finished.batch == wanted.batch
        and made.finished.finished_at_us == wanted.finished_at_us
        for made in tables.attempts.get(wanted.entry.timer_id, ())
    )


def has_logged(tables: Tables, controller_id: int, number: int, entry: QueueEntry) -> bool:
    """Whether this controller has written an outcome for this entry of its batch."""
    return any(
        made.controller_id == controller_id and made.finished.batch == number
        for made in tables.attempts.get(entry.timer_id, ())
    )


def _check_attempts(tables: Tables, finished: Sequence[Finished]) -> None:
    keys = [(f.entry.timer_id, f.attempt, f.finished_at_us) for f in finished]
    there = {
        (timer_id, made.finished.attempt, made.finished.finished_at_us)
        for timer_id, *_ in keys
        for made in tables.attempts.get(timer_id, ())
    }
    if there.intersection(keys) or len(set(keys)) < len(keys):
        raise DuplicateKey(f"in attempts: {there.intersection(keys)}")
    ends = [(f.state, f.entry.timer_id) for f in finished if _has_ended_badly(f)]
    if tables.endings.keys() & set(ends) or len(set(ends)) < len(ends):
        raise DuplicateKey(f"in endings: {ends}")


def write_attempts(tables: Tables, controller_id: int, finished: Sequence[Finished]) -> None:
    """Into the log; a timer that is tried again goes back into the queue."""
    for f in finished:
        tables.attempts.setdefault(f.entry.timer_id, []).append(Attempted(controller_id, f))
        if _has_ended_badly(f):
            tables.endings[f.state, f.entry.timer_id] = f.finished_at_us
        if f.retry_at_us is not None:
            row = tables.timers[f.entry.timer_id]
            row.attempts_made += 1
            row.next_at_us = f.retry_at_us
            row.possible_duplicate |= f.outcome is Outcome.unknown
            put(tables, [f.entry.moved_to(f.retry_at_us)])


def _has_ended_badly(finished: Finished) -> bool:
    return finished.state in (TimerState.failed, TimerState.unknown)

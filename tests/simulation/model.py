"""What the operations of `timer_db` do, as functions on plain Python values: a second, simpler telling of them.

The simulation makes thousands of runs on it, where a real server would make one. The product has no such stand-in,
and this one is worth only what ties it to the real thing: `test_model.py` does the same at random on MySQL, on
MariaDB and here, and compares every answer and every table.

Each function is a whole transaction: it happens at one moment, `now_us`, and changes nothing when it raises.
Not modelled: names, more than 32 priorities in use, rows that are missing in `timers`, retention.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import TypeVar
from uuid import UUID

from timer_db.domain.claim import Claim, Finished, Returned
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.errors import Fenced, NotCancellable, TimerNotFound, UnexpectedCount
from timer_db.domain.policy import after_loss
from timer_db.domain.queue_entry import HEAD_KEY, QueueEntry, entry_of, time_bound
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations.claim import BATCH_MAX, Plan, Taken, all_at_once
from timer_db.operations.finish import Written
from timer_db.operations.rescue import Gone, Rescued
from timer_db.operations.rows import row_of
from timer_db.statements.timers import LARGE_BYTES

Key = TypeVar("Key")


class DuplicateKey(Exception):
    """A row with this key is there."""


@dataclass(slots=True)
class Row:
    """A timer and what changes about it."""

    asked: NewTimer
    in_hand: ClaimedTimer
    is_large: bool
    next_at_us: int
    cancelled_at_us: int | None = None
    attempts_made: int = 0
    possible_duplicate: bool = False


@dataclass(slots=True)
class Batch:
    """What a controller holds."""

    claimed_at_us: int
    entries: list[QueueEntry]
    unsent: int = 0
    """So many of the last entries were surely not sent."""


@dataclass(slots=True)
class Member:
    """One membership of one controller."""

    joined_at_us: int
    beat_at_us: int
    gone_at_us: int | None = None
    gone_because: str | None = None
    settled_at_us: int = 0


@dataclass(slots=True)
class Attempted:
    """One row of the log."""

    controller_id: int
    finished: Finished


@dataclass(slots=True)
class Tables:
    """Everything that is stored."""

    timers: dict[bytes, Row] = field(default_factory=dict)
    queue: dict[int, list[bytes]] = field(default_factory=dict)
    """Due keys in their order, by rank; a rank that has its head is there without any."""
    heads: set[int] = field(default_factory=set)
    deferred: dict[bytes, list[QueueEntry]] = field(default_factory=dict)
    batches: dict[tuple[int, int], Batch] = field(default_factory=dict)
    """By controller and number."""
    attempts: dict[bytes, list[Attempted]] = field(default_factory=dict)
    """By timer, in the order in which they were written."""
    endings: dict[tuple[TimerState, bytes], int] = field(default_factory=dict)
    """When."""
    members: dict[int, Member] = field(default_factory=dict)

    def queued(self) -> list[QueueEntry]:
        """The queue in its order."""
        return [QueueEntry(rank, key) for rank in sorted(self.queue) for key in self.queue[rank]]

    def backlog(self) -> dict[bytes, list[QueueEntry]]:
        """What waits for each receiver, in its order."""
        return {key: entries for key, entries in sorted(self.deferred.items()) if entries}


# Schedule, look, cancel


def schedule(tables: Tables, timers: Sequence[NewTimer]) -> None:
    """Store what is not stored yet."""
    for timer in timers:
        if timer.id.bytes not in tables.timers:
            row = _row(timer)
            tables.timers[timer.id.bytes] = row
            _put(tables, [_place(row)])


def state_of(tables: Tables, timer_id: bytes) -> tuple[TimerState, int | None]:
    """Its state, and when it ended."""
    row = tables.timers[timer_id]
    for made in tables.attempts.get(timer_id, ()):
        if made.finished.attempt == row.attempts_made + 1:
            return made.finished.state, made.finished.finished_at_us
    if row.cancelled_at_us is not None:
        return TimerState.cancelled, row.cancelled_at_us
    place = _place(row)
    waits = place.due_key in tables.queue.get(place.rank, ()) or any(place in d for d in tables.deferred.values())
    return (TimerState.scheduled if waits else TimerState.firing), None


def get_timer(tables: Tables, timer_id: UUID) -> Timer:
    """The timer as it stands."""
    row = tables.timers.get(timer_id.bytes)
    if row is None:
        raise TimerNotFound(timer_id)
    state, ended_at_us = state_of(tables, timer_id.bytes)
    asked = {f.name: getattr(row.asked, f.name) for f in fields(NewTimer)}
    return Timer(
        **{**asked, "due_as_given": ""},
        state=state,
        attempts=row.attempts_made + (ended_at_us is not None and state is not TimerState.cancelled),
        next_attempt_at_us=row.next_at_us if state is TimerState.scheduled else None,
        ended_at_us=ended_at_us,
    )


def cancel(tables: Tables, now_us: int, timer_id: UUID) -> Timer:
    """Take it out of whichever queue it is in."""
    timer = get_timer(tables, timer_id)
    if timer.state is not TimerState.scheduled:
        raise NotCancellable(timer_id, timer.state)
    row = tables.timers[timer_id.bytes]
    place = _place(row)
    if place.due_key in tables.queue.get(place.rank, ()):
        tables.queue[place.rank].remove(place.due_key)
    else:
        for entries in tables.deferred.values():
            if place in entries:
                entries.remove(place)
    row.cancelled_at_us = now_us
    tables.endings[TimerState.cancelled, timer_id.bytes] = now_us
    return get_timer(tables, timer_id)


# Claim


def first_entries(tables: Tables, behind: Mapping[int, bytes]) -> dict[int, bytes | None]:
    """For every priority in use or asked for, the first due key behind its bound."""
    found: dict[int, bytes | None] = {}
    for rank in {*behind, *tables.heads, *(rank for rank, keys in tables.queue.items() if keys)}:
        bound = behind.get(rank, HEAD_KEY)
        found[rank] = next((key for key in tables.queue.get(rank, ()) if key > bound), None)
    return found


def put_heads(tables: Tables, ranks: Collection[int]) -> None:
    """See to it that they have heads."""
    tables.heads.update(ranks)


def claim(
    tables: Tables,
    now_us: int,
    controller_id: int,
    number: int,
    *,
    ranks: Sequence[int],
    behind: Mapping[int, bytes],
    horizon_us: int,
    limit: int,
    plan: Plan = all_at_once,
) -> Taken:
    """Rank by rank, what is behind the bound and before the horizon."""
    entries: list[QueueEntry] = []
    for rank in ranks:
        low, high = behind.get(rank, HEAD_KEY), time_bound(horizon_us)
        found = [QueueEntry(rank, key) for key in tables.queue.get(rank, ()) if low < key < high]
        entries += found[: min(limit, BATCH_MAX) - len(entries)]
    claims = load(tables, number, entries)
    ordered, unsent = plan(entries, claims)
    _hold(tables, now_us, controller_id, number, ordered, unsent)
    for entry in entries:
        tables.queue[entry.rank].remove(entry.due_key)
    return Taken(entries, claims, ordered[len(ordered) - unsent :])


def adopt(tables: Tables, controller_id: int, number: int) -> tuple[list[QueueEntry], int]:
    """What is in this batch, and how many of the last were surely not sent."""
    batch = tables.batches.get((controller_id, number))
    return (list(batch.entries), batch.unsent) if batch else ([], 0)


def release(tables: Tables, controller_id: int, unsent: Mapping[int, int]) -> None:
    """From now on only so many of the last are surely not sent."""
    found = [tables.batches.get((controller_id, number)) for number in unsent]
    batches = [batch for batch in found if batch]
    if len(batches) < len(found):
        raise Fenced(f"controller {controller_id} lost {len(found) - len(batches)} batches")
    for batch, count in zip(batches, unsent.values(), strict=True):
        batch.unsent = min(batch.unsent, count)


def load(tables: Tables, batch: int, entries: Sequence[QueueEntry]) -> list[Claim]:
    """What was asked for."""
    return [_claim(tables, batch, entry, whole=False) for entry in entries]


def load_whole(tables: Tables, claimed: Claim) -> Claim:
    """The same with what is large."""
    if claimed.entry.timer_id not in tables.timers:
        raise TimerNotFound(claimed.timer.id)
    return _claim(tables, claimed.batch, claimed.entry, whole=True)


# Deferred timers


def destinations(tables: Tables) -> list[bytes]:
    """For whom something waits."""
    return list(tables.backlog())


def claim_deferred(
    tables: Tables,
    now_us: int,
    controller_id: int,
    number: int,
    *,
    destination: bytes,
    behind: QueueEntry | None,
    limit: int,
) -> list[QueueEntry]:
    """The first of one receiver."""
    backlog = tables.deferred.get(destination, [])
    entries = [entry for entry in backlog if behind is None or entry > behind][: min(limit, BATCH_MAX)]
    _hold(tables, now_us, controller_id, number, entries)
    for entry in entries:
        backlog.remove(entry)
    return entries


# Finish


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
    _check_free(
        tables, [entry for entry, to in found if to is None] + [again for f in new if (again := _again(f))]
    )
    _write_attempts(tables, controller_id, new)
    _put(tables, [entry for entry, destination in found if destination is None])
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


# Membership and rescue


def join(tables: Tables, now_us: int, controller_id: int | None = None) -> int:
    """A new membership, under the id that the server chose."""
    new = max(tables.members, default=0) + 1 if controller_id is None else controller_id
    tables.members[new] = Member(now_us, now_us)
    return new


def beat(tables: Tables, now_us: int, controller_id: int, settled_at_us: int = 0) -> int:
    """Tell that it lives, and since when it is settled; gives the time."""
    member = tables.members.get(controller_id)
    if member is None or member.gone_at_us is not None:
        raise Fenced(f"controller {controller_id} was silent for too long")
    member.beat_at_us = now_us
    member.settled_at_us = settled_at_us
    return now_us


def settled(tables: Tables) -> dict[int, int]:
    """Those that have not gone, and what each said last."""
    return {number: member.settled_at_us for number, member in tables.members.items() if member.gone_at_us is None}


def leave(tables: Tables, now_us: int, controller_id: int) -> bool:
    """Whether it was a member until now."""
    return _end(tables, now_us, controller_id, "left")


def silent(tables: Tables, now_us: int, lease_us: int) -> list[int]:
    """Members whose last beat is older than the lease."""
    return [
        controller_id
        for controller_id, member in sorted(tables.members.items())
        if member.gone_at_us is None and member.beat_at_us < now_us - lease_us
    ]


def fence(tables: Tables, now_us: int, controller_id: int, lease_us: int) -> bool:
    """End the membership, unless it beat in the meantime."""
    return controller_id in silent(tables, now_us, lease_us) and _end(tables, now_us, controller_id, "fenced")


def find_gone(tables: Tables, lease_us: int) -> list[Gone]:
    """Those whose claims nobody has taken back yet."""
    gone = sorted({c for c, _ in tables.batches if tables.members[c].gone_at_us is not None})
    return [Gone(c, tables.members[c].beat_at_us + lease_us) for c in gone]


def rescue_batch(
    tables: Tables, now_us: int, gone: Gone, locked: Collection[tuple[int, int]] = ()
) -> Rescued | None:
    """Take its first batch back that nobody has locked."""
    keys = [key for key in sorted(tables.batches) if key[0] == gone.controller_id and key not in locked]
    if not keys:
        return None
    controller_id, number = keys[0]
    open_entries = [
        entry for entry in tables.batches[keys[0]].entries if not _has_logged(tables, controller_id, number, entry)
    ]
    batch = tables.batches[keys[0]]
    kept = set(batch.entries[len(batch.entries) - batch.unsent :])
    unsent = [entry for entry in open_entries if entry.at_us > gone.last_breath_us or entry in kept]
    doubtful = [entry for entry in open_entries if entry not in unsent]
    _check_free(tables, unsent)
    lost = [
        _lost(_claim(tables, number, entry, whole=False), gone, now_us)
        for entry in doubtful
        if entry.timer_id in tables.timers
    ]
    _put(tables, unsent)
    _write_attempts(tables, controller_id, lost)
    del tables.batches[keys[0]]
    return Rescued(controller_id, len(unsent), len(lost))


def _lost(claimed: Claim, gone: Gone, now_us: int) -> Finished:
    following = after_loss(claimed.timer.on_unknown, now_us)
    return Finished(
        batch=claimed.batch,
        entry=claimed.entry,
        attempt=claimed.attempt,
        outcome=Outcome.unknown,
        state=following.state,
        started_at_us=claimed.entry.at_us,
        finished_at_us=now_us,
        reason=f"controller {gone.controller_id} was lost while it held this timer; the call may have been made",
        retry_at_us=following.retry_at_us,
    )


# What the transactions are made of


def _row(timer: NewTimer) -> Row:
    stored = row_of(timer)
    headers, meta, labels, retry = str(stored[9] or ""), *(str(part or "") for part in stored[12:15])
    size = sum(len(part) for part in (timer.body or b"", headers.encode(), meta.encode(), labels.encode()))
    in_hand = ClaimedTimer(
        id_text=str(timer.id),
        due_at_us=timer.due_at_us,
        created_at_us=timer.created_at_us,
        url=timer.url or "",
        method=timer.method or "",
        headers_json=headers,
        body=timer.body,
        body_is_json=timer.body_is_json,
        meta_json=meta,
        name=timer.name,
        labels_json=labels,
        priority=timer.priority,
        append_id=timer.append_id,
        retry_json=retry,
        timeout_seconds=round((timer.timeout_seconds or 0) * 1000) / 1000,
        on_unknown=timer.on_unknown,
        attempts=0,
    )
    return Row(timer, in_hand, size > LARGE_BYTES, max(timer.due_at_us, timer.created_at_us))


def _place(row: Row) -> QueueEntry:
    return entry_of(row.asked.id, row.asked.priority, row.next_at_us)


def _claim(tables: Tables, batch: int, entry: QueueEntry, *, whole: bool) -> Claim:
    row = tables.timers[entry.timer_id]
    is_cut = row.is_large and not whole
    timer = copy(row.in_hand)
    timer.attempts = row.attempts_made
    if is_cut:
        timer.body = None
        timer.headers_json = timer.meta_json = timer.labels_json = ""
    return Claim(batch, entry, timer, row.attempts_made + 1, row.possible_duplicate, is_cut)


def _put(tables: Tables, entries: Iterable[QueueEntry]) -> None:
    for entry in entries:
        insort(tables.queue.setdefault(entry.rank, []), entry.due_key)


def _check_free(tables: Tables, entries: Sequence[QueueEntry]) -> None:
    taken = [entry for entry in entries if entry.due_key in tables.queue.get(entry.rank, ())]
    if taken or len(set(entries)) < len(entries):
        raise DuplicateKey(f"in due_queue: {taken or entries}")


def _hold(
    tables: Tables,
    now_us: int,
    controller_id: int,
    number: int,
    entries: Sequence[QueueEntry],
    unsent: int = 0,
) -> None:
    if not entries:
        return
    member = tables.members.get(controller_id)
    if member is None or member.gone_at_us is not None:
        raise Fenced(f"controller {controller_id} is no member any more")
    if (controller_id, number) in tables.batches:
        raise DuplicateKey(f"in claim_batches: {controller_id}, {number}")
    tables.batches[controller_id, number] = Batch(now_us, list(entries), unsent)


def _end(tables: Tables, now_us: int, controller_id: int, because: str) -> bool:
    member = tables.members.get(controller_id)
    if member is None or member.gone_at_us is not None:
        return False
    member.gone_at_us, member.gone_because = now_us, because
    return True


def _again(finished: Finished) -> QueueEntry | None:
    return None if finished.retry_at_us is None else finished.entry.moved_to(finished.retry_at_us)


def _is_logged(tables: Tables, controller_id: int, wanted: Finished) -> bool:
    return any(
        made.controller_id == controller_id
        and made.finished.batch == wanted.batch
        and made.finished.finished_at_us == wanted.finished_at_us
        for made in tables.attempts.get(wanted.entry.timer_id, ())
    )


def _has_logged(tables: Tables, controller_id: int, number: int, entry: QueueEntry) -> bool:
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


def _write_attempts(tables: Tables, controller_id: int, finished: Sequence[Finished]) -> None:
    for f in finished:
        tables.attempts.setdefault(f.entry.timer_id, []).append(Attempted(controller_id, f))
        if _has_ended_badly(f):
            tables.endings[f.state, f.entry.timer_id] = f.finished_at_us
        if f.retry_at_us is not None:
            row = tables.timers[f.entry.timer_id]
            row.attempts_made += 1
            row.next_at_us = f.retry_at_us
            row.possible_duplicate |= f.outcome is Outcome.unknown
            _put(tables, [f.entry.moved_to(f.retry_at_us)])


def _has_ended_badly(finished: Finished) -> bool:
    return finished.state in (TimerState.failed, TimerState.unknown)


Work = Callable[[Tables, int], Key]
"""One transaction: the tables, and the server's time."""

"""Claims of what is due and of what was deferred, and what is looked up for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy

from tests.simulation.model.tables import Batch, DuplicateKey, Tables
from timer_db.domain.claim import Claim
from timer_db.domain.errors import Fenced, TimerNotFound
from timer_db.domain.queue_entry import HEAD_KEY, QueueEntry, time_bound
from timer_db.operations.claim import BATCH_MAX, Plan, Taken, all_at_once


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
    return [claim_of(tables, batch, entry, whole=False) for entry in entries]


def load_whole(tables: Tables, claimed: Claim) -> Claim:
    """The same with what is large."""
    if claimed.entry.timer_id not in tables.timers:
        raise TimerNotFound(claimed.timer.id)
    return claim_of(tables, claimed.batch, claimed.entry, whole=True)


def claim_of(tables: Tables, batch: int, entry: QueueEntry, *, whole: bool) -> Claim:
    """What a controller learns of the timer; what is large, if it asks for the whole."""
    row = tables.timers[entry.timer_id]
    is_cut = row.is_large and not whole
    timer = copy(row.in_hand)
    timer.attempts = row.attempts_made
    if is_cut:
        timer.body = None
        timer.headers_json = timer.meta_json = timer.labels_json = ""
    return Claim(batch, entry, timer, row.attempts_made + 1, row.possible_duplicate, is_cut)


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

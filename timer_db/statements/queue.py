"""`due_queue`: the order in which timers are claimed.

What was deleted stays in the index until the server purges it, and a read that meets it wades through it: a
backup that lasts an hour keeps every timer that was claimed meanwhile. So reads here begin behind what was looked
through before, and end before the next priority begins: its first row is its head, a row that is no timer and is
never deleted. Without it, a read that finds nothing in one priority would go on through what was deleted in the
next, since InnoDB looks at the end of a range only when it meets a row that is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from timer_db.domain.queue_entry import HEAD_KEY, PRIORITY_MAX, QueueEntry, time_bound
from timer_db.statements.literals import FORCE_KEY, delete_from, of_bytes, of_entries, of_list

LOOKUPS_MAX = 32
"""Up to so many priorities each is looked up by itself, at some 20 µs; beyond, one statement hops through all."""

RANKS = "SELECT priority_rank FROM due_queue GROUP BY priority_rank"
"""Every priority in use, and every one that has a head."""


def firsts(behind: Mapping[int, bytes]) -> str:
    """For these ranks, the first due key behind the one given: (rank, key), or (rank, NULL) or no row at all.

    Ranks that are not named but have rows come too, one of them at least. A row that is null is nothing.
    """
    if len(behind) > LOOKUPS_MAX:
        return (
            f"SELECT priority_rank, MIN(due_key) FROM due_queue WHERE due_key > {of_bytes(min(behind.values()))}"
            " GROUP BY priority_rank"
        )
    # MIN() over a stretch of the key is one dive into it, whatever the planner takes the table for.
    named = [
        f"SELECT {rank}, MIN(due_key) FROM due_queue WHERE priority_rank = {rank} AND due_key > {of_bytes(key)}"
        for rank, key in sorted(behind.items())
    ]
    between = [
        f"SELECT MIN(priority_rank), NULL FROM due_queue WHERE priority_rank BETWEEN {low + 1} AND {high - 1}"
        for low, high in pairwise([-1, *sorted(behind), PRIORITY_MAX + 1])
        if low + 1 < high
    ]
    return " UNION ALL ".join([*named, *between])


def take(rank: int, behind: bytes, horizon_us: int, limit: int) -> str:
    """The first entries of one priority that may be called before `horizon_us`, locked.

    SKIP LOCKED: what another controller is claiming is passed over, not waited for. Equality on the first
    column and a range on the second read the key in order, so that no row beyond `limit` is locked.
    `behind` is a bound below which was looked before.
    """
    # A table of which nearly everything was deleted is empty to MySQL's planner: with the key alone it would read,
    # and lock, the whole index. `is_head` is not in the index, and so keeps it to the range.
    return (
        f"SELECT due_key FROM due_queue {FORCE_KEY} WHERE priority_rank = {rank}"
        f" AND due_key > {of_bytes(behind)} AND due_key < {of_bytes(time_bound(horizon_us))} AND is_head = 0"
        f" ORDER BY due_key LIMIT {limit} FOR UPDATE SKIP LOCKED"
    )


def lock(rank: int, due_keys: Iterable[bytes]) -> str:
    """Those of these entries that are there, locked. It waits for whoever claims them, and so knows for sure."""
    return (
        f"SELECT due_key FROM due_queue {FORCE_KEY} WHERE priority_rank = {rank}"
        f" AND due_key IN ({of_list(due_keys)}) ORDER BY due_key FOR UPDATE"
    )


def remove(rank: int, due_keys: Iterable[bytes]) -> str:
    """Take entries of one priority out. Count: one per key that is there."""
    return f"{delete_from('due_queue')} WHERE priority_rank = {rank} AND due_key IN ({of_list(due_keys)})"


def put(entries: Iterable[QueueEntry]) -> str:
    """Put entries in."""
    return f"INSERT INTO due_queue (priority_rank, due_key) VALUES {of_entries(entries)}"


def put_new(timers: Iterable[tuple[int, int, bytes]]) -> str:
    """Put new timers in: (priority, when it may be called, id)."""
    places = [
        f"({PRIORITY_MAX - priority},x'{at_us:016x}{timer_id.hex()}')" for priority, at_us, timer_id in timers
    ]
    return f"INSERT INTO due_queue (priority_rank, due_key) VALUES {','.join(places)}"


def put_heads(ranks: Iterable[int]) -> str:
    """Give priorities their heads; one that has it keeps it."""
    heads = of_entries(QueueEntry(rank, HEAD_KEY) for rank in ranks)
    return (
        f"INSERT INTO due_queue (priority_rank, due_key) VALUES {heads}"
        " ON DUPLICATE KEY UPDATE priority_rank = due_queue.priority_rank"
    )

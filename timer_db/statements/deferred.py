"""`deferred_queue`: timers that wait for a receiver in trouble, receiver by receiver in the order of the queue.

There is a second key, by which a timer's entry is found without its receiver. So rows are locked by way of the
primary key first, always, and removed then: whoever went by the other key could wait for one who goes by this one,
and that one for him.
"""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.domain.queue_entry import QueueEntry
from timer_db.statements.literals import FORCE_KEY, delete_from, of_bytes, of_list

DESTINATIONS = f"SELECT destination FROM deferred_queue {FORCE_KEY} GROUP BY destination"
"""Every receiver for which something waits: a hop through the key per receiver."""


def take(destination: bytes, behind: QueueEntry | None, limit: int) -> str:
    """The first entries of one receiver, locked, and none of those that others have locked.

    `behind` is where the last look ended: what was deleted there stays in the index until the server purges it,
    and is not waded through. The row comparison is written out, since MariaDB reads a range only from that form.
    """
    bound = ""
    if behind:
        rank, key = behind.rank, of_bytes(behind.due_key)
        bound = (
            f" AND priority_rank >= {rank} AND (priority_rank > {rank}"
            f" OR (priority_rank = {rank} AND due_key > {key}))"
        )
    return (
        f"SELECT priority_rank, due_key FROM deferred_queue {FORCE_KEY}"
        f" WHERE destination = {of_bytes(destination)}{bound}"
        f" ORDER BY priority_rank, due_key LIMIT {limit} FOR UPDATE SKIP LOCKED"
    )


def remove(destination: bytes, rank: int, due_keys: Iterable[bytes]) -> str:
    """Take entries of one receiver and priority out that are locked. Count: one per key.

    MariaDB goes by whichever key it likes better, and by the whole of it.
    """
    return (
        f"{delete_from('deferred_queue')} WHERE destination = {of_bytes(destination)}"
        f" AND priority_rank = {rank} AND due_key IN ({of_list(due_keys)})"
    )


def put(rows: Iterable[tuple[bytes, QueueEntry]]) -> str:
    """Put entries in, each with its receiver."""
    values = ",".join([f"({of_bytes(key)},{e.rank},{of_bytes(e.due_key)})" for key, e in sorted(rows)])
    return f"INSERT INTO deferred_queue (destination, priority_rank, due_key) VALUES {values}"


def lock(destination: bytes, rank: int, due_keys: Iterable[bytes]) -> str:
    """Those of these entries that are there, locked."""
    return (
        f"SELECT due_key FROM deferred_queue {FORCE_KEY} WHERE destination = {of_bytes(destination)}"
        f" AND priority_rank = {rank} AND due_key IN ({of_list(due_keys)}) ORDER BY due_key FOR UPDATE"
    )

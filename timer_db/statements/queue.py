"""`due_queue`: the order in which timers are claimed."""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.statements.literals import delete_from, of_bytes, of_entries, of_list

READY = "SELECT priority_rank, MIN(due_key) FROM due_queue GROUP BY priority_rank"
"""The first entry of each priority in use: a hop through the key per priority (loose index scan)."""


def take(rank: int, behind: bytes, horizon_us: int, limit: int) -> str:
    """The first entries of one priority that may be called before `horizon_us`, locked.

    SKIP LOCKED: what another controller is claiming is passed over, not waited for. Equality on the first
    column and a range on the second read the key in order, so that no row beyond `limit` is locked.
    `behind` is a bound below which this drain has already looked.
    """
    return (
        f"SELECT due_key FROM due_queue WHERE priority_rank = {rank}"
        f" AND due_key > {of_bytes(behind)} AND due_key < {of_bytes(time_bound(horizon_us))}"
        f" ORDER BY due_key LIMIT {limit} FOR UPDATE SKIP LOCKED"
    )


def remove(rank: int, due_keys: Iterable[bytes]) -> str:
    """Take entries of one priority out. Count: one per key that is there."""
    return f"{delete_from('due_queue')} WHERE priority_rank = {rank} AND due_key IN ({of_list(due_keys)})"


def put(entries: Iterable[QueueEntry]) -> str:
    """Put entries in."""
    return f"INSERT INTO due_queue (priority_rank, due_key) VALUES {of_entries(entries)}"

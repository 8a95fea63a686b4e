"""After a restore from a backup: who still counts as a member, and what may have been called since."""

from __future__ import annotations

from collections.abc import Iterable

from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.statements.literals import FORCE_KEY, NOW_US, of_bytes, of_list

VERSION = "restored"
"""What stands for its version in the membership of the one who restores."""
MEMBERS = "SELECT id, host, pid, version, beat_at_us FROM controllers WHERE gone_at_us IS NULL ORDER BY id"
"""Controllers that may hold claims, whether they live or the backup only says so."""

END_ALL = (
    f"UPDATE controllers SET gone_at_us = {NOW_US}, gone_because = 'fenced' WHERE gone_at_us IS NULL ORDER BY id"
)
"""End every membership. Count: those that were open."""

NEXT_ID = "SELECT GREATEST(UNIX_TIMESTAMP(), COALESCE(MAX(id), 0) + 1) FROM controllers"
"""A number that no controller had before, those that joined after the backup among them.

By the time, since nothing in a restored database tells how far the numbers had come. They never overtake the
seconds since 1970, unless more than one controller a second joins for as long as the system runs; and a second
restore of the same backup comes later, so its numbers are higher again. INT UNSIGNED lasts until 2106.
"""


def count_from(controller_id: int) -> str:
    """The next controller gets this number; the server takes a higher one if it has given that out."""
    return f"ALTER TABLE controllers AUTO_INCREMENT = {controller_id}"


def lock_due(rank: int, behind: bytes, until_us: int, limit: int) -> str:
    """The first entries of one priority that might be called at `until_us` or before, locked.

    Unlike a claim it waits for rows that are locked: none may be left out.
    """
    return (
        f"SELECT due_key FROM due_queue {FORCE_KEY} WHERE priority_rank = {rank}"
        f" AND due_key > {of_bytes(behind)} AND due_key < {of_bytes(time_bound(until_us + 1))} AND is_head = 0"
        f" ORDER BY due_key LIMIT {limit} FOR UPDATE"
    )


def lock_deferred(destination: bytes, behind: QueueEntry, limit: int) -> str:
    """The next entries that wait for one receiver, in the order of their key, locked."""
    rank, key = behind.rank, of_bytes(behind.due_key)
    return (
        f"SELECT priority_rank, due_key FROM deferred_queue {FORCE_KEY}"
        f" WHERE destination = {of_bytes(destination)}"
        f" AND priority_rank >= {rank} AND (priority_rank > {rank}"
        f" OR (priority_rank = {rank} AND due_key > {key}))"
        f" ORDER BY priority_rank, due_key LIMIT {limit} FOR UPDATE"
    )


def asked(timer_ids: Iterable[bytes]) -> str:
    """What decides about a lost call, and nothing of the content: (id, attempts that a retry followed, on_unknown,
    collection, route, schedule)."""
    return (
        "SELECT id, attempts_made, on_unknown, collection_id, IFNULL(route_id, 0), IFNULL(schedule_id, 0)"
        f" FROM timers {FORCE_KEY} WHERE id IN ({of_list(timer_ids)})"
    )

"""Timers with their state, each page in one statement, so that every row is consistent in itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timer_db.domain.queue_entry import HEAD_KEY, PRIORITY_MAX, QueueEntry
from timer_db.domain.states import TimerState
from timer_db.statements.literals import of_bytes, of_list
from timer_db.statements.timers import ASKED

_DUE_KEY = "CONCAT(UNHEX(LPAD(HEX(t.next_at_us), 16, '0')), t.id)"
_IN_QUEUE = f"q.priority_rank = {PRIORITY_MAX} - t.priority AND q.due_key = {_DUE_KEY}"
_IS_DEFERRED = f"d.priority_rank = {PRIORITY_MAX} - t.priority AND d.due_key = {_DUE_KEY}"
# The row that ended the timer: that of the attempt which no retry followed.
_ENDED_BY = "a.timer_id = t.id AND a.attempt = t.attempts_made + 1"
WAITS = "(q.due_key IS NOT NULL OR d.due_key IS NOT NULL)"
STATE_OF_TIMER = (
    f"LEFT JOIN due_queue q ON {_IN_QUEUE} LEFT JOIN deferred_queue d ON {_IS_DEFERRED}"
    f" LEFT JOIN attempts a ON {_ENDED_BY}"
)
_SHOWN = f"{ASKED}, {WAITS}, a.state, a.finished_at_us"


def by_ids(timer_ids: Iterable[bytes]) -> str:
    """These timers, in no order."""
    return f"SELECT {_SHOWN} FROM timers t {STATE_OF_TIMER} WHERE t.id IN ({of_list(timer_ids)})"


def standing(timer_ids: Iterable[bytes]) -> str:
    """Where timers stand: what of their places, states and last attempts tells what can be done with them."""
    return (
        "SELECT t.id, t.collection_id, t.priority, t.due_at_us, t.next_at_us, t.cancelled_at_us, t.attempts_made,"
        f" q.due_key IS NOT NULL, d.destination, a.state, a.outcome FROM timers t {STATE_OF_TIMER}"
        f" WHERE t.id IN ({of_list(timer_ids)})"
    )


def wanting_notice(timer_ids: Iterable[bytes]) -> str:
    """Those of these timers whose failure is to be told."""
    return (
        f"SELECT {_SHOWN} FROM timers t {STATE_OF_TIMER} WHERE t.id IN ({of_list(timer_ids)})"
        " AND t.on_failure_url IS NOT NULL"
    )


def newest(before: bytes | None, limit: int) -> str:
    """Ids of timers in any state, newest first."""
    bound = f"WHERE id < {of_bytes(before)}" if before else ""
    return f"SELECT id FROM timers {bound} ORDER BY id DESC LIMIT {limit}"


def delivered(before: bytes | None, limit: int) -> str:
    """Ids of delivered timers, newest first, by way of the log: nearly every row of it is one."""
    bound = f"AND a.timer_id < {of_bytes(before)}" if before else ""
    return (
        f"SELECT a.timer_id AS id FROM attempts a WHERE a.state = '{TimerState.delivered}' {bound}"
        f" ORDER BY a.timer_id DESC LIMIT {limit}"
    )


def ended(state: TimerState, before: bytes | None, limit: int) -> str:
    """Ids of timers that failed, were cancelled, or are unknown, newest first."""
    bound = f"AND timer_id < {of_bytes(before)}" if before else ""
    return (
        f"SELECT timer_id AS id FROM endings WHERE state = '{state}' {bound} ORDER BY timer_id DESC LIMIT {limit}"
    )


def waiting(behind: QueueEntry | None, limit: int) -> str:
    """Entries of scheduled timers in the order of the queue, those that wait for a receiver in trouble among them.

    In one statement, so that a timer that moves from one table to the other is seen in one of them. The row
    comparison is written out, since MariaDB reads a range only from that form.
    """
    bound = f"due_key > {of_bytes(HEAD_KEY)}"
    if behind:
        rank, key = behind.rank, of_bytes(behind.due_key)
        bound += (
            f" AND priority_rank >= {rank} AND (priority_rank > {rank}"
            f" OR (priority_rank = {rank} AND due_key > {key}))"
        )
    return _from_both_queues(bound, limit)


def waiting_between(rank: int, behind: bytes, until: bytes, limit: int) -> str:
    """The same for one priority, between two due keys."""
    bound = f"priority_rank = {rank} AND due_key > {of_bytes(behind)} AND due_key < {of_bytes(until)}"
    return _from_both_queues(bound, limit)


def _from_both_queues(bound: str, limit: int) -> str:
    order = f"ORDER BY priority_rank, due_key LIMIT {limit}"
    pages = [
        f"(SELECT priority_rank, due_key FROM {table} WHERE {bound} {order})"
        for table in ("due_queue", "deferred_queue")
    ]
    return f"{' UNION ALL '.join(pages)} {order}"


def ranks(first: int, limit: int) -> str:
    """Priorities in use, as ranks from `first` on, ascending: a hop through the key for each."""
    pages = [
        f"(SELECT priority_rank FROM {table} WHERE priority_rank >= {first} GROUP BY priority_rank LIMIT {limit})"
        for table in ("due_queue", "deferred_queue")
    ]
    return f"{' UNION '.join(pages)} ORDER BY priority_rank LIMIT {limit}"


def named(collection_id: int, name: str) -> tuple[str, tuple[Any, ...]]:
    """The id of the timer that has the name."""
    return "SELECT timer_id FROM timer_names WHERE collection_id = %s AND name = %s", (collection_id, name)

"""`timers`: what users asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from timer_db.statements.literals import of_bytes, of_list

_NEW = (
    "id, name, priority, due_at_us, next_at_us, created_at_us, url, append_id, method, headers,"
    " body, body_is_json, meta, labels, retry, timeout_ms, on_unknown"
)
_NEW_ROW = "(" + ",".join(["%s"] * 17) + ")"

ASKED = (
    "t.id, t.name, t.priority, t.due_at_us, t.next_at_us, t.created_at_us, t.cancelled_at_us, t.attempts_made,"
    " t.possible_duplicate, t.url, t.append_id, t.method, t.headers, t.body, t.body_is_json, t.meta, t.labels,"
    " t.retry, t.timeout_ms, t.on_unknown"
)
"""What `operations.rows.timer_of` reads, in its order."""


def insert(rows: Sequence[tuple[Any, ...]]) -> tuple[str, tuple[Any, ...]]:
    """New timers; each row has the values of `_NEW`, in that order."""
    values = ",".join([_NEW_ROW] * len(rows))
    return f"INSERT INTO timers ({_NEW}) VALUES {values}", tuple([v for row in rows for v in row])


def existing(timer_ids: Iterable[bytes]) -> str:
    """Those of the ids that are there."""
    return f"SELECT id FROM timers WHERE id IN ({of_list(timer_ids)})"


def asked(timer_ids: Iterable[bytes]) -> str:
    """What was asked for, without the state: for those who hold the claims."""
    return f"SELECT {ASKED} FROM timers t WHERE t.id IN ({of_list(timer_ids)})"


def retry(rows: Mapping[bytes, tuple[int, bool]]) -> str:
    """For each id: when to try again, and whether the attempt may have arrived. Count: one per id."""
    times = " ".join([f"WHEN {of_bytes(i)} THEN {at_us}" for i, (at_us, _) in sorted(rows.items())])
    doubtful = of_list([i for i, (_, may_have_arrived) in rows.items() if may_have_arrived] or [b""])
    return (
        f"UPDATE timers SET attempts_made = attempts_made + 1, next_at_us = CASE id {times} END,"
        f" possible_duplicate = possible_duplicate OR id IN ({doubtful}) WHERE id IN ({of_list(rows)})"
    )


def cancel(timer_id: bytes, now_us: int) -> str:
    """For a timer that was just taken out of the queue. Count: 1."""
    return f"UPDATE timers SET cancelled_at_us = {now_us} WHERE id = {of_bytes(timer_id)}"

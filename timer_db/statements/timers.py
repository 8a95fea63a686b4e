"""`timers`: what users asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def retry(timer_id: bytes, attempts_made: int, next_at_us: int, possible_duplicate: bool) -> str:
    """A failed attempt is behind it, and another one is to come. Count: 1."""
    return (
        f"UPDATE timers SET attempts_made = {attempts_made}, next_at_us = {next_at_us},"
        f" possible_duplicate = possible_duplicate OR {int(possible_duplicate)} WHERE id = {of_bytes(timer_id)}"
    )


def cancel(timer_id: bytes, now_us: int) -> str:
    """For a timer that was just taken out of the queue. Count: 1."""
    return f"UPDATE timers SET cancelled_at_us = {now_us} WHERE id = {of_bytes(timer_id)}"

"""`attempts` and `endings`: what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from timer_db.domain.states import TimerState
from timer_db.statements.literals import of_bytes, of_list

_COLUMNS = (
    "timer_id, attempt, finished_at_us, controller_id, batch, started_at_us,"
    " outcome, state, http_status, latency_us, reason, answer"
)
_ROW = "(" + ",".join(["%s"] * 12) + ")"


def log(rows: Sequence[tuple[Any, ...]]) -> tuple[str, tuple[Any, ...]]:
    """Append attempts; each row has the values of `_COLUMNS`, in that order."""
    values = ",".join([_ROW] * len(rows))
    return f"INSERT INTO attempts ({_COLUMNS}) VALUES {values}", tuple([v for row in rows for v in row])


def logged(controller_id: int, batch: int, timer_ids: Iterable[bytes]) -> str:
    """Those of the timers whose attempt in this batch is logged, and when it finished."""
    return (
        f"SELECT timer_id, finished_at_us FROM attempts WHERE timer_id IN ({of_list(timer_ids)})"
        f" AND controller_id = {controller_id} AND batch = {batch}"
    )


def of_timer(timer_id: bytes) -> str:
    """Every attempt of one timer, first to last, with the host and process of its controller."""
    return (
        "SELECT a.attempt, a.outcome, a.state, a.started_at_us, a.finished_at_us, a.controller_id, a.http_status,"
        " a.latency_us, a.reason, a.answer, c.host, c.pid"
        " FROM attempts a LEFT JOIN controllers c ON c.id = a.controller_id"
        f" WHERE a.timer_id = {of_bytes(timer_id)} ORDER BY a.attempt, a.finished_at_us"
    )


def end(rows: Iterable[tuple[TimerState, bytes, int]]) -> str:
    """Note timers that ended otherwise than delivered: (state, id, when)."""
    values = ",".join([f"('{s.value}',{of_bytes(i)},{at})" for s, i, at in sorted(rows)])
    return f"INSERT INTO endings (state, timer_id, ended_at_us) VALUES {values}"

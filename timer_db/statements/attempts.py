"""`attempts` and `endings`: what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from timer_db.domain.claim import Finished
from timer_db.domain.states import TimerState
from timer_db.statements.literals import of_bytes, of_list, of_text

REASON_MAX = 255
ANSWER_MAX = 1024

_COLUMNS = (
    "timer_id, attempt, finished_at_us, controller_id, batch, started_at_us,"
    " outcome, state, http_status, latency_us, reason, answer"
)


def log(controller_id: int, finished: Iterable[Finished]) -> str:
    """Append attempts. Count: one each."""
    rows = [
        f"(x'{f.entry.due_key[8:].hex()}',{f.attempt},{f.finished_at_us},{controller_id},{f.batch},"
        f"{f.started_at_us},'{f.outcome.value}','{f.state.value}',"
        f"{'NULL' if f.http_status is None else f.http_status},"
        f"{'NULL' if f.latency_us is None else f.latency_us},"
        f"{_of_reason(f.reason)},x'{f.answer[:ANSWER_MAX].hex()}')"
        for f in finished
    ]
    return f"INSERT INTO attempts ({_COLUMNS}) VALUES " + ",".join(rows)


# Nearly all attempts of a day share a handful of reasons.
@lru_cache(maxsize=1024)
def _of_reason(reason: str) -> str:
    return of_text(reason[:REASON_MAX])


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

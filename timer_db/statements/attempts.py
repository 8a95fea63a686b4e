"""`attempts` and `endings`: what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from timer_db.domain.claim import Finished
from timer_db.domain.states import TimerState
from timer_db.statements.literals import FORCE_KEY, MYSQL_ROW, delete_from, of_bytes, of_list, of_text

REASON_MAX = 255
ANSWER_MAX = 1024

_COLUMNS = (
    "timer_id, attempt, finished_at_us, controller_id, batch, started_at_us, latency_us,"
    " outcome, state, http_status, reason, answer"
)


def log(controller_id: int, finished: Sequence[Finished]) -> str:
    """Append attempts, one at least. Count: one each."""
    first = finished[0]
    ended = (first.outcome, first.state, first.http_status, first.reason, first.answer)
    if all((f.outcome, f.state, f.http_status, f.reason, f.answer) == ended for f in finished):
        return _log_alike(controller_id, finished)
    rows = [
        f"(x'{f.entry.due_key[8:].hex()}',{f.attempt},{f.finished_at_us},{controller_id},{f.batch},"
        f"{f.started_at_us},{_of_latency(f)},{_of_end(f)})"
        for f in finished
    ]
    return f"INSERT INTO attempts ({_COLUMNS}) VALUES " + ",".join(rows)


def _log_alike(controller_id: int, finished: Sequence[Finished]) -> str:
    """The same for attempts that ended alike, as nearly all of a burst do: what they share is said once, which is
    half the text to make and to parse."""
    rows = [
        f"{MYSQL_ROW}(x'{f.entry.due_key[8:].hex()}',{f.attempt},{f.finished_at_us},{f.batch},"
        f"{f.started_at_us},{_of_latency(f)})"
        for f in finished
    ]
    return (
        f"INSERT INTO attempts ({_COLUMNS})"
        f" WITH made (timer_id, attempt, finished_at_us, batch, started_at_us, latency_us)"
        f" AS (VALUES {','.join(rows)})"
        f" SELECT timer_id, attempt, finished_at_us, {controller_id}, batch, started_at_us, latency_us,"
        f" {_of_end(finished[0])} FROM made"
    )


def _of_latency(finished: Finished) -> str:
    return "NULL" if finished.latency_us is None else str(finished.latency_us)


def _of_end(finished: Finished) -> str:
    status = "NULL" if finished.http_status is None else finished.http_status
    answer = of_bytes(finished.answer[:ANSWER_MAX])
    return f"'{finished.outcome}','{finished.state}',{status},{_of_reason(finished.reason)},{answer}"


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


def lock_ends(state: TimerState, timer_ids: Iterable[bytes]) -> str:
    """Those of the timers that ended so, locked."""
    return (
        f"SELECT timer_id FROM endings {FORCE_KEY} WHERE state = '{state}' AND timer_id IN ({of_list(timer_ids)})"
        " ORDER BY timer_id FOR UPDATE"
    )


def unend(state: TimerState, timer_ids: Iterable[bytes]) -> str:
    """Timers that ended so go on. Count: one each."""
    return f"{delete_from('endings')} WHERE state = '{state}' AND timer_id IN ({of_list(timer_ids)})"

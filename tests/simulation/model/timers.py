"""Schedule, look, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

from tests.simulation.model.tables import Row, Tables, put
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.errors import NotCancellable, TimerNotFound
from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations.rows import row_of
from timer_db.statements.timers import LARGE_BYTES


def schedule(tables: Tables, timers: Sequence[NewTimer]) -> None:
    """Store what is not stored yet."""
    for timer in timers:
        if timer.id.bytes not in tables.timers:
            row = _row(timer)
            tables.timers[timer.id.bytes] = row
            put(tables, [_place(row)])


def state_of(tables: Tables, timer_id: bytes) -> tuple[TimerState, int | None]:
    """Its state, and when it ended."""
    row = tables.timers[timer_id]
    for made in tables.attempts.get(timer_id, ()):
        if made.finished.attempt == row.attempts_made + 1:
            return made.finished.state, made.finished.finished_at_us
    if row.cancelled_at_us is not None:
        return TimerState.cancelled, row.cancelled_at_us
    place = _place(row)
    waits = place.due_key in tables.queue.get(place.rank, ()) or any(place in d for d in tables.deferred.values())
    return (TimerState.scheduled if waits else TimerState.firing), None


def get_timer(tables: Tables, timer_id: UUID) -> Timer:
    """The timer as it stands."""
    row = tables.timers.get(timer_id.bytes)
    if row is None:
        raise TimerNotFound(timer_id)
    state, ended_at_us = state_of(tables, timer_id.bytes)
    asked = {f.name: getattr(row.asked, f.name) for f in fields(NewTimer)}
    return Timer(
        **{**asked, "due_as_given": ""},
        state=state,
        attempts=row.attempts_made + (ended_at_us is not None and state is not TimerState.cancelled),
        next_attempt_at_us=row.next_at_us if state is TimerState.scheduled else None,
        ended_at_us=ended_at_us,
    )


def cancel(tables: Tables, now_us: int, timer_id: UUID) -> Timer:
    """Take it out of whichever queue it is in."""
    timer = get_timer(tables, timer_id)
    if timer.state is not TimerState.scheduled:
        raise NotCancellable(timer_id, timer.state)
    row = tables.timers[timer_id.bytes]
    place = _place(row)
    if place.due_key in tables.queue.get(place.rank, ()):
        tables.queue[place.rank].remove(place.due_key)
    else:
        for entries in tables.deferred.values():
            if place in entries:
                entries.remove(place)
    row.cancelled_at_us = now_us
    tables.endings[TimerState.cancelled, timer_id.bytes] = now_us
    return get_timer(tables, timer_id)


def _row(timer: NewTimer) -> Row:
    stored = row_of(timer)
    headers, meta, labels, retry = str(stored[9] or ""), *(str(part or "") for part in stored[12:15])
    size = sum(len(part) for part in (timer.body or b"", headers.encode(), meta.encode(), labels.encode()))
    in_hand = ClaimedTimer(
        id_text=str(timer.id),
        due_at_us=timer.due_at_us,
        created_at_us=timer.created_at_us,
        url=timer.url or "",
        method=timer.method or "",
        headers_json=headers,
        body=timer.body,
        body_is_json=timer.body_is_json,
        meta_json=meta,
        name=timer.name,
        labels_json=labels,
        priority=timer.priority,
        append_id=timer.append_id,
        retry_json=retry,
        timeout_seconds=round((timer.timeout_seconds or 0) * 1000) / 1000,
        on_unknown=timer.on_unknown,
        attempts=0,
    )
    return Row(timer, in_hand, size > LARGE_BYTES, max(timer.due_at_us, timer.created_at_us))


def _place(row: Row) -> QueueEntry:
    return entry_of(row.asked.id, row.asked.priority, row.next_at_us)

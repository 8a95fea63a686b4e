"""Claims and outcomes out of thin air."""

from __future__ import annotations

from typing import Any

from timer_db.domain.claim import Claim, Finished
from timer_db.domain.claimed_timer import ClaimedTimer
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.rows import row_of

DUE_US = 1_800_000_000_000_000


def make_claim(at_us: int = DUE_US, *, batch: int = 1, attempt: int = 1, **fields: Any) -> Claim:
    """A claim of a timer that was due at `at_us`; `fields` are the timer's."""
    possible_duplicate = fields.pop("possible_duplicate", False)
    timer = make_timer(at_us, **fields)
    entry = entry_of(timer.id, timer.priority, at_us)
    return Claim(batch, entry, in_hand(timer), attempt, possible_duplicate)


def make_timer(at_us: int = DUE_US, **fields: Any) -> Timer:
    """A timer that is being called."""
    asked: dict[str, Any] = {
        "id": new_id(at_us),
        "due_at_us": at_us,
        "created_at_us": at_us,
        "url": "https://example.com/hook",
        "state": TimerState.firing,
    }
    return Timer(**{**asked, **fields})


def in_hand(timer: Timer) -> ClaimedTimer:
    """What a controller holds of this timer."""
    row = row_of(timer)
    headers, meta, labels, retry = row[9], *row[12:15]
    return ClaimedTimer(
        id_text=str(timer.id),
        due_at_us=timer.due_at_us,
        created_at_us=timer.created_at_us,
        url=timer.url or "",
        method=timer.method or "",
        headers_json=str(headers or ""),
        body=timer.body,
        body_is_json=timer.body_is_json,
        meta_json=str(meta or ""),
        name=timer.name,
        labels_json=str(labels or ""),
        priority=timer.priority,
        append_id=timer.append_id,
        retry_json=str(retry or ""),
        timeout_seconds=timer.timeout_seconds or 0,
        on_unknown=timer.on_unknown,
        attempts=timer.attempts,
        owner=timer.owner,
        on_failure_url=timer.on_failure_url or "",
        attempts_before=timer.attempts_before,
    )


def make_entries(count: int) -> list[QueueEntry]:
    """Places of so many timers."""
    return [make_claim(DUE_US + n).entry for n in range(count)]


def make_finished(batch: int, entry: QueueEntry) -> Finished:
    """A delivery."""
    return Finished(batch, entry, 1, Outcome.delivered, TimerState.delivered, DUE_US, DUE_US + 1, "200")

"""Claims and outcomes out of thin air."""

from __future__ import annotations

from typing import Any

from timer_db.domain.claim import Claim, Finished
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.domain.states import Outcome, TimerState
from timer_db.domain.timer import Timer

DUE_US = 1_800_000_000_000_000


def make_claim(at_us: int = DUE_US, *, batch: int = 1, attempt: int = 1, **fields: Any) -> Claim:
    """A claim of a timer that was due at `at_us`; `fields` are the timer's."""
    possible_duplicate = fields.pop("possible_duplicate", False)
    asked: dict[str, Any] = {
        "id": new_id(at_us),
        "due_at_us": at_us,
        "created_at_us": at_us,
        "url": "https://example.com/hook",
        "state": TimerState.firing,
    }
    timer = Timer(**{**asked, **fields})
    entry = entry_of(timer.id, timer.priority, at_us)
    return Claim(batch, entry, timer, attempt, possible_duplicate)


def make_entries(count: int) -> list[QueueEntry]:
    """Places of so many timers."""
    return [make_claim(DUE_US + n).entry for n in range(count)]


def make_finished(batch: int, entry: QueueEntry) -> Finished:
    """A delivery."""
    return Finished(batch, entry, 1, Outcome.delivered, TimerState.delivered, DUE_US, DUE_US + 1, "200")

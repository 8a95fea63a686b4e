"""`python -m timer_api` with one thing replaced: timers are answered for without being stored.

All else is the same process: the same door, checks, line and answers, and the same looks at the database's clock.
What this does per second is what the database's part is compared with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from unittest import mock

from timer_api import __main__ as api
from timer_api import service
from timer_db.domain.errors import NameTaken
from timer_db.domain.states import TimerState
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations.rows import next_at_us
from timer_db.operations.schedule import Scheduled
from timer_db.shards import Shards

_SAME_FIELDS = tuple(field.name for field in fields(NewTimer))


async def schedule_nothing(_shards: Shards, timers: Sequence[NewTimer]) -> list[Scheduled | NameTaken]:
    """What `timer_db.operations.schedule` would say of new timers."""
    return [
        Scheduled(
            Timer(
                **{name: getattr(timer, name) for name in _SAME_FIELDS},
                state=TimerState.scheduled,
                next_attempt_at_us=next_at_us(timer),
            ),
            created=True,
        )
        for timer in timers
    ]


if __name__ == "__main__":
    with mock.patch.object(service, "schedule", schedule_nothing):
        sys.exit(api.main())

"""`python -m timer_controller` with one thing replaced: it counts nothing, and looks at no backlog.

All else is the same process. What this does per second is what the telemetry's part is compared with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from unittest import mock

from timer_controller import __main__ as controller
from timer_controller.metrics.backlog import BacklogWatch
from timer_controller.metrics.tally import Tally
from timer_db.domain.claim import Finished
from timer_db.metrics import Buckets

_NEVER_SECONDS = 1e6


def count_nothing(_tally: Tally, _finished: Sequence[Finished]) -> None:
    """What `Tally.note_written` is told."""


def add_nothing(_buckets: Buckets, _value: float) -> None:
    """What `Buckets.add` is told of each batch."""


async def look_at_nothing(_watch: BacklogWatch) -> float:
    """What `BacklogWatch.run_once` would do."""
    return _NEVER_SECONDS


if __name__ == "__main__":
    with (
        mock.patch.object(Tally, "note_written", count_nothing),
        mock.patch.object(Buckets, "add", add_nothing),
        mock.patch.object(BacklogWatch, "run_once", look_at_nothing),
    ):
        sys.exit(controller.main())

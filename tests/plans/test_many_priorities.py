"""A handful of priorities is the usual case; thousands must still work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plans.fill import NOON_US
from tests.plans.planner import Planner
from timer_db.domain.queue_entry import time_bound
from timer_db.statements import queue

PRIORITIES = 3000
PER_PRIORITY = 10


@pytest.fixture
def many(planner: Planner) -> Iterator[Planner]:
    """The queue holds thirty thousand timers of three thousand priorities."""
    planner.run("CREATE TABLE kept LIKE due_queue")
    planner.run("RENAME TABLE due_queue TO aside, kept TO due_queue")
    for start in range(0, PRIORITIES, 500):
        rows = [
            f"({rank},x'{NOON_US + n:016x}{rank:028x}{n:04x}')"
            for rank in range(start, start + 500)
            for n in range(PER_PRIORITY)
        ]
        planner.run("INSERT INTO due_queue (priority_rank, due_key) VALUES " + ",".join(rows))
    planner.run("ANALYZE TABLE due_queue")
    yield planner
    planner.run("DROP TABLE due_queue")
    planner.run("RENAME TABLE aside TO due_queue")


def test_thousands_are_found_by_hops_too(many: Planner) -> None:
    behind = dict.fromkeys(range(PRIORITIES), time_bound(NOON_US + PER_PRIORITY // 2))
    for statement in (queue.firsts(behind), queue.RANKS):
        [step] = many.explain(statement)
        assert "Using index for group-by" in step.extra
        given, reads = many.count_reads(statement)
        assert given == PRIORITIES
        # Two hops a priority, and no row between them: a scan would read thirty thousand.
        assert reads <= 3 * PRIORITIES
        # 2 µs a priority on an idle core; far more would mean that every poll of every controller hurts.
        assert many.seconds(statement) < 1.0

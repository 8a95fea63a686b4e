"""What was deleted and is not purged, because somebody still reads an old state, costs a look and a claim nothing.

Counted are pages that the server asked its memory for: rows that it passes over since they are deleted appear in
no other counter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.db.scratch import scratch_database
from tests.plans.conftest import upgraded
from tests.plans.planner import Planner
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry, time_bound
from timer_db.embedded import EmbeddedServer
from timer_db.operations.claim import BATCH_MAX, FROM_THE_START
from timer_db.statements import queue, timers

START_US = 1_800_000_000_000_000
DELETED = 100_000
"""Of each priority."""
NOW_US = START_US + DELETED
HORIZON_US = NOW_US + 10_000_000
HIGH, LOW = 100, PRIORITY_MAX
CHUNK = 2000


class Wake:
    """A queue of two priorities of which everything was claimed."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def put(self, rank: int, at_us: int) -> None:
        self.planner.run(queue.put([QueueEntry(rank, time_bound(at_us) + bytes(16))]))

    def pages(self, sql: str) -> int:
        """How many pages a statement reads, at best: others may read meanwhile."""
        return min(self._pages_once(sql) for _ in range(5))

    def _pages_once(self, sql: str) -> int:
        before = self._so_far()
        self.planner.run("START TRANSACTION")
        self.planner.run(sql)
        self.planner.run("ROLLBACK")
        return self._so_far() - before

    def _so_far(self) -> int:
        return int(self.planner.run("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_read_requests'")[0][1])


@pytest.fixture(scope="module")
def wake(server: EmbeddedServer) -> Iterator[Wake]:
    """With heads."""
    with scratch_database(server.url) as url:
        asyncio.run(upgraded(url))
        with Planner(url) as planner, Planner(url) as reader:
            planner.run(queue.put_heads([HIGH, LOW]))
            for rank in (HIGH, LOW):
                for first in range(START_US, START_US + DELETED, CHUNK):
                    keys = [time_bound(at_us) + bytes(16) for at_us in range(first, first + CHUNK)]
                    planner.run(queue.put(QueueEntry(rank, key) for key in keys))
            with _old_state(reader):
                for rank in (HIGH, LOW):
                    planner.run(
                        f"DELETE FROM due_queue WHERE priority_rank = {rank}"
                        f" AND due_key > x'{FROM_THE_START.hex()}'"
                    )
                yield Wake(planner)


@contextmanager
def _old_state(reader: Planner) -> Iterator[None]:
    """Somebody reads, as a backup does, and the server keeps for it what others delete."""
    reader.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    reader.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    reader.run("SELECT COUNT(*) FROM due_queue")
    yield
    reader.run("ROLLBACK")


BEHIND = time_bound(NOW_US)
MANY_PAGES = DELETED // 500
FEW_PAGES = MANY_PAGES // 4


@pytest.fixture(params=["nothing waits", "some wait"])
def queue_state(wake: Wake, request: pytest.FixtureRequest) -> Iterator[Wake]:
    """The planner believes that the table is empty, or nearly."""
    if request.param == "some wait":
        for rank in (HIGH, LOW):
            wake.put(rank, NOW_US + 5)
    wake.planner.run("ANALYZE TABLE due_queue")
    yield wake
    wake.planner.run("DELETE FROM due_queue WHERE is_head = 0")


@pytest.mark.parametrize("rank", [HIGH, LOW])
@pytest.mark.parametrize("limit", [10, BATCH_MAX])
def test_a_claim_behind_them_is_as_cheap_as_ever(queue_state: Wake, rank: int, limit: int) -> None:
    """By itself, and as the claim reads what was asked for along with it."""
    for statement in (lambda take: take, timers.packed_of):
        assert queue_state.pages(statement(queue.take(rank, BEHIND, HORIZON_US, limit))) <= FEW_PAGES
        # From the start it would wade through all of them, or this test would show nothing.
        assert queue_state.pages(statement(queue.take(rank, FROM_THE_START, HORIZON_US, limit))) >= MANY_PAGES


def test_a_look_behind_them_too(queue_state: Wake) -> None:
    assert queue_state.pages(queue.firsts(dict.fromkeys((HIGH, LOW), BEHIND))) <= FEW_PAGES
    assert queue_state.pages(queue.firsts(dict.fromkeys((HIGH, LOW), FROM_THE_START))) >= 2 * MANY_PAGES


def test_a_priority_that_nobody_uses_is_found_missing_without_wading(queue_state: Wake) -> None:
    known = dict.fromkeys((0, HIGH, HIGH + 1, 5000, LOW), BEHIND)
    assert queue_state.pages(queue.firsts(known)) <= FEW_PAGES


def test_without_heads_the_next_priority_is_in_the_way(queue_state: Wake) -> None:
    """Why there are heads."""
    queue_state.planner.run(f"DELETE FROM due_queue WHERE priority_rank = {LOW} AND is_head = 1")
    assert queue_state.pages(queue.firsts({HIGH: time_bound(HORIZON_US), LOW: BEHIND})) >= MANY_PAGES
    queue_state.planner.run(queue.put_heads([LOW]))

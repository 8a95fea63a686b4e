"""How the servers run what the console's overview reads: bounded, however many timers there are."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.plans.fill import ENDED, NOON_US, PARTITIONS, PRIORITIES, WAITING, timer_id
from tests.plans.planner import Planner
from timer_db.domain.destination import key_of
from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry, entry_of, pack, time_bound
from timer_db.statements import controllers, deferred, overview, queue
from timer_db.statements.literals import LIST_MAX

RANKS = [PRIORITY_MAX - priority for priority in PRIORITIES]
DAY_US = 86_400_000_000
LAST_DAY_US = (NOON_US + (PARTITIONS - 1) * DAY_US) // DAY_US * DAY_US
IN_HAND = [timer_id(n) for n in range(WAITING + ENDED - 800, WAITING + ENDED)]
RECEIVERS = [key_of(f"https://{n}.test:443") for n in range(3)]
LATER_US = NOON_US + DAY_US
LIMIT = 1000
MANY_RANKS = range(PRIORITY_MAX - LIST_MAX + 1, PRIORITY_MAX + 1)


@pytest.fixture(scope="module")
def watched(planner: Planner) -> Iterator[Planner]:
    """With receivers in trouble, and counts of a hundred collections in sixty slots."""
    for number, key in enumerate(RECEIVERS):
        entries = [
            QueueEntry(RANKS[n % 3], time_bound(NOON_US + n) + timer_id(n)) for n in range(2000 * number, 2000)
        ]
        entries = entries or [QueueEntry(RANKS[0], time_bound(NOON_US) + timer_id(number))]
        planner.run(deferred.put((key, entry) for entry in entries))
    numbers = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)"
    planner.run(
        f"INSERT INTO timer_counts (collection_id, route_id, state, slot, timers) {numbers}"
        " SELECT a.n, 0, s.state, b.n, 5 FROM n a JOIN n b ON b.n <= 60"
        " JOIN (SELECT 'made' state UNION SELECT 'delivered') s"
    )
    planner.run("ANALYZE TABLE deferred_queue, timer_counts")
    yield planner
    for table in ("deferred_queue", "timer_counts"):
        planner.run(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    ("reads_max", "statement"),
    [
        (60, queue.RANKS),
        (300, controllers.MEMBERS),
        (300, overview.SAMPLED),
        (60, overview.DEFERRED_FIRSTS),
        (60, overview.HELD_FIRSTS),
        (3 * LIMIT, overview.overdue(RANKS, LATER_US, LIMIT)),
        # Hardly any is late: what is due later is not read.
        (60, overview.overdue(RANKS, NOON_US + 5_000, LIMIT)),
        (3 * LIMIT + LIST_MAX, overview.overdue(MANY_RANKS, LATER_US, LIMIT)),
        (3 * LIMIT, overview.deferred(LIMIT)),
        (60, overview.waiting_for(RECEIVERS)),
        # Each row of the sample is looked up once more, by its key.
        (3 * 200 + 60, overview.newest_attempts(LAST_DAY_US, 200)),
        (4 * len(IN_HAND) + 60, overview.attempts_of(IN_HAND, LAST_DAY_US)),
        (300, overview.holding(timer_id(7))),
        (60, overview.held_by(entry_of(UUID(bytes=timer_id(7)), 0, NOON_US))),
    ],
    ids=lambda value: " ".join(value.split()[:9]) if isinstance(value, str) else "",
)
def test_reads_are_bounded(watched: Planner, reads_max: int, statement: str) -> None:
    """Counted by the server while it runs."""
    assert watched.count_reads(statement)[1] <= reads_max


def test_they_find_something(watched: Planner) -> None:
    """Else the test above would count nothing."""
    assert watched.run(overview.overdue(RANKS, LATER_US, LIMIT)) == [(LIMIT,)]
    assert watched.run(overview.overdue(RANKS, NOON_US + 5_000, LIMIT)) == [(5,)]
    assert {bytes(row[0]) for row in watched.run(overview.HELD_FIRSTS)} == set(RECEIVERS)
    assert watched.run(overview.deferred(LIMIT)) == [(LIMIT,)]
    assert len(watched.run(overview.waiting_for(RECEIVERS))) == len(RECEIVERS)
    assert len(watched.run(overview.newest_attempts(LAST_DAY_US, 200))) == 200
    assert len(watched.run(overview.attempts_of(IN_HAND, LAST_DAY_US))) == len(IN_HAND)
    assert len(watched.run(overview.totals(None))) == 2 * 60


def test_counts_of_some_collections_are_read_alone(watched: Planner) -> None:
    given, reads = watched.count_reads(overview.totals([7]))
    assert given == 2 * 60
    assert reads <= 5 * given + 60
    assert watched.run(overview.totals([])) == []


def test_a_batch_is_found_by_any_of_its_timers(watched: Planner) -> None:
    entries = [entry_of_number(n) for n in range(500)]
    watched.run(
        "INSERT INTO claim_batches (controller_id, number, claimed_at_us, entries)"
        f" VALUES (3, 777, {NOON_US}, x'{pack(entries).hex()}')"
    )
    for number in (0, 250, 499):
        assert [row[0] for row in watched.run(overview.holding(timer_id(number)))] == [3]
    assert watched.run(overview.holding(timer_id(500))) == []
    watched.run("DELETE FROM claim_batches WHERE number = 777")


def entry_of_number(number: int) -> QueueEntry:
    return entry_of(UUID(bytes=timer_id(number)), 0, NOON_US + number)

"""How the servers run the statements on `deferred_queue`: by key, in its order, and no more of it than needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plans.fill import NOON_US, timer_id
from tests.plans.planner import Planner, Step
from timer_db.domain.destination import KEY_BYTES, key_of
from timer_db.domain.queue_entry import QueueEntry, time_bound
from timer_db.operations.claim import BATCH_MAX
from timer_db.statements import deferred

SIZES = {
    key_of("https://busy.test:443"): 6000,
    key_of("https://small.test:443"): 40,
    key_of("http://a.test:80"): 900,
}
BUSY, SMALL, _ = SIZES
RANKS = (32_758, 32_762, 32_767)
FULL_KEY = KEY_BYTES + 2 + 24


def _entries(count: int) -> list[QueueEntry]:
    return sorted(QueueEntry(RANKS[n % 3], time_bound(NOON_US + n) + timer_id(n)) for n in range(count))


@pytest.fixture(scope="module")
def filled(planner: Planner) -> Planner:
    """Three backlogs, of which one is most of the table."""
    _fill(planner)
    return planner


def _fill(planner: Planner) -> None:
    for key, count in SIZES.items():
        entries = _entries(count)
        for first in range(0, count, 1000):
            planner.run(deferred.put((key, entry) for entry in entries[first : first + 1000]))
    planner.run("ANALYZE TABLE deferred_queue")


@pytest.fixture
def emptied(filled: Planner) -> Iterator[Planner]:
    """Nearly everything was deleted, and the server takes the table for empty."""
    filled.run(f"DELETE FROM deferred_queue WHERE destination <> x'{SMALL.hex()}'")
    filled.run("ANALYZE TABLE deferred_queue")
    yield filled
    filled.run("DELETE FROM deferred_queue")
    _fill(filled)


def _only(steps: list[Step]) -> Step:
    [step] = steps
    assert step.table == "deferred_queue"
    assert not step.sorts, step
    return step


BEHIND = [None, *(_entries(6000)[n] for n in (0, 1500, 2001, 5000))]


@pytest.mark.parametrize("limit", [1, 64, BATCH_MAX])
@pytest.mark.parametrize("behind", BEHIND, ids=lambda place: "" if place is None else str(place.rank))
@pytest.mark.parametrize("destination", list(SIZES), ids=SIZES.values())
def test_a_claim_reads_a_stretch_of_the_key(
    filled: Planner, destination: bytes, behind: QueueEntry | None, limit: int
) -> None:
    """Without a sort: a sort would lock every candidate."""
    step = _only(filled.explain(deferred.take(destination, behind, limit)))
    assert step.key == "PRIMARY"
    assert step.access == ("range" if behind else "ref")
    assert step.key_length >= KEY_BYTES


@pytest.mark.parametrize("behind", BEHIND, ids=lambda place: "" if place is None else str(place.rank))
def test_a_claim_reads_no_more_rows_than_it_takes(filled: Planner, behind: QueueEntry | None) -> None:
    """Counted by the server while it runs."""
    given, reads = filled.count_reads(deferred.take(BUSY, behind, 64))
    assert given == 64
    assert reads <= 64 + 10


def test_a_claim_on_an_emptied_table_reads_only_its_own(emptied: Planner) -> None:
    step = _only(emptied.explain(deferred.take(SMALL, None, 10)))
    assert (step.access, step.key) == ("ref", "PRIMARY")


@pytest.mark.parametrize("count", [1, 2, BATCH_MAX])
def test_entries_are_removed_by_a_whole_key(filled: Planner, count: int) -> None:
    keys = [entry.due_key for entry in _entries(6000) if entry.rank == RANKS[0]][:count]
    step = _only(filled.explain(deferred.remove(BUSY, RANKS[0], keys)))
    assert (step.access, step.key_length) == ("range", FULL_KEY)
    assert step.rows <= count


def test_entries_are_removed_by_a_whole_key_from_an_emptied_table(emptied: Planner) -> None:
    keys = [entry.due_key for entry in _entries(40) if entry.rank == RANKS[0]]
    step = _only(emptied.explain(deferred.remove(SMALL, RANKS[0], keys)))
    assert (step.access, step.key_length) == ("range", FULL_KEY)


def test_one_entry_is_locked_by_the_primary_key(filled: Planner) -> None:
    rank, due_key = _entries(6000)[17]
    step = _only(filled.explain(deferred.lock(BUSY, rank, [due_key])))
    assert (step.access, step.key) == ("const", "PRIMARY")


@pytest.mark.parametrize("count", [2, 50, BATCH_MAX])
def test_many_entries_are_locked_by_a_whole_key(filled: Planner, count: int) -> None:
    keys = [entry.due_key for entry in _entries(6000) if entry.rank == RANKS[0]][:count]
    step = _only(filled.explain(deferred.lock(BUSY, RANKS[0], keys)))
    assert (step.access, step.key, step.key_length) == ("range", "PRIMARY", FULL_KEY)
    assert step.rows <= count
    assert not step.sorts


def test_receivers_are_found_by_hops(filled: Planner) -> None:
    step = _only(filled.explain(deferred.DESTINATIONS))
    assert "Using index for group-by" in step.extra
    assert (step.access, step.key, step.key_length) == ("range", "PRIMARY", KEY_BYTES)
    assert filled.count_reads(deferred.DESTINATIONS)[1] <= 10 * len(SIZES)

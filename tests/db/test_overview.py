"""What a look at the backlog counts, and what it says of those that hold timers up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.db.desk import SECOND_US, Desk
from timer_db.domain.destination import Grouped, key_of, key_of_group
from timer_db.domain.ids import new_id
from timer_db.domain.queue_entry import QueueEntry, entry_of
from timer_db.operations import overview
from timer_db.operations.overview import Glance, glance, look_at_backlog
from timer_db.statements import deferred, queue

COUNTED = 100


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that ends soon, and lists of priorities that do."""
    monkeypatch.setattr(overview, "COUNTED_MAX", COUNTED)
    monkeypatch.setattr(overview, "LIST_MAX", 7)


def _entries(now_us: int, priority: int, count: int) -> list[QueueEntry]:
    return [entry_of(new_id(now_us), priority, now_us - SECOND_US - n) for n in range(count)]


async def _seen(desk: Desk, late: Mapping[int, int]) -> Glance:
    """A look while so many are late, by priority; of each as many are due later."""
    now_us = await desk.now_us()
    for priority, count in late.items():
        later = _entries(now_us + 3600 * SECOND_US, priority, count)
        await desk.write(queue.put([*_entries(now_us, priority, count), *later]))
    return await look_at_backlog(desk.shards.home)


@pytest.mark.parametrize("backlog_at", [0, 5, 10])
async def test_a_backlog_of_one_priority_is_counted_beside_others(desk: Desk, backlog_at: int) -> None:
    """Ten priorities with a late timer each take nothing from the one that has them all."""
    seen = await _seen(desk, {n: 85 if n == backlog_at else 1 for n in range(11)})
    assert (seen.overdue, seen.overdue_is_capped) == (95, False)


async def test_more_than_is_counted_is_told_as_that(desk: Desk) -> None:
    """Though it cannot be divided by the number of priorities."""
    seen = await _seen(desk, {0: 500, 3: 1, 9: 1})
    assert (seen.overdue, seen.overdue_is_capped) == (COUNTED, True)


async def test_every_late_priority_counts(desk: Desk) -> None:
    seen = await _seen(desk, dict.fromkeys(range(0, 120, 2), 1))
    assert (seen.overdue, seen.overdue_is_capped) == (60, False)


async def test_the_whole_look_counts_as_far_as_that_at_the_backlog(desk: Desk) -> None:
    now_us = await desk.now_us()
    receiver = key_of("https://a.test:443")
    await desk.write(queue.put(_entries(now_us, 0, 60)))
    await desk.write(deferred.put((receiver, entry) for entry in _entries(now_us, 0, COUNTED)))
    seen = await glance(desk.shards.home, None, ())
    assert (seen.overdue, seen.overdue_is_capped) == (60, False)
    assert (seen.deferred, seen.deferred_is_capped) == (COUNTED, True)


async def test_the_oldest_that_is_held_up_is_told_by_what_holds_it(desk: Desk) -> None:
    """Whatever its priority, and among any number of receivers."""
    now_us = await desk.now_us()
    receivers = [key_of(f"https://{n}.test:443") for n in range(overview.overview.HOLDERS_MAX + 10)]
    paused, route = key_of_group(Grouped.collection, 3), key_of_group(Grouped.route, 4)

    def since(seconds: int, priority: int = 0) -> QueueEntry:
        return entry_of(new_id(now_us), priority, now_us - seconds * SECOND_US)

    rows = [(key, since(10 + n, priority=n % 3)) for n, key in enumerate(receivers)]
    rows += [(paused, since(9000)), (paused, since(50, priority=5)), (route, since(70)), (route, since(60))]
    await desk.write(deferred.put(rows))
    seen = await look_at_backlog(desk.shards.home)
    ages = {group: (now_us - at_us) // SECOND_US for group, at_us in seen.held_at_us.items()}
    assert ages == {
        None: 10 + len(receivers) - 1,
        (Grouped.collection, 3): 9000,
        (Grouped.route, 4): 70,
    }
    assert seen.deferred == len(rows)
    assert len(seen.held) <= overview.overview.HOLDERS_MAX

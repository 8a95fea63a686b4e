"""The queue's key: its order in bytes is the order in which timers are called."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from timer_db.domain.queue_entry import PRIORITY_MAX, QueueEntry, entry_of, pack, time_bound, unpack
from timer_db.models import FOREVER_US

TIMES_US = st.integers(0, FOREVER_US)
PRIORITIES = st.integers(0, PRIORITY_MAX)
PLACES = st.tuples(st.uuids(), PRIORITIES, TIMES_US)


@given(PLACES)
def test_an_entry_tells_what_it_was_made_of(place: tuple[UUID, int, int]) -> None:
    timer_id, priority, at_us = place
    entry = entry_of(timer_id, priority, at_us)
    assert (entry.timer_id, entry.rank, entry.at_us) == (timer_id.bytes, PRIORITY_MAX - priority, at_us)
    assert len(entry.due_key) == 24


# Few different values, so that priorities and times are equal often.
@given(st.lists(st.tuples(st.uuids(), st.integers(0, 2), st.integers(254, 257)), max_size=20))
def test_byte_order_is_priority_then_time_then_id(places: list[tuple[UUID, int, int]]) -> None:
    by_meaning = sorted(places, key=lambda p: (-p[1], p[2], p[0].bytes))
    assert sorted(entry_of(*place) for place in places) == [entry_of(*place) for place in by_meaning]
    # Packed entries compare alike, as the key in the database does.
    assert sorted(pack([entry_of(*place)]) for place in places) == [pack([entry_of(*p)]) for p in by_meaning]


@given(PLACES, PLACES)
def test_byte_order_over_the_whole_range(one: tuple[UUID, int, int], other: tuple[UUID, int, int]) -> None:
    meaning = [(-priority, at_us, timer_id.bytes) for timer_id, priority, at_us in (one, other)]
    first, second = entry_of(*one), entry_of(*other)
    assert (first < second) == (meaning[0] < meaning[1])
    assert (pack([first]) < pack([second])) == (meaning[0] < meaning[1])


@given(st.lists(PLACES, max_size=30))
def test_packed_entries_come_back(places: list[tuple[UUID, int, int]]) -> None:
    entries = [entry_of(*place) for place in places]
    packed = pack(entries)
    assert len(packed) == 26 * len(entries)
    assert unpack(packed) == entries


@given(PLACES, TIMES_US)
def test_moving_changes_only_the_time(place: tuple[UUID, int, int], at_us: int) -> None:
    timer_id, priority, _ = place
    assert entry_of(*place).moved_to(at_us) == entry_of(timer_id, priority, at_us)


@given(PLACES, TIMES_US)
def test_a_time_bound_parts_earlier_from_later(place: tuple[UUID, int, int], at_us: int) -> None:
    entry = entry_of(*place)
    assert (entry.due_key < time_bound(at_us)) == (entry.at_us < at_us)


def test_entries_unpack_as_entries() -> None:
    entry = entry_of(UUID(int=1), 0, 5)
    assert isinstance(unpack(pack([entry]))[0], QueueEntry)

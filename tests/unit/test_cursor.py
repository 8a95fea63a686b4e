"""Cursors: what is read is what was written, and goes with no other filter."""

from __future__ import annotations

import pytest

from timer_db.domain import cursor as cursors
from timer_db.domain.cursor import BY_STATE, Place
from timer_db.domain.filter import Filter
from timer_db.domain.selector import parse
from timer_db.domain.states import TimerState

ANY = Filter()
FILTERS = [
    ANY,
    Filter(states=frozenset({TimerState.scheduled})),
    Filter(states=frozenset({TimerState.scheduled, TimerState.firing})),
    Filter(selector=parse("a=b")),
    Filter(selector=parse("a!=b")),
    Filter(collection_ids=frozenset()),
    Filter(collection_ids=frozenset({1})),
    Filter(route_id=1),
    Filter(schedule_id=1),
    Filter(due_from_us=1),
    Filter(due_until_us=1),
]
PLACES = [Place(), Place(4095, 3, 0, bytes(16)), Place(1, BY_STATE, 5, b"\xff" * 26)]


@pytest.mark.parametrize("wanted", FILTERS, ids=range(len(FILTERS)))
def test_a_cursor_goes_with_its_filter_only(wanted: Filter) -> None:
    for place in PLACES:
        cursor = cursors.write(place, wanted)
        assert len(cursor) <= cursors.CHARACTERS_MAX
        assert cursors.read(cursor, wanted) == place
        for other in FILTERS:
            if other is not wanted:
                with pytest.raises(ValueError, match="other filters"):
                    cursors.read(cursor, other)


@pytest.mark.parametrize(
    "cursor", ["", "A", "!!!!", "AAAA", "A" * 40, "ü", "=", cursors.write(Place(), Filter())[:-2]]
)
def test_what_is_no_cursor(cursor: str) -> None:
    with pytest.raises(ValueError, match="it is not a cursor"):
        cursors.read(cursor, Filter())

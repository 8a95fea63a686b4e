"""What is in hand, batch by batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.makers import make_entries, make_finished
from timer_controller.hands import Hands


def test_claims_count_until_they_are_let_go() -> None:
    hands, entries = Hands(10), make_entries(4)
    hands.take(1, entries[:3])
    hands.take(2, entries[3:])
    assert (hands.held, hands.free) == (4, 6)
    assert hands.batches() == [1, 2]

    hands.let_go(1, entries[:2])
    assert (hands.held, hands.free) == (2, 8)
    assert hands.open_in(1) == {entries[2]}

    hands.let_go(1, entries[2:3])
    assert hands.batches() == [2]
    assert hands.open_in(1) == set()


def test_letting_go_twice_counts_once() -> None:
    hands, entries = Hands(10), make_entries(2)
    hands.take(1, entries)
    for _ in range(2):
        hands.let_go(1, entries[:1])
    assert hands.held == 1
    hands.let_go(7, entries)
    assert hands.held == 1


def test_more_than_full_is_not_negative() -> None:
    hands = Hands(1)
    hands.take(1, make_entries(3))
    assert hands.free == 0


def test_a_batch_is_done_with_its_last_timer() -> None:
    hands, entries = Hands(10), make_entries(5)
    hands.take(1, entries[:3])
    hands.take(2, entries[3:])
    whole_second = [make_finished(2, entry) for entry in entries[3:]]
    assert hands.done_with([make_finished(1, entries[0]), *whole_second]) == [2]

    hands.let_go(1, entries[:1])
    rest = [make_finished(1, entry) for entry in entries[1:3]]
    assert hands.done_with(rest[:1]) == []
    assert hands.done_with(rest) == [1]
    assert hands.held == 4, "asking changes nothing"


@given(st.lists(st.tuples(st.integers(1, 3), st.sets(st.integers(0, 5))), max_size=20))
def test_held_is_always_what_is_open(steps: list[tuple[int, set[int]]]) -> None:
    hands, entries = Hands(100), make_entries(6)
    for batch in (1, 2, 3):
        hands.take(batch, entries)
    for batch, numbers in steps:
        hands.let_go(batch, [entries[n] for n in numbers])
        assert hands.held == sum(len(hands.open_in(batch)) for batch in (1, 2, 3))
        assert set(hands.batches()) == {batch for batch in (1, 2, 3) if hands.open_in(batch)}

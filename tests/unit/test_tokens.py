"""The bucket of a route's calls."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_controller.tokens import Tokens

MOMENTS = st.lists(st.floats(0, 2), min_size=1, max_size=60)


@given(MOMENTS, st.floats(0.1, 50), st.integers(1, 10))
def test_no_window_has_more_than_the_burst_and_what_the_rate_gives(
    pauses: list[float], rate: float, burst: int
) -> None:
    tokens, now = Tokens(rate, burst, 0.0), 0.0
    taken: list[float] = []
    for pause in pauses:
        now += pause
        while not tokens.take(now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = burst + rate * (taken[last] - taken[first])
            assert last - first + 1 <= allowed + 1e-6


@given(st.floats(0.1, 1000), st.integers(1, 10))
def test_who_waits_as_long_as_it_says_gets_one(rate: float, burst: int) -> None:
    tokens, now = Tokens(rate, burst, 0.0), 0.0
    for _ in range(30):
        wait = tokens.take(now)
        if wait:
            now += wait
            assert not tokens.take(now)


def test_it_is_empty_at_first_and_full_after_a_rest() -> None:
    tokens = Tokens(2.0, 3, 10.0)
    assert tokens.take(10.0) == pytest.approx(0.5)
    assert tokens.left(11.0) == 2
    assert tokens.left(100.0) == 3


def test_a_smaller_one_keeps_what_fits_and_a_larger_one_fills_from_then_on() -> None:
    tokens = Tokens(10.0, 10, 0.0)
    tokens.adjust(5.0, 5, 100.0)
    assert tokens.left(100.0) == 5
    for _ in range(5):
        tokens.take(100.0)
    tokens.adjust(10.0, 10, 100.0)
    assert tokens.left(100.5) == 5


def test_without_a_share_there_is_never_one() -> None:
    tokens = Tokens(0.0, 0, 0.0)
    assert tokens.is_dry
    assert (tokens.take(1000.0), tokens.left(1000.0)) == (inf, 0)
    tokens.adjust(1.0, 1, 1000.0)
    assert tokens.left(1000.5) == 0, "what others had before is not its own"
    assert tokens.left(1001.0) == 1

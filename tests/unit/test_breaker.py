"""The circuit breaker: each of its transitions, with its times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_controller.breaker import COOL_DOWN_MAX_SECONDS, Breaker, BreakerRules, in_words

RULES = BreakerRules(failures_max=3, cool_down_seconds=2.0, patience_seconds=100.0)
BEGAN, OPENED_AT = 10.0, 50.0


def new_breaker(draw: float = 0.5) -> Breaker:
    """Closed; 0.5 is no jitter."""
    return Breaker(RULES, lambda: draw)


def opened() -> Breaker:
    """Opened by three failures in a row."""
    breaker = new_breaker()
    assert [breaker.note_failure(BEGAN, OPENED_AT, "refused") for _ in range(3)] == [False, False, True]
    return breaker


def test_closed_it_stays_while_successes_come_in_between() -> None:
    breaker = new_breaker()
    for _ in range(10):
        assert not breaker.note_failure(BEGAN, OPENED_AT, "refused")
        assert not breaker.note_failure(BEGAN, OPENED_AT, "refused")
        breaker.note_success()
    assert breaker.is_closed
    assert not breaker.may_probe(1e9)
    assert not breaker.is_given_up(1e9)


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()
    assert not breaker.is_closed
    assert (breaker.down_since, breaker.reason) == (OPENED_AT, "refused")


def test_open_it_waits_for_its_cool_down() -> None:
    breaker = opened()
    assert not breaker.may_probe(OPENED_AT + 1.99)
    assert breaker.may_probe(OPENED_AT + 2)


def test_half_open_it_lets_one_call_through() -> None:
    breaker = opened()
    breaker.begin_probe()
    assert not breaker.may_probe(OPENED_AT + 1000)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.begin_probe()
    breaker.note_probe_success(60.0)
    assert breaker.is_closed
    assert not breaker.may_probe(1e9)
    assert [breaker.note_failure(60.0, 61.0, "again") for _ in range(3)] == [False, False, True], "it counts anew"


def test_a_probe_that_fails_opens_it_for_longer_up_to_a_bound() -> None:
    breaker, at = opened(), OPENED_AT + 2
    for cool_down in (4, 8, 16, COOL_DOWN_MAX_SECONDS, COOL_DOWN_MAX_SECONDS):
        breaker.begin_probe()
        breaker.note_probe_failure(at, "still")
        assert not breaker.may_probe(at + cool_down - 0.01)
        assert breaker.may_probe(at + cool_down)
        at += cool_down
    assert (breaker.down_since, breaker.reason) == (OPENED_AT, "still")


def test_after_it_was_closed_the_cool_down_is_short_again() -> None:
    breaker = opened()
    breaker.begin_probe()
    breaker.note_probe_failure(52.0, "still")
    breaker.begin_probe()
    breaker.note_probe_success(60.0)
    for _ in range(3):
        breaker.note_failure(61.0, 62.0, "again")
    assert breaker.may_probe(64.0)


def test_a_probe_that_was_not_made_may_be_made_by_another() -> None:
    breaker = opened()
    breaker.begin_probe()
    breaker.withdraw_probe()
    assert breaker.may_probe(OPENED_AT + 2)


def test_calls_from_before_it_closed_say_nothing_about_the_time_after() -> None:
    breaker = opened()
    breaker.begin_probe()
    breaker.note_probe_success(60.0)
    for _ in range(50):
        assert not breaker.note_failure(59.9, 61.0, "an old call")
    assert breaker.is_closed


def test_patience_ends_when_it_was_open_long_enough() -> None:
    breaker = opened()
    breaker.begin_probe()
    breaker.note_probe_failure(100.0, "still")
    assert not breaker.is_given_up(OPENED_AT + 99.9)
    assert breaker.is_given_up(OPENED_AT + 100)
    breaker.begin_probe()
    breaker.note_probe_success(200.0)
    assert not breaker.is_given_up(1e9)


@given(st.floats(0, 1, exclude_max=True))
def test_cool_downs_are_jittered_within_a_quarter(draw: float) -> None:
    breaker = new_breaker(draw)
    for _ in range(3):
        breaker.note_failure(BEGAN, OPENED_AT, "refused")
    assert not breaker.may_probe(OPENED_AT + 1.49)
    assert breaker.may_probe(OPENED_AT + 2.5)


def test_a_cool_down_that_was_set_beyond_the_bound_is_kept() -> None:
    breaker = Breaker(BreakerRules(1, 60.0, 1e6), lambda: 0.5)
    breaker.note_failure(0, 0, "refused")
    breaker.begin_probe()
    breaker.note_probe_failure(60.0, "refused")
    assert not breaker.may_probe(119.9)
    assert breaker.may_probe(120.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (12, "12 s"), (59.6, "1 min"), (299, "4 min"), (3600, "1 h 0 min"), (3900, "1 h 5 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words

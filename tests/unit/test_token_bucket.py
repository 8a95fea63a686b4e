"""What an API key's rate and burst mean, by a clock of the test's own."""

from __future__ import annotations

import pytest

from timer_api.api_keys.rate import TokenBucket


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_after_a_rest_a_burst_is_had_at_once_and_no_more(clock: Clock) -> None:
    bucket = TokenBucket(10, 3, clock)
    clock.seconds += 3600
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]


def test_it_fills_steadily(clock: Clock) -> None:
    bucket = TokenBucket(10, 3, clock)
    bucket.take(3)
    given = 0
    for _ in range(1000):
        clock.seconds += 0.01
        given += bucket.take() == 0
    assert given == 100


def test_whoever_waits_as_long_as_told_is_let_in(clock: Clock) -> None:
    bucket = TokenBucket(0.3, 7, clock)
    bucket.take(7)
    for count in (1, 5, 7, 30, 2, 1):
        wait_seconds = bucket.take(count)
        clock.seconds += wait_seconds - 0.001
        assert bucket.take(count) == pytest.approx(0.001)
        clock.seconds += 0.001
        assert bucket.take(count) == 0


def test_what_is_refused_costs_nothing(clock: Clock) -> None:
    bucket = TokenBucket(1, 2, clock)
    bucket.take(2)
    for _ in range(100):
        assert bucket.take() == pytest.approx(1)
    clock.seconds += 1
    assert bucket.take() == 0


def test_more_than_a_burst_waits_for_a_full_bucket_and_leaves_a_debt(clock: Clock) -> None:
    bucket = TokenBucket(10, 20, clock)
    bucket.take()
    assert bucket.take(100) == pytest.approx(0.1)
    clock.seconds += 0.1
    assert bucket.take(100) == 0
    assert bucket.take() == pytest.approx(8.1)
    clock.seconds += 8.1
    assert bucket.take() == 0


def test_what_was_taken_before_counts_once(clock: Clock) -> None:
    bucket = TokenBucket(1, 10, clock)
    assert bucket.take() == 0
    assert bucket.take(10, taken=1) == 0
    assert bucket.take() == pytest.approx(1)
    clock.seconds += 5
    assert bucket.take() == 0
    # Told from before the call: it takes the one again.
    assert bucket.take(10, taken=1) == pytest.approx(6)


def test_a_clock_that_stands_still_gives_nothing(clock: Clock) -> None:
    bucket = TokenBucket(1_000_000, 1, clock)
    assert bucket.take() == 0
    assert bucket.take() > 0

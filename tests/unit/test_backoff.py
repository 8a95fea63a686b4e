"""Waits between attempts: within bounds, never shorter the later, and with as much chance as asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy

SECOND_US = 1_000_000
DRAWS = st.floats(0, 1, exclude_max=True)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    initial_seconds=st.floats(0, 2_592_000),
    factor=st.floats(1, 100_000),
    max_seconds=st.floats(0, 2_592_000),
    jitter=st.floats(0, 1),
)
ATTEMPTS = st.integers(1, 5000)


@given(POLICIES, ATTEMPTS, DRAWS)
def test_a_wait_is_within_its_bounds(policy: RetryPolicy, attempt: int, draw: float) -> None:
    full_us = replace(policy, jitter=0).wait_us(attempt, 0)
    wait_us = policy.wait_us(attempt, draw)

    assert 0 <= full_us <= policy.max_seconds * SECOND_US + 1
    assert full_us * (1 - policy.jitter) - 1 <= wait_us <= full_us


@given(POLICIES, ATTEMPTS)
def test_waits_never_get_shorter(policy: RetryPolicy, attempt: int) -> None:
    assert policy.wait_us(attempt, 0) <= policy.wait_us(attempt + 1, 0)


@given(POLICIES, ATTEMPTS, DRAWS, DRAWS)
def test_jitter_only_shortens(policy: RetryPolicy, attempt: int, one: float, other: float) -> None:
    assert policy.wait_us(attempt, max(one, other)) <= policy.wait_us(attempt, min(one, other))


def test_the_default_policy_in_seconds() -> None:
    calm = replace(DEFAULT_RETRY, jitter=0.0)
    assert [calm.wait_us(n, 0.5) / SECOND_US for n in range(1, 5)] == [5, 15, 45, 135]
    assert calm.wait_us(20, 0.5) == 3600 * SECOND_US


def test_a_small_factor_grows_until_the_maximum() -> None:
    policy = RetryPolicy(max_attempts=1000, initial_seconds=1, factor=1.01, max_seconds=100, jitter=0)
    assert policy.wait_us(100, 0) == round(1.01**99 * SECOND_US)
    assert policy.wait_us(1000, 0) == 100 * SECOND_US


@pytest.mark.parametrize("factor", [65_536, 65_536.0, 1e300])
def test_a_large_factor_stops_at_the_maximum(factor: float) -> None:
    policy = RetryPolicy(initial_seconds=1, factor=factor, max_seconds=60, jitter=0)
    assert policy.wait_us(100, 0) == 60 * SECOND_US
    assert replace(policy, initial_seconds=0).wait_us(100, 0) == 0


def test_attempts_are_counted() -> None:
    assert [RetryPolicy(max_attempts=3).allows_another(n) for n in range(1, 5)] == [True, True, False, False]

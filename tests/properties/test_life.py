"""A timer's life: whatever its attempts come to, it goes from state to state as the machine says, and ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.profiles import look_at
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.policy import RETRY_AFTER_MAX_SECONDS, after_attempt, after_loss
from timer_db.domain.states import AFTER_ATTEMPT, ENDED, OnUnknown, Outcome, TimerState, may_become

SECOND_US = 1_000_000
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 8),
    initial_seconds=st.floats(0, 2_592_000),
    factor=st.floats(1, 100),
    max_seconds=st.floats(0, 2_592_000),
    jitter=st.floats(0, 1),
)
# An outcome, or None: the controller was lost.
EVENTS = st.tuples(
    st.none() | st.sampled_from(Outcome),
    st.none() | st.integers(100, 599),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1, exclude_max=True),
)


@look_at(400)
@given(POLICIES, st.sampled_from(OnUnknown), st.lists(EVENTS, min_size=30, max_size=30))
def test_any_sequence_of_outcomes_is_legal_and_bounded(
    retry: RetryPolicy,
    on_unknown: OnUnknown,
    events: list[tuple[Outcome | None, int | None, float | None, float]],
) -> None:
    state, lost, now_us = TimerState.scheduled, 0, 0
    may_have_arrived = False
    for attempt, (outcome, status, retry_after_seconds, draw) in enumerate(events, 1):
        if state in ENDED:
            assert not may_become(state, TimerState.firing)
            break
        assert may_become(state, TimerState.firing)
        assert attempt <= retry.max_attempts + lost
        # At most once: nothing is called again that may have arrived.
        assert not (may_have_arrived and on_unknown is not OnUnknown.resend)
        may_have_arrived = outcome in (None, Outcome.unknown)
        if outcome is None:
            lost += 1
            following = after_loss(on_unknown, now_us)
        else:
            following = after_attempt(
                outcome=outcome,
                http_status=status,
                retry_after_seconds=retry_after_seconds,
                attempt=attempt,
                retry=retry,
                on_unknown=on_unknown,
                now_us=now_us,
                draw=draw,
            )
        assert may_become(TimerState.firing, following.state)
        assert following.state in AFTER_ATTEMPT
        assert (following.retry_at_us is not None) == (following.state is TimerState.scheduled)
        if following.retry_at_us is not None:
            wait_us = following.retry_at_us - now_us
            longest = max(retry.max_seconds, RETRY_AFTER_MAX_SECONDS) * SECOND_US
            assert 0 <= wait_us <= longest + 1
            if outcome is not None and retry_after_seconds is not None:
                assert wait_us >= min(retry_after_seconds, RETRY_AFTER_MAX_SECONDS) * SECOND_US - 1
            now_us = following.retry_at_us
        state = following.state
    else:
        assert lost > len(events) - retry.max_attempts - 1, "only losses make more attempts than are allowed"

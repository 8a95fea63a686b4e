"""What follows an attempt: the whole table, outcome by answer by the owner's choice."""

from __future__ import annotations

from itertools import product

import pytest

from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.policy import RETRY_AFTER_MAX_SECONDS, Next, after_attempt, after_loss
from timer_db.domain.states import AFTER_ATTEMPT, OnUnknown, Outcome, TimerState

NOW_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
RETRY = RetryPolicy(max_attempts=3, initial_seconds=10, factor=2, max_seconds=1000, jitter=0.5)

# Per outcome and class of status: the end, or None for "try again by the policy".
REJECTED = {
    300: TimerState.failed,
    301: TimerState.failed,
    304: TimerState.failed,
    400: TimerState.failed,
    401: TimerState.failed,
    404: TimerState.failed,
    408: None,
    409: TimerState.failed,
    410: TimerState.failed,
    422: TimerState.failed,
    424: TimerState.failed,
    425: None,
    429: None,
    451: TimerState.failed,
    499: TimerState.failed,
    500: None,
    501: None,
    503: None,
    599: None,
}
UNKNOWN = {
    OnUnknown.resend: None,
    OnUnknown.hold: TimerState.unknown,
    OnUnknown.fail: TimerState.failed,
}


def _table() -> list[tuple[Outcome, int | None, OnUnknown, TimerState | None]]:
    rows: list[tuple[Outcome, int | None, OnUnknown, TimerState | None]] = []
    for choice in OnUnknown:
        rows += [(Outcome.delivered, status, choice, TimerState.delivered) for status in (200, 201, 204, 299)]
        rows += [(Outcome.rejected, status, choice, end) for status, end in REJECTED.items()]
        rows.append((Outcome.not_sent, None, choice, None))
        # Bytes left: what the receiver said before it broke off does not matter.
        rows += [(Outcome.unknown, status, choice, UNKNOWN[choice]) for status in (None, 200, 404)]
    return rows


def _after(
    outcome: Outcome,
    status: int | None = None,
    *,
    on_unknown: OnUnknown = OnUnknown.resend,
    attempt: int = 1,
    retry_after_seconds: float | None = None,
    draw: float = 0,
) -> Next:
    return after_attempt(
        outcome=outcome,
        http_status=status,
        retry_after_seconds=retry_after_seconds,
        attempt=attempt,
        retry=RETRY,
        on_unknown=on_unknown,
        now_us=NOW_US,
        draw=draw,
    )


@pytest.mark.parametrize(("outcome", "status", "on_unknown", "end"), _table())
def test_what_follows(outcome: Outcome, status: int | None, on_unknown: OnUnknown, end: TimerState | None) -> None:
    for attempt in range(1, RETRY.max_attempts + 1):
        following = _after(outcome, status, on_unknown=on_unknown, attempt=attempt)
        if end is not None:
            assert following == Next(end)
        elif attempt < RETRY.max_attempts:
            assert following == Next(TimerState.scheduled, NOW_US + 10 * 2 ** (attempt - 1) * SECOND_US)
        else:
            assert following == Next(TimerState.failed)


def test_the_table_is_whole() -> None:
    assert {(outcome, choice) for outcome, _, choice, _ in _table()} == set(product(Outcome, OnUnknown))
    assert {end or TimerState.scheduled for *_, end in _table()} == AFTER_ATTEMPT


def test_a_rejection_without_a_status_ends_it() -> None:
    assert _after(Outcome.rejected, None) == Next(TimerState.failed)


@pytest.mark.parametrize(
    ("retry_after_seconds", "wait_seconds"),
    [(None, 10), (0, 10), (9.5, 10), (10.5, 10.5), (3600, 3600), (1e9, RETRY_AFTER_MAX_SECONDS)],
)
def test_retry_after_only_prolongs_a_wait(retry_after_seconds: float | None, wait_seconds: float) -> None:
    following = _after(Outcome.rejected, 503, retry_after_seconds=retry_after_seconds)
    assert following == Next(TimerState.scheduled, NOW_US + round(wait_seconds * SECOND_US))


def test_retry_after_does_not_save_a_refused_timer() -> None:
    assert _after(Outcome.rejected, 404, retry_after_seconds=5) == Next(TimerState.failed)
    assert _after(Outcome.rejected, 503, attempt=3, retry_after_seconds=5) == Next(TimerState.failed)


def test_the_draw_shortens_a_wait() -> None:
    assert _after(Outcome.not_sent, draw=0.5) == Next(TimerState.scheduled, NOW_US + 7_500_000)


def test_after_a_lost_controller_the_owner_decides() -> None:
    assert after_loss(OnUnknown.resend, NOW_US) == Next(TimerState.scheduled, NOW_US)
    assert after_loss(OnUnknown.hold, NOW_US) == Next(TimerState.unknown)
    assert after_loss(OnUnknown.fail, NOW_US) == Next(TimerState.failed)

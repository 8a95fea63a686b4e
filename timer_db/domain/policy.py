"""What follows an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.states import OnUnknown, Outcome, TimerState

GONE = 410
# Answers that say "not now": worth another try. From RFC 9110 (408, 5xx), RFC 8470 (425), RFC 6585 (429).
_TRY_AGAIN = frozenset({408, 425, 429})
RETRY_AFTER_MAX_SECONDS = 86_400.0
"""A receiver may ask for a later try, but not for one that is more than a day away."""


@dataclass(frozen=True, slots=True)
class Next:
    """The state that an attempt leads to; `retry_at_us` is set when that is `scheduled`."""

    state: TimerState
    retry_at_us: int | None = None


def after_attempt(
    *,
    outcome: Outcome,
    http_status: int | None,
    retry_after_seconds: float | None,
    attempt: int,
    retry: RetryPolicy,
    on_unknown: OnUnknown,
    now_us: int,
    draw: float,
) -> Next:
    """What follows attempt number `attempt`, which ended at `now_us`; `draw` is random, in [0, 1)."""
    match outcome:
        case Outcome.delivered:
            return Next(TimerState.delivered)
        case Outcome.rejected:
            if not is_worth_another_try(http_status):
                return Next(TimerState.failed)
        case Outcome.not_sent:
            pass
        case Outcome.unknown:
            if on_unknown is OnUnknown.hold:
                return Next(TimerState.unknown)
            if on_unknown is OnUnknown.fail:
                return Next(TimerState.failed)
        case _:
            assert_never(outcome)
    if not retry.allows_another(attempt):
        return Next(TimerState.failed)
    wait_us = retry.wait_us(attempt, draw)
    if retry_after_seconds is not None:
        wait_us = max(wait_us, round(min(retry_after_seconds, RETRY_AFTER_MAX_SECONDS) * 1_000_000))
    return Next(TimerState.scheduled, now_us + wait_us)


def after_loss(on_unknown: OnUnknown, now_us: int) -> Next:
    """What follows when the controller was lost, so that nobody knows whether the call was made.

    Nothing was wrong with the receiver: a resend does not wait, and comes even after the last attempt that
    the policy allows, since the lost one may never have left.
    """
    match on_unknown:
        case OnUnknown.resend:
            return Next(TimerState.scheduled, now_us)
        case OnUnknown.hold:
            return Next(TimerState.unknown)
        case OnUnknown.fail:
            return Next(TimerState.failed)
        case _:
            assert_never(on_unknown)


def is_worth_another_try(http_status: int | None) -> bool:
    """Whether an answer with this status, which is no 2xx, may turn out better later."""
    return http_status is not None and (http_status in _TRY_AGAIN or http_status >= 500)

"""When a request is sent again, and after what wait."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Generic, TypeVar, assert_never

import httpx
from tenacity import RetryCallState, retry_if_exception, retry_if_result, stop_after_attempt

from timer_client.calls import Repeat
from timer_client.errors import NotReached, TooMany, Unavailable

T = TypeVar("T")

_SURELY_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What an answer says; `retry_after_seconds` is there when some of it should be asked for again."""

    value: T
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent at most, and how long the waits are: each twice the one before, drawn at random
    between half of it and all of it. A `Retry-After` counts instead, as far as it is not longer than the longest.
    """

    tries_max: int = 5
    initial_seconds: float = 0.25
    longest_seconds: float = 30

    def policy(self, repeat: Repeat) -> dict[str, Any]:
        """As tenacity wants it."""
        return {
            "stop": stop_after_attempt(self.tries_max),
            "wait": self._wait_seconds,
            "retry": retry_if_exception(lambda error: _may_repeat(repeat, error))
            | retry_if_result(lambda answer: repeat is Repeat.always and answer.retry_after_seconds is not None),
            # The last outcome as it is, instead of an error of tenacity's.
            "retry_error_callback": _outcome,
        }

    def _wait_seconds(self, state: RetryCallState) -> float:
        assert state.outcome
        last = state.outcome.exception() or state.outcome.result()
        asked = getattr(last, "retry_after_seconds", None)
        if asked is not None:
            return float(min(asked, self.longest_seconds))
        longest = min(self.initial_seconds * 2.0 ** (state.attempt_number - 1), self.longest_seconds)
        return random.uniform(longest / 2, longest)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date. None for what is neither."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())


def _may_repeat(repeat: Repeat, error: BaseException) -> bool:
    match repeat:
        case Repeat.always:
            return isinstance(error, (NotReached, TooMany, Unavailable))
        case Repeat.if_not_done:
            return isinstance(error, TooMany) or isinstance(error.__cause__, _SURELY_NOT_SENT)
        case Repeat.never:
            return False
        case other:
            assert_never(other)


def _outcome(state: RetryCallState) -> Any:
    assert state.outcome
    return state.outcome.result()

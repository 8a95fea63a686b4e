"""One root for every error of the client.

TimerClientError
├── NotReached              no answer: refused, lost or too slow (`__cause__` is httpx's error)
├── UnexpectedAnswer        a success that is none of this API's
├── ApiError                an answer that is no success
│   ├── Invalid             400, 413, 415, 422: `errors` names the fields
│   ├── Unauthorized        401: a key is needed
│   ├── Forbidden           403: the key does not allow this
│   ├── NotFound            404
│   ├── Conflict            409: it stands otherwise than the call needs
│   ├── TooMany             429: later, `retry_after_seconds` says when
│   └── ServiceFault        5xx
│       └── Unavailable     502, 503, 504: later; it may have been done nevertheless
└── ReceiveError            on the receivers' side
    ├── NotVerified         a call without a good signature
    └── UnderWay            a repeat of a call that is still at work
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from timer_client.answers import Backfill, Bulk

_MEMBERS = frozenset({"type", "title", "status", "detail", "errors"})
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class TimerClientError(Exception):
    """The root."""

    so_far: Bulk | Backfill | None = None
    """Of a call that takes many requests: what those before the one that failed have done, and where to go on."""


class NotReached(TimerClientError):
    """Nobody answered. Unless the connection was refused, the call may have been done nevertheless."""


class UnexpectedAnswer(TimerClientError):
    """Something answered that is not the Timer System, or another version of it."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is its path (`labels.env`), empty for the whole body."""

    field: str
    message: str


class ApiError(TimerClientError):
    """A problem as in RFC 9457. `facts` are its further members, such as `timer_status`."""

    def __init__(
        self, status: int, problem: Mapping[str, Any] = _NOTHING, retry_after_seconds: float | None = None
    ) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.errors = tuple(
            FieldError(str(each.get("field", "")), str(each.get("message", "")))
            for each in problem.get("errors") or ()
        )
        self.facts = MappingProxyType({name: value for name, value in problem.items() if name not in _MEMBERS})
        self.retry_after_seconds = retry_after_seconds
        self.tries = 1
        """How often the call was sent before this became its outcome."""
        super().__init__(status, problem, retry_after_seconds)

    def __str__(self) -> str:
        said = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in self.errors)
        return f"{self.status} {self.title}: {said or self.detail}".removesuffix(": ")


class Invalid(ApiError):
    """Something in the request is wrong."""


class Unauthorized(ApiError):
    """A valid API key is needed."""


class Forbidden(ApiError):
    """The key does not allow this."""


class NotFound(ApiError):
    """There is no such thing, or this key does not see it."""


class Conflict(ApiError):
    """It stands otherwise than the call needs: `facts` may say how."""


class TooMany(ApiError):
    """Too many calls, or too many timers that wait."""


class ServiceFault(ApiError):
    """Something went wrong there."""


class Unavailable(ServiceFault):
    """Too busy, or out of reach of the database. The call may have been done nevertheless."""


class ReceiveError(TimerClientError):
    """A call that a receiver does not take."""


class NotVerified(ReceiveError):
    """It is not from your timers, or too old: answer 401."""


class UnderWay(ReceiveError):
    """It is a repeat of one that is still at work, and may fail yet: answer 503, and it comes again."""


_KINDS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooMany,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def api_error(status: int, problem: Mapping[str, Any], retry_after_seconds: float | None = None) -> ApiError:
    """The error for an answer with this status."""
    kind = _KINDS.get(status, ServiceFault if status >= 500 else ApiError)
    return kind(status, problem, retry_after_seconds)

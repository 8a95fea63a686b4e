"""The Timer System from Python: two clients over HTTP, and in `timer_client.receive` the receivers' side."""

from timer_client.answers import (
    Attempt,
    Bulk,
    Timer,
)
from timer_client.asked import NewTimer
from timer_client.client import AsyncClient, Client
from timer_client.errors import (
    ApiError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    NotReached,
    ServiceFault,
    TimerClientError,
    TooMany,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from timer_client.retries import Retries

__all__ = [
    "ApiError",
    "AsyncClient",
    "Attempt",
    "Bulk",
    "Client",
    "Conflict",
    "FieldError",
    "Forbidden",
    "Invalid",
    "NewTimer",
    "NotFound",
    "NotReached",
    "Retries",
    "ServiceFault",
    "Timer",
    "TimerClientError",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
]

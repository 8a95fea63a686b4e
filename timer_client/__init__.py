"""The Timer System from Python: two clients over HTTP, and in `timer_client.receive` the receivers' side."""

from timer_client.answers import (
    ApiKey,
    Attempt,
    Bulk,
    Collection,
    Controller,
    Event,
    Refused,
    Route,
    RouteSecret,
    Schedule,
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
    "ApiKey",
    "AsyncClient",
    "Attempt",
    "Bulk",
    "Client",
    "Collection",
    "Conflict",
    "Controller",
    "Event",
    "FieldError",
    "Forbidden",
    "Invalid",
    "NewTimer",
    "NotFound",
    "NotReached",
    "Refused",
    "Retries",
    "Route",
    "RouteSecret",
    "Schedule",
    "ServiceFault",
    "Timer",
    "TimerClientError",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
]

"""What can be asked for, as keyword arguments or as dictionaries; the API's document says what each field means.

Beside the API's ways to say when, there is `due`: a timedelta, a number of seconds or a text such as "1h30m" from
now, or a moment as a datetime or as a text such as "2030-01-31T18:00:00Z". A datetime without an offset needs
`timezone`. A `body` of bytes is sent as such.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Required, TypedDict

from timer_client.answers import CatchUp, OnUnknown, Overlap, Status

Due = timedelta | datetime | float | str
_STARTS_WITH_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class RetryPolicy(TypedDict, total=False):
    """When to call again; what is left out is as by default."""

    max_attempts: int
    initial_seconds: float
    factor: float
    max_seconds: float
    jitter: float


class When(TypedDict, total=False):
    """When a timer is due: exactly one form."""

    due: Due
    hours: int
    minutes: int
    seconds: int
    delay: float | str
    due_at: datetime | str
    timezone: str


class TimerContent(TypedDict, total=False):
    """What a timer does."""

    route: str
    url: str
    append_id: bool
    method: str
    headers: Mapping[str, str]
    body: Any
    body_base64: str
    meta: Any
    labels: Mapping[str, str]
    priority: int
    retry: RetryPolicy
    timeout_seconds: float
    on_unknown: OnUnknown
    on_failure_url: str


class NamedTimer(When, TimerContent, total=False):
    """A timer to put; collection and name are said apart."""


class NewTimer(NamedTimer, total=False):
    """A timer to make."""

    collection: str
    name: str


class TimerChanges(When, total=False):
    """What is to be otherwise with a timer that waits; None is the default again."""

    url: str
    append_id: bool | None
    method: str | None
    headers: Mapping[str, str] | None
    body: Any
    body_base64: str | None
    meta: Any
    labels: Mapping[str, str] | None
    priority: int | None
    retry: RetryPolicy | None
    timeout_seconds: float | None
    on_unknown: OnUnknown | None
    on_failure_url: str | None


class Which(TypedDict, total=False):
    """The timers of a bulk call: `ids`, or those that every filter lets through.

    With filters it goes on at a `cursor`, the `next_cursor` of a call with the same ones, and ends when it has
    found `limit` timers.
    """

    ids: Iterable[str]
    selector: str
    collection: str
    route: str
    schedule: str
    status: Status
    due_after: datetime | str
    due_before: datetime | str
    cursor: str
    limit: int


class CollectionDefaults(TypedDict, total=False):
    """How timers of a collection are, unless they say otherwise."""

    retry: RetryPolicy | None
    timeout_seconds: float | None
    priority: int | None
    on_unknown: OnUnknown | None


class CollectionSettings(TypedDict, total=False):
    """A collection."""

    defaults: CollectionDefaults
    retention_days: int | None
    waiting_max: int | None
    egress_allow: Sequence[str] | None


class RouteSettings(TypedDict, total=False):
    """A route."""

    url: Required[str]
    append_id: bool
    method: str
    headers: Mapping[str, str]
    timeout_seconds: float
    retry: RetryPolicy
    calls_max: int | None
    rate_per_second: float | None
    burst: int | None
    disable_after_seconds: int | None


class TimerTemplate(TimerContent, total=False):
    """What each run of a schedule does."""

    collection: str


class ScheduleTimes(TypedDict, total=False):
    """When a schedule runs: exactly one of `cron` and `every`."""

    cron: str | None
    every: timedelta | float | str | None
    timezone: str
    start_at: datetime | str | None
    end_at: datetime | str | None
    jitter_seconds: float
    overlap: Overlap
    catch_up: CatchUp


class ScheduleSettings(ScheduleTimes, total=False):
    """A schedule."""

    timer: Required[TimerTemplate]


class SchedulePreview(ScheduleTimes, total=False):
    """A schedule of which only the times matter."""

    timer: TimerTemplate


class NewApiKey(TypedDict, total=False):
    """A key of the API."""

    name: Required[str]
    scopes: Required[Sequence[str]]
    collections: Sequence[str]
    rate_per_second: int
    burst: int


class Rescheduled(When, Which, total=False):
    """The timers of a bulk call, and when they are due."""


def document(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object for what was asked for."""
    found = dict(asked)
    if "due" in found:
        found |= _due_form(found.pop("due"))
    if isinstance(found.get("body"), bytes):
        found["body_base64"] = b64encode(found.pop("body")).decode()
    return found


def _due_form(due: Due) -> dict[str, Any]:
    match due:
        case timedelta():
            return {"delay": due.total_seconds()}
        case datetime():
            return {"due_at": due}
        case str() if _STARTS_WITH_DATE.match(due):
            return {"due_at": due}
        case _:
            return {"delay": due}

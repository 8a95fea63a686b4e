"""What the API shows: frozen, with datetimes for times. Members are those of the API's documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from timer_client.reading import Shown

Status = Literal["scheduled", "firing", "delivered", "failed", "unknown", "cancelled"]
Outcome = Literal["delivered", "rejected", "not_sent", "unknown"]
OnUnknown = Literal["resend", "hold", "fail"]
Overlap = Literal["allow", "skip"]
CatchUp = Literal["all", "last", "none"]


@dataclass(frozen=True, kw_only=True)
class Retry(Shown):
    """When a call is tried again: the wait before attempt n + 1 is `initial_seconds × factor^(n - 1)`."""

    max_attempts: int
    initial_seconds: float
    factor: float
    max_seconds: float
    jitter: float


@dataclass(frozen=True, kw_only=True)
class Timer(Shown):
    """A timer as it stood when it was shown. With a route, what the route decides is None."""

    id: str
    status: Status
    time_left: timedelta
    due_at: datetime
    created_at: datetime
    collection: str
    name: str | None = None
    route: str | None = None
    schedule: str | None = None
    url: str | None = None
    append_id: bool | None = None
    method: str | None = None
    headers: Mapping[str, str] | None = None
    body: Any = None
    body_base64: str | None = None
    meta: Any = None
    labels: Mapping[str, str]
    priority: int
    retry: Retry | None = None
    timeout_seconds: float | None = None
    on_unknown: OnUnknown
    on_failure_url: str | None = None
    attempts: int
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    unreadable: str | None = None
    """Why headers, body and meta cannot be decrypted; None when all is well."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows by itself."""
        return self.status not in ("scheduled", "firing")


@dataclass(frozen=True, kw_only=True)
class Attempt(Shown):
    """One try to deliver a timer. `status` is the timer's state that it led to."""

    number: int
    outcome: Outcome
    status: Status
    started_at: datetime
    finished_at: datetime
    latency_ms: float | None = None
    http_status: int | None = None
    controller: str | None = None
    reason: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Refused(Shown):
    """A timer that a bulk call left as it was, and why."""

    id: str
    status: Status | None
    """None when there is no such timer."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Bulk(Shown):
    """What bulk calls have done. `refused` names the timers left as they were, at most a hundred of each call.
    `next_cursor` is where to go on, with the same filters; None: all were looked at."""

    matched: int = 0
    changed: int = 0
    refused: tuple[Refused, ...] = ()
    refused_count: int = 0
    next_cursor: str | None = None

    def plus(self, later: Bulk) -> Bulk:
        """Both together, and where it goes on after the later one."""
        return Bulk(
            matched=self.matched + later.matched,
            changed=self.changed + later.changed,
            refused=self.refused + later.refused,
            refused_count=self.refused_count + later.refused_count,
            next_cursor=later.next_cursor,
        )


@dataclass(frozen=True, kw_only=True)
class Collection(Shown):
    """A named group of timers. `counts` has the number of timers by status."""

    name: str
    paused: bool
    defaults: Mapping[str, Any]
    retention_days: int | None = None
    waiting_max: int | None = None
    egress_allow: tuple[str, ...] | None = None
    counts: Mapping[Status, int]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Route(Shown):
    """A named destination. Its secrets are never shown."""

    name: str
    paused: bool
    url: str
    append_id: bool
    method: str
    headers: Mapping[str, str]
    timeout_seconds: float
    retry: Retry
    calls_max: int | None = None
    rate_per_second: float | None = None
    burst: int | None = None
    disable_after_seconds: int | None = None
    disabled_at: datetime | None = None
    disabled_because: str | None = None
    has_secret: bool
    counts: Mapping[Status, int]
    created_at: datetime
    unreadable: str | None = None
    """Why headers and secrets cannot be decrypted; None when all is well."""


@dataclass(frozen=True, kw_only=True)
class RouteSecret(Shown):
    """A new secret, shown this once; calls are signed with the old one too until `old_valid_until`."""

    secret: str
    old_valid_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule(Shown):
    """A rule by which timers are made. Exactly one of `cron` and `every` is there. `counts` has the number of
    runs by status."""

    name: str
    paused: bool
    cron: str | None = None
    every: Any = None
    """Seconds, or text such as "15m"."""
    timezone: str
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: float
    overlap: Overlap
    catch_up: CatchUp
    timer: Mapping[str, Any]
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    last_timer_id: str | None = None
    counts: Mapping[Status, int]
    created_at: datetime
    unreadable: str | None = None
    """Why `timer` cannot be decrypted; None when all is well."""


@dataclass(frozen=True, kw_only=True)
class Runs(Shown):
    """When a schedule runs."""

    runs: tuple[datetime, ...]


@dataclass(frozen=True, kw_only=True)
class Backfill(Shown):
    """How many runs a call has made, and where the next one begins."""

    made: int
    next_from: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Event(Shown):
    """Something that a person may want to know, such as a route that was disabled."""

    id: int
    at: datetime
    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Controller(Shown):
    """A process that makes the calls."""

    id: int
    host: str
    pid: int
    version: str
    joined_at: datetime
    beat_at: datetime
    claims_in_hand: int
    shard: int


class Controllers(tuple[Controller, ...]):
    """Those that live, as far as the database servers tell."""

    shards_away: tuple[int, ...] = ()
    """Servers that do not answer, by their numbers: who serves them is not told here."""


@dataclass(frozen=True, kw_only=True)
class Examined(Shown):
    """What was found on one database server; each fault and warning says what to do."""

    shard: int
    server: str
    schema_version: str
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Shown):
    """What `health.examine` found on all servers."""

    healthy: bool
    databases: tuple[Examined, ...]


@dataclass(frozen=True, kw_only=True)
class ApiKey(Shown):
    """A key of the API; `key` is the key itself, only right after it was made."""

    id: str
    name: str
    scopes: tuple[str, ...]
    collections: tuple[str, ...] | None = None
    rate_per_second: int | None = None
    burst: int | None = None
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    key: str | None = None

"""A route: a named destination. What it says holds for its timers when they are called, not when they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.timer import DEFAULT_TIMEOUT_SECONDS

SECRETS_MAX = 8
"""Each makes every call longer and dearer."""
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """What can be chosen."""

    url: str
    append_id: bool = True
    method: str = "POST"
    # They may be secret: a log that shows a route does not show them.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    retry: RetryPolicy = DEFAULT_RETRY
    calls_max: int | None = None
    """Calls in flight at a time, over all controllers; None: no limit of its own."""
    rate_per_second: float | None = None
    """Calls that begin in a second, over all controllers; None: no limit."""
    burst: int | None = None
    """So many at once after a rest; None: as many as in a second."""
    disable_after_seconds: int | None = None
    """When calls have failed for so long, and none succeeded, the route is disabled; None: never."""

    @property
    def burst_calls(self) -> int:
        """`burst`, or what it is by default."""
        return self.burst or max(1, math.ceil(self.rate_per_second or 1))


@dataclass(frozen=True, slots=True)
class Secret:
    """What calls are signed with."""

    key: bytes = field(repr=False)
    until_us: int | None = None
    """None: until it is taken away."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route as it stands."""

    id: int
    name: str
    settings: RouteSettings
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    """The newest first."""
    is_paused: bool = False
    disabled_at_us: int | None = None
    disabled_because: str = ""
    created_at_us: int = 0
    is_deleted: bool = False
    unreadable: str = ""
    """Why headers and secrets, which are encrypted, are not here; empty when they are."""

    @property
    def is_stopped(self) -> bool:
        """Whether its timers wait."""
        return self.is_paused or self.disabled_at_us is not None

    def keys_at(self, now_us: int) -> tuple[bytes, ...]:
        """What a call is signed with now."""
        return tuple(
            [secret.key for secret in self.secrets if secret.until_us is None or secret.until_us > now_us]
        )

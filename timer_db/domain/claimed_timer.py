"""A timer in a controller's hands, as it is stored: what every delivered timer pays for stays text."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

import orjson

from timer_db.domain.backoff import DEFAULT_RETRY, RetryPolicy
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.states import OnUnknown


# Not frozen, and made by position, for the reason that stands above `NewTimer`.
@dataclass(slots=True)
class ClaimedTimer:
    """The fields are those of `Timer`. Those that end in `_json` hold JSON, and are empty where it has none."""

    id_text: str
    due_at_us: int
    created_at_us: int
    url: str
    """Empty when a route has it; the same for `method`, and for a timeout of 0."""
    method: str
    # What clients send may be secret: a log that shows a timer does not show it.
    headers_json: str = field(repr=False)
    body: bytes | None = field(repr=False)
    body_is_json: bool
    meta_json: str = field(repr=False)
    name: str | None
    labels_json: str
    priority: int
    append_id: bool
    retry_json: str
    """Empty for the default policy."""
    timeout_seconds: float
    on_unknown: OnUnknown
    attempts: int
    owner: Owner = BY_DEFAULT
    on_failure_url: str = ""
    attempts_before: int = 0
    sealed_with: str = ""
    """The id of the key with which headers, meta and body are sealed, as one value in `body`; empty: none."""
    traceparent: str = ""
    """Where its create belongs in its client's trace; empty: nowhere."""

    @property
    def id(self) -> UUID:
        """For those few that need more than its text."""
        return UUID(self.id_text)

    @property
    def headers(self) -> dict[str, str]:
        """The client's own."""
        return dict(orjson.loads(self.headers_json)) if self.headers_json else {}

    @property
    def retry(self) -> RetryPolicy:
        """When to try again."""
        return _retry_of(self.retry_json) if self.retry_json else DEFAULT_RETRY


# Many timers, few policies.
@lru_cache(maxsize=1024)
def _retry_of(text: str) -> RetryPolicy:
    return RetryPolicy(**orjson.loads(text))

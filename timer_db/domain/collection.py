"""A collection: a named group of timers with defaults, limits and a switch that makes them wait."""

from __future__ import annotations

from dataclasses import dataclass

from timer_db.domain.address_ranges import Network
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.states import OnUnknown


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a timer is like where its create says nothing; None: as it is without a collection.

    A route's policy and timeout come before those here.
    """

    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None
    priority: int | None = None
    on_unknown: OnUnknown | None = None


NO_DEFAULTS = Defaults()


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """What can be chosen; None: as it is without it."""

    defaults: Defaults = NO_DEFAULTS
    retention_days: int | None = None
    """How long ended timers are kept; 0 is for ever."""
    waiting_max: int | None = None
    """So many timers may be scheduled or firing at a time."""
    egress_allow: tuple[Network, ...] | None = None
    """Calls go to addresses in one of these only, as far as the controllers allow them."""


NO_SETTINGS = CollectionSettings()


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as it stands."""

    id: int
    name: str
    settings: CollectionSettings = NO_SETTINGS
    is_paused: bool = False
    created_at_us: int = 0
    is_deleted: bool = False

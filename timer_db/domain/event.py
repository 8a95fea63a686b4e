"""What operators should know of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happened."""

    collection_paused = "collection.paused"
    collection_resumed = "collection.resumed"
    route_paused = "route.paused"
    route_resumed = "route.resumed"
    route_disabled = "route.disabled"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the list of events."""

    id: int
    at_us: int
    kind: EventKind
    subject: str
    """Such as `routes/billing`."""
    detail: str
    """For a person."""

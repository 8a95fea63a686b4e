"""To what a timer belongs."""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_COLLECTION = "default"
DEFAULT_COLLECTION_ID = 1


class Owner(NamedTuple):
    """The numbers of its collection, route and schedule; 0: it has none."""

    collection_id: int
    route_id: int = 0
    schedule_id: int = 0


BY_DEFAULT = Owner(DEFAULT_COLLECTION_ID)

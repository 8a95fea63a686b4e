"""What holds timers up that are due, in words."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from timer_db.domain.destination import Grouped
from timer_db.domain.directory import Directory
from timer_db.operations.overview import Held


@dataclass(frozen=True, slots=True)
class Holder:
    """A receiver, a route or a collection for which timers wait."""

    name: str
    why: str
    path: str
    """Of its page, behind the prefix; empty: it has none."""
    is_meant: bool
    """Somebody paused it."""
    timer_id: UUID
    due_at_us: int


def holder(held: Held, directory: Directory) -> Holder:
    """Who it is, as far as the directory tells."""
    name, path, why, is_meant = "the receiver", "", "is slow or down", False
    if held.url is not None:
        parts = urlsplit(held.url)
        name = f"{parts.scheme}://{parts.netloc}"
    match held.group:
        case (Grouped.collection, number) if collection := directory.collections.get(number):
            name, path = f"collection {collection.name}", f"/collections/{collection.name}"
            is_meant = collection.is_paused
            why = "is paused" if is_meant else "was paused, and catches up"
        case (Grouped.route, number) if route := directory.routes.get(number):
            name, path = f"route {route.name}", f"/routes/{route.name}"
            is_meant = route.is_paused
            if is_meant:
                why = "is paused"
            elif route.disabled_at_us is not None:
                why = f"is disabled: {route.disabled_because}"
            else:
                why = "is at its limit, or its receiver is slow or down"
    return Holder(name, why, path, is_meant, held.timer_id, held.due_at_us)

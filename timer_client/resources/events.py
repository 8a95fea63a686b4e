"""The calls about events."""

from __future__ import annotations

from timer_client.answers import Event
from timer_client.calls import C, Pages, Resource, pages_of, walk


class Events(Resource[C]):
    """`client.events`"""

    @walk
    def list(self, *, kind: str | None = None, page_size: int = 100) -> Pages[Event]:
        """What has happened, newest first. Pages are asked for as they are needed."""
        return pages_of(Event, "/events", "events", kind=kind, limit=page_size)

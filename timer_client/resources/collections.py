"""The calls about collections."""

from __future__ import annotations

from typing import Unpack

from timer_client.answers import Collection
from timer_client.asked import CollectionSettings
from timer_client.calls import C, Request, call
from timer_client.resources.named import Named


class Collections(Named[C, Collection]):
    """`client.collections`"""

    kind = Collection
    member = "collections"

    @call
    def put(self, name: str, /, **settings: Unpack[CollectionSettings]) -> Request[Collection]:
        """Make it, or replace its settings: what is left out is as by default. Timers made later follow them."""
        return self._put(name, {**settings})

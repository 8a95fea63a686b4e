"""The calls about API keys."""

from __future__ import annotations

from typing import Unpack

from timer_client.answers import ApiKey
from timer_client.asked import NewApiKey
from timer_client.calls import C, Pages, Repeat, Request, Resource, call, json_bytes, pages_of, path, walk
from timer_client.reading import reader
from timer_client.resources.named import nothing


class ApiKeys(Resource[C]):
    """`client.api_keys`"""

    @call
    def create(self, **key: Unpack[NewApiKey]) -> Request[ApiKey]:
        """Make one. Its `key` is shown this once."""
        # The key of a lost answer is lost; a second one should be made knowingly.
        repeat = Repeat.if_not_done
        return Request(
            method="POST", path="/api-keys", read=reader(ApiKey), body=json_bytes({**key}), repeat=repeat
        )

    @walk
    def list(self, *, page_size: int = 100) -> Pages[ApiKey]:
        """All of them, newest first. Pages are asked for as they are needed."""
        return pages_of(ApiKey, "/api-keys", "api_keys", limit=page_size)

    @call
    def revoke(self, key_id: str) -> Request[None]:
        """It lets nobody in any more."""
        return Request(method="DELETE", path=path("api-keys", key_id), read=nothing)

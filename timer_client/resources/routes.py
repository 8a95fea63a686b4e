"""The calls about routes."""

from __future__ import annotations

from datetime import timedelta
from typing import Unpack

from timer_client.answers import Route, RouteSecret
from timer_client.asked import RouteSettings
from timer_client.calls import C, Repeat, Request, call, json_bytes, path
from timer_client.reading import reader
from timer_client.resources.named import Named, nothing


class Routes(Named[C, Route]):
    """`client.routes`"""

    kind = Route
    member = "routes"

    @call
    def put(self, name: str, /, **settings: Unpack[RouteSettings]) -> Request[Route]:
        """Make it, or replace its settings: what is left out is as by default. Timers that wait follow them."""
        return self._put(name, {**settings})

    @call
    def new_secret(self, name: str, *, overlap: timedelta = timedelta(days=1)) -> Request[RouteSecret]:
        """A new secret, which is shown this once. As long as `overlap`, calls are signed with the old one too."""
        return Request(
            method="POST",
            path=path(self.member, name, "secret"),
            read=reader(RouteSecret),
            body=json_bytes({"overlap_seconds": int(overlap.total_seconds())}),
            # A second one would take the place of one that receivers may know already.
            repeat=Repeat.if_not_done,
        )

    @call
    def delete_secret(self, name: str) -> Request[None]:
        """Calls are signed with no secret of the route any more."""
        return Request(method="DELETE", path=path(self.member, name, "secret"), read=nothing)

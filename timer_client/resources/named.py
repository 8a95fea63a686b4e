"""What collections, routes and schedules have in common: a name, a list, and a switch that pauses them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, Generic, TypeVar

from timer_client.calls import C, Pages, Request, Resource, call, json_bytes, pages_of, path, walk
from timer_client.errors import NotFound
from timer_client.reading import Shown, reader

S = TypeVar("S", bound=Shown)


class Named(Resource[C], Generic[C, S]):
    """Things of one kind, each with a name."""

    kind: type[S]
    member: ClassVar[str]
    """Their path, and where they stand in a list."""

    @call
    def get(self, name: str) -> Request[S]:
        """It as it stands."""
        return Request(method="GET", path=path(self.member, name), read=reader(self.kind))

    @walk
    def list(self, *, page_size: int = 100) -> Pages[S]:
        """All of them. Pages are asked for as they are needed."""
        return pages_of(self.kind, path(self.member), self.member, limit=page_size)

    @call
    def delete(self, name: str) -> Generator[Request[Any], Any, None]:
        """Delete it. Conflict while timers need it."""
        try:
            yield from Request(method="DELETE", path=path(self.member, name), read=nothing)
        except NotFound as error:
            # When it was sent again, an earlier try did it, and its answer was lost.
            if error.tries == 1:
                raise

    @call
    def pause(self, name: str) -> Request[S]:
        """Its timers wait until it is resumed."""
        return Request(method="POST", path=path(self.member, name, "pause"), read=reader(self.kind))

    @call
    def resume(self, name: str) -> Request[S]:
        """End a pause."""
        return Request(method="POST", path=path(self.member, name, "resume"), read=reader(self.kind))

    def _put(self, name: str, settings: dict[str, Any]) -> Request[S]:
        where = path(self.member, name)
        return Request(method="PUT", path=where, read=reader(self.kind), body=json_bytes(settings))


def nothing(_answer: object) -> None:
    """Reads an answer without content."""

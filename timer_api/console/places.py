"""Every page of the console: where it stands, who may see it, and what makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.routing import compile_path

from timer_api import errors
from timer_api.console.pages import create, ended, overview, receiver, timer, timers, watch
from timer_api.console.pages.collections import CollectionPages
from timer_api.console.pages.groups import GroupPages
from timer_api.console.pages.routes import RoutePages
from timer_api.console.pages.schedules import SchedulePages
from timer_api.console.visit import Answer, Visit
from timer_db.domain.api_key import Scope

_Make = Callable[[Visit], Awaitable[Answer]]


class Place(NamedTuple):
    """One page. What is done on it (`act`) is checked by the API."""

    path: str
    scope: Scope
    show: _Make
    act: _Make | None = None


def _of_groups(pages: GroupPages) -> tuple[Place, Place]:
    return (
        Place(f"/{pages.path}", Scope.timers_read, pages.show, pages.act),
        Place(f"/{pages.path}/{{name}}", Scope.timers_read, pages.show_one, pages.act_on_one),
    )


PLACES = (
    Place("", Scope.timers_read, overview.show),
    Place("/timers", Scope.timers_read, timers.show),
    Place("/timers/{timer_id}", Scope.timers_read, timer.show, timer.act),
    Place("/ended", Scope.timers_read, ended.show, ended.act),
    Place("/new", Scope.timers_write, create.show, create.act),
    Place("/echo", Scope.timers_write, receiver.show, receiver.act),
    *_of_groups(CollectionPages()),
    *_of_groups(RoutePages()),
    *_of_groups(SchedulePages()),
    Place("/controllers", Scope.timers_read, watch.controllers),
    Place("/events", Scope.timers_read, watch.events),
)
_COMPILED = [(compile_path(place.path or "/")[0], place) for place in PLACES]


def place_of(path: str) -> tuple[Place, dict[str, Any]]:
    """The page at a path, behind the prefix, and what its braces stand for. Raises 404."""
    for pattern, place in _COMPILED:
        if match := pattern.match(path or "/"):
            return place, match.groupdict()
    raise errors.not_served("GET", ())

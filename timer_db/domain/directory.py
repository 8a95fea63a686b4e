"""The collections, routes and schedules that there are, as they were read last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import orjson

from timer_db.domain.collection import Collection, Defaults
from timer_db.domain.owner import DEFAULT_COLLECTION, DEFAULT_COLLECTION_ID, Owner
from timer_db.domain.route import Route


@dataclass(frozen=True, slots=True)
class Schedule:
    """What makes timers again and again."""

    id: int
    name: str
    is_deleted: bool = False


class Directory:
    """Everything by its number; what was deleted is there too, as long as timers may belong to it, but has no name
    by which it is found. It never changes: a later look makes another one."""

    def __init__(
        self,
        collections: Mapping[int, Collection],
        routes: Mapping[int, Route] | None = None,
        schedules: Mapping[int, Schedule] | None = None,
    ) -> None:
        self.collections = collections
        self.routes = routes or {}
        self.schedules = schedules or {}
        self.limited = frozenset(
            number for number, found in collections.items() if found.settings.waiting_max is not None
        )
        """The collections of which so many timers may wait."""
        self.narrowed = {
            number: found.settings.egress_allow
            for number, found in collections.items()
            if found.settings.egress_allow is not None
        }
        """The address ranges of those collections whose timers may call no others."""
        self._collections_by_name = _by_name(self.collections.values())
        self._routes_by_name = _by_name(self.routes.values())
        self._schedules_by_name = _by_name(self.schedules.values())
        self._json: dict[Owner, str] = {}

    def knows(self, owner: Owner) -> bool:
        """Whether all its numbers are here."""
        return (
            owner.collection_id in self.collections
            and (not owner.route_id or owner.route_id in self.routes)
            and (not owner.schedule_id or owner.schedule_id in self.schedules)
        )

    def usual_of(self, owner: Owner) -> Defaults:
        """What a new timer of this owner is like where its create says nothing, or part of a policy. What a route
        decides is not stored with its timers, unless they say something themselves."""
        defaults = self.collections[owner.collection_id].settings.defaults
        if not owner.route_id:
            return defaults
        return replace(defaults, retry=self.routes[owner.route_id].settings.retry)

    def collection_named(self, name: str) -> Collection | None:
        """The collection of this name."""
        return self._collections_by_name.get(name)

    def route_named(self, name: str) -> Route | None:
        """The route of this name."""
        return self._routes_by_name.get(name)

    def schedule_named(self, name: str) -> Schedule | None:
        """The schedule of this name."""
        return self._schedules_by_name.get(name)

    def names_of(self, owner: Owner) -> tuple[str, str | None, str | None]:
        """The names of its collection, route and schedule. KeyError for a number that is not known."""
        return (
            self.collections[owner.collection_id].name,
            self.routes[owner.route_id].name if owner.route_id else None,
            self.schedules[owner.schedule_id].name if owner.schedule_id else None,
        )

    def json_of(self, owner: Owner) -> str:
        """The same as members of a JSON object: every call without a body of its own carries them."""
        text = self._json.get(owner)
        if text is None:
            collection, route, schedule = self.names_of(owner)
            members = {"collection": collection, "route": route, "schedule": schedule}
            text = self._json[owner] = orjson.dumps(members).decode()[1:-1]
        return text


Named = TypeVar("Named", Collection, Route, Schedule)


def _by_name(found: Iterable[Named]) -> dict[str, Named]:
    return {one.name: one for one in found if not one.is_deleted}


ONLY_DEFAULT = Directory({DEFAULT_COLLECTION_ID: Collection(DEFAULT_COLLECTION_ID, DEFAULT_COLLECTION)})
"""What every database has."""

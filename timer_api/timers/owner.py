"""To what a new timer belongs: names, as clients say them, and numbers, as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from timer_api.api_keys.caller import Caller
from timer_api.errors import FieldError, invalid
from timer_db.domain.directory import Directory
from timer_db.domain.owner import BY_DEFAULT, DEFAULT_COLLECTION, Owner
from timer_db.operations.directory import DirectoryKeeper


async def directory_for(keeper: DirectoryKeeper, documents: Iterable[Mapping[str, Any]]) -> Directory:
    """A directory that was read after the last change, should one of these name what the one in hand lacks."""
    known = keeper.current
    for asked in documents:
        # Of a batch nothing was checked yet: what is no text names nothing.
        collection, route = asked.get("collection", DEFAULT_COLLECTION), asked.get("route")
        is_known = not isinstance(collection, str) or known.collection_named(collection)
        if not is_known or (isinstance(route, str) and not known.route_named(route)):
            await keeper.refresh()
            break
    return keeper.current


def owner_of(asked: Mapping[str, Any], caller: Caller, directory: Directory) -> Owner:
    """Raises a 422 for a collection or a route that is not there, and 403 for a collection of others."""
    if "collection" not in asked and "route" not in asked:
        caller.check_collection(DEFAULT_COLLECTION)
        return BY_DEFAULT
    name = asked.get("collection", DEFAULT_COLLECTION)
    caller.check_collection(name)
    collection = directory.collection_named(name)
    if collection is None:
        raise invalid([FieldError("collection", "there is none of this name: make it first, by PUT /collections")])
    if "route" not in asked:
        return Owner(collection.id)
    route = directory.route_named(asked["route"])
    if route is None:
        raise invalid([FieldError("route", "there is none of this name: make it first, by PUT /routes")])
    return Owner(collection.id, route.id)

"""Make, change, list and delete collections. They live on the first server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import orjson

from timer_db import transactions
from timer_db.domain.address_ranges import parse_range
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.collection import NO_DEFAULTS, Collection, CollectionSettings, Defaults
from timer_db.domain.errors import CollectionInUse, CollectionNotFound
from timer_db.domain.event import EventKind
from timer_db.domain.owner import DEFAULT_COLLECTION
from timer_db.domain.states import OnUnknown
from timer_db.operations.counts import count_stored
from timer_db.operations.groups import note_event, put
from timer_db.shards import Shards
from timer_db.statements import collections as statements
from timer_db.statements import groups, schedules
from timer_db.transactions import Connection


class CollectionPut(NamedTuple):
    """A collection as it is stored, and whether it is a new one."""

    collection: Collection
    created: bool


class CollectionPage(NamedTuple):
    """Some collections, and the cursor of the next page; None when this is the last."""

    collections: list[Collection]
    next_cursor: str | None


async def put_collection(shards: Shards, name: str, settings: CollectionSettings) -> CollectionPut:
    """Make it, or choose all its settings anew. May be repeated."""

    async def work(connection: Connection) -> CollectionPut:
        rows = await connection.rows(*groups.by_name("collections", statements.COLUMNS, name))
        if rows:
            await connection.write(*statements.replace(rows[0][0], _row_of(settings)), count=1)
        else:
            await connection.write(*statements.insert(name, _row_of(settings)), count=1)
        return CollectionPut(await _locked(connection, name), not rows)

    return await put(shards.home.engine, work)


async def get_collection(shards: Shards, name: str) -> Collection:
    """The collection of this name, or CollectionNotFound."""

    async def work(connection: Connection) -> Collection:
        rows = await connection.rows(*groups.look_by_name("collections", statements.COLUMNS, name))
        if not rows:
            raise CollectionNotFound(name)
        return collection_of(rows[0])

    return await transactions.run(shards.home.engine, work)


async def list_collections(shards: Shards, limit: int, cursor: str | None = None) -> CollectionPage:
    """A page of at most `limit`, by name, from behind the name `cursor`."""

    async def work(connection: Connection) -> CollectionPage:
        statement = groups.page("collections", statements.COLUMNS, cursor or "", limit + 1)
        found = [collection_of(row) for row in await connection.rows(*statement)]
        return CollectionPage(found[:limit], found[limit - 1].name if len(found) > limit else None)

    return await transactions.run(shards.home.engine, work)


async def pause_collection(shards: Shards, name: str, is_paused: bool, by: str) -> Collection:
    """Make its timers wait, or let them be called again; `by` says for people who wants it. May be repeated.

    Raises CollectionNotFound.
    """

    async def work(connection: Connection) -> Collection:
        before = await _locked(connection, name)
        if before.is_paused == is_paused:
            return before
        await connection.write(groups.pause("collections", before.id, is_paused), count=1)
        kind = EventKind.collection_paused if is_paused else EventKind.collection_resumed
        await note_event(connection, kind, f"collections/{name}", by)
        return await _locked(connection, name)

    return await transactions.run(shards.home.engine, work)


async def delete_collection(shards: Shards, name: str) -> None:
    """Raises CollectionNotFound, or CollectionInUse for one with timers, those that have ended among them."""
    if name == DEFAULT_COLLECTION:
        raise CollectionInUse(name, "timers that name none are in it")
    collection = await get_collection(shards, name)
    if timers := await count_stored(shards, collection.id):
        raise CollectionInUse(name, f"it has {timers:,} timers")

    async def work(connection: Connection) -> None:
        found = await _locked(connection, name)
        if found.id == collection.id:
            if using := await connection.rows(schedules.using("collection_id", collection.id)):
                raise CollectionInUse(name, f"the schedule {using[0][0]!r} makes timers in it")
            await connection.write(groups.bury("collections", found.id), count=1)

    await transactions.run(shards.home.engine, work)


async def _locked(connection: Connection, name: str) -> Collection:
    rows = await connection.rows(*groups.by_name("collections", statements.COLUMNS, name))
    if not rows:
        raise CollectionNotFound(name)
    return collection_of(rows[0])


def _row_of(settings: CollectionSettings) -> tuple[Any, ...]:
    defaults = {name: value for name, value in asdict(settings.defaults).items() if value is not None}
    ranges = settings.egress_allow
    return (
        _json(defaults) if defaults else None,
        settings.retention_days,
        settings.waiting_max,
        None if ranges is None else _json([str(network) for network in ranges]),
    )


def collection_of(row: Sequence[Any]) -> Collection:
    """A collection from the columns `statements.collections.COLUMNS`."""
    number, name, defaults, retention_days, waiting_max, ranges, is_paused, created_us, is_deleted = row
    settings = CollectionSettings(
        _defaults_of(orjson.loads(defaults)) if defaults else NO_DEFAULTS,
        retention_days,
        waiting_max,
        None if ranges is None else tuple(map(parse_range, orjson.loads(ranges))),
    )
    return Collection(number, name, settings, bool(is_paused), created_us, bool(is_deleted))


def _defaults_of(stored: dict[str, Any]) -> Defaults:
    return Defaults(
        RetryPolicy(**stored["retry"]) if "retry" in stored else None,
        stored.get("timeout_seconds"),
        stored.get("priority"),
        OnUnknown(stored["on_unknown"]) if "on_unknown" in stored else None,
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()

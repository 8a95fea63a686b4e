"""Make, change, list and delete routes, and their secrets. They live on the first server."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.errors import ContentUnreadable, RouteInUse, RouteNotFound, RouteUnreadable
from timer_db.domain.event import EventKind
from timer_db.domain.route import SECRET_BYTES, SECRETS_MAX, Route, RouteSettings, Secret
from timer_db.encryption import Content, Keyring
from timer_db.operations.counts import count_waiting
from timer_db.operations.groups import note_event, put
from timer_db.shards import Shards
from timer_db.statements import controllers, groups, schedules
from timer_db.statements import routes as statements
from timer_db.transactions import Connection

_IN_COLUMNS = ("url", "method", "headers")
_SEALED_FOR = b"timer route\0"
"""With its number behind it: what is sealed for one route is opened for no other, nor for a timer."""


class RoutePut(NamedTuple):
    """A route as it is stored, and whether it is a new one."""

    route: Route
    created: bool


class RoutePage(NamedTuple):
    """Some routes, and the cursor of the next page; None when this is the last."""

    routes: list[Route]
    next_cursor: str | None


class NewSecret(NamedTuple):
    """A secret that was made, and how long those before it are valid; None: there is none."""

    key: bytes
    old_until_us: int | None


async def put_route(shards: Shards, name: str, settings: RouteSettings) -> RoutePut:
    """Make it, or choose all its settings anew; its secrets stay. May be repeated.

    Raises RouteUnreadable when its secrets are sealed with a key that is missing: they would be lost.
    """
    keyring = shards.home.keyring

    async def work(connection: Connection) -> RoutePut:
        rows = await connection.rows(*groups.by_name("routes", statements.COLUMNS, name))
        secrets: tuple[Secret, ...] = ()
        if rows:
            before = route_of(rows[0], keyring)
            if before.unreadable:
                raise RouteUnreadable(name, before.unreadable)
            number, secrets = before.id, before.secrets
            await connection.write(*statements.replace(number, _row_of(settings)), count=1)
        else:
            number = await connection.insert(*statements.insert(name, _row_of(settings)))
        await _keep(connection, number, settings, secrets, keyring)
        return RoutePut(await _locked(connection, name, keyring), not rows)

    return await put(shards.home.engine, work)


async def get_route(shards: Shards, name: str) -> Route:
    """The route of this name, or RouteNotFound."""

    async def work(connection: Connection) -> Route:
        rows = await connection.rows(*groups.look_by_name("routes", statements.COLUMNS, name))
        if not rows:
            raise RouteNotFound(name)
        return route_of(rows[0], shards.home.keyring)

    return await transactions.run(shards.home.engine, work)


async def list_routes(shards: Shards, limit: int, cursor: str | None = None) -> RoutePage:
    """A page of at most `limit`, by name, from behind the name `cursor`."""

    async def work(connection: Connection) -> RoutePage:
        statement = groups.page("routes", statements.COLUMNS, cursor or "", limit + 1)
        found = [route_of(row, shards.home.keyring) for row in await connection.rows(*statement)]
        return RoutePage(found[:limit], found[limit - 1].name if len(found) > limit else None)

    return await transactions.run(shards.home.engine, work)


async def pause_route(shards: Shards, name: str, is_paused: bool, by: str) -> Route:
    """Make its timers wait, or let them be called again, also when it was disabled; `by` says for people who wants
    it. May be repeated. Raises RouteNotFound."""
    keyring = shards.home.keyring

    async def work(connection: Connection) -> Route:
        before = await _locked(connection, name, keyring)
        if before.is_paused if is_paused else not before.is_stopped:
            return before
        change = groups.pause("routes", before.id, True) if is_paused else statements.resume(before.id)
        await connection.write(change, count=1)
        kind = EventKind.route_paused if is_paused else EventKind.route_resumed
        await note_event(connection, kind, f"routes/{name}", by)
        return await _locked(connection, name, keyring)

    return await transactions.run(shards.home.engine, work)


async def delete_route(shards: Shards, name: str) -> None:
    """Raises RouteNotFound, or RouteInUse while timers of it wait or a schedule makes some."""
    route = await get_route(shards, name)
    if waiting := await count_waiting(shards, route_id=route.id):
        raise RouteInUse(name, f"{waiting:,} timers of it wait")

    async def work(connection: Connection) -> None:
        found = await _locked(connection, name, shards.home.keyring)
        if found.id == route.id:
            if using := await connection.rows(schedules.using("route_id", route.id)):
                raise RouteInUse(name, f"the schedule {using[0][0]!r} makes timers of it")
            if not found.is_stopped:
                await connection.write(statements.resume(found.id), count=1)
            await connection.write(groups.bury("routes", found.id), count=1)

    await transactions.run(shards.home.engine, work)


async def rotate_secret(shards: Shards, name: str, overlap_us: int) -> NewSecret:
    """A new secret; calls are signed with those before it as well, for so long. Raises RouteNotFound, and
    RouteUnreadable as `put_route` does.

    After DatabaseUnavailable there may be a secret that nobody was told.
    """
    keyring = shards.home.keyring

    async def work(connection: Connection) -> NewSecret:
        before = await _locked(connection, name, keyring)
        if before.unreadable:
            raise RouteUnreadable(name, before.unreadable)
        now_us = int(await connection.value(controllers.NOW))
        until_us = now_us + overlap_us
        old = [
            replace(secret, until_us=until_us if secret.until_us is None else min(until_us, secret.until_us))
            for secret in before.secrets
            if secret.key in before.keys_at(now_us) and overlap_us
        ]
        new = Secret(os.urandom(SECRET_BYTES))
        await _keep(connection, before.id, before.settings, (new, *old)[:SECRETS_MAX], keyring)
        return NewSecret(new.key, until_us if old else None)

    return await transactions.run(shards.home.engine, work)


async def drop_secrets(shards: Shards, name: str) -> None:
    """Its calls are signed with those of the service, if there are any. May be repeated. Raises RouteNotFound.

    When they are sealed with a key that is missing, the headers go with them: the only way out then.
    """
    keyring = shards.home.keyring

    async def work(connection: Connection) -> None:
        before = await _locked(connection, name, keyring)
        await _keep(connection, before.id, before.settings, (), keyring)

    await transactions.run(shards.home.engine, work)


async def note_successes(engine: AsyncEngine, numbers: Collection[int]) -> None:
    """Calls of these routes have just succeeded; `engine` is that of the first server."""

    async def work(connection: Connection) -> None:
        await connection.write(statements.note_successes(numbers))

    await transactions.run(engine, work)


async def disable_route(engine: AsyncEngine, route: Route, because: str, unless_since_us: int) -> bool:
    """Make its timers wait until it is resumed, unless a call of it has succeeded since that time, for whichever
    controller. Whether it was this one that did it. `engine` is that of the first server."""

    async def work(connection: Connection) -> bool:
        if not await connection.write(statements.disable(route.id, because, unless_since_us)):
            return False
        await note_event(connection, EventKind.route_disabled, f"routes/{route.name}", because)
        return True

    return await transactions.run(engine, work)


async def _locked(connection: Connection, name: str, keyring: Keyring) -> Route:
    rows = await connection.rows(*groups.by_name("routes", statements.COLUMNS, name))
    if not rows:
        raise RouteNotFound(name)
    return route_of(rows[0], keyring)


async def _keep(
    connection: Connection, number: int, settings: RouteSettings, secrets: Sequence[Secret], keyring: Keyring
) -> None:
    headers = _json(dict(settings.headers)) if settings.headers else None
    listed = [{"key": b64encode(secret.key).decode(), "until_us": secret.until_us} for secret in secrets]
    kept = orjson.dumps(listed) if listed else None
    values: tuple[Any, ...] = (headers, kept, None)
    if keyring and (headers or kept):
        values = (None, keyring.seal(_sealed_for(number), Content(headers, None, kept)), keyring.sealing_id)
    await connection.write(*statements.keep_secret(number, values), count=1)


def _row_of(settings: RouteSettings) -> tuple[Any, ...]:
    rest = {name: value for name, value in asdict(settings).items() if name not in _IN_COLUMNS}
    return settings.url, settings.method, _json(rest)


def route_of(row: Sequence[Any], keyring: Keyring) -> Route:
    """A route from the columns `statements.routes.COLUMNS`."""
    number, name, url, method, stored = row[:5]
    is_paused, disabled_at_us, disabled_because, created_us, is_deleted = row[8:]
    headers: dict[str, str] = {}
    secrets: tuple[Secret, ...] = ()
    unreadable = ""
    try:
        headers, secrets = _opened(row, keyring)
    except ContentUnreadable as error:
        unreadable = error.reason
    rest = orjson.loads(stored)
    settings = RouteSettings(
        url=url, method=method, headers=headers, **{**rest, "retry": RetryPolicy(**rest["retry"])}
    )
    return Route(
        number,
        name,
        settings,
        secrets,
        bool(is_paused),
        disabled_at_us,
        disabled_because or "",
        created_us,
        bool(is_deleted),
        unreadable,
    )


def _opened(row: Sequence[Any], keyring: Keyring) -> tuple[dict[str, str], tuple[Secret, ...]]:
    """Headers and secrets. Raises ContentUnreadable."""
    number, headers, secrets, sealed_with = row[0], *row[5:8]
    if sealed_with is not None:
        headers, _, secrets = keyring.open(_sealed_for(number), sealed_with, bytes(secrets))
    return (
        orjson.loads(headers) if headers else {},
        tuple(Secret(b64decode(one["key"]), one["until_us"]) for one in orjson.loads(secrets)) if secrets else (),
    )


def _sealed_for(number: int) -> bytes:
    return _SEALED_FOR + number.to_bytes(4, "big")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()

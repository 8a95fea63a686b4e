"""Make, list, read and revoke API keys. They live on the first server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from pymysql.constants import ER
from pymysql.err import IntegrityError

from timer_db import transactions
from timer_db.domain.api_key import ApiKey, NewApiKey, Scope, new_key, sha256_of
from timer_db.domain.errors import ApiKeyNotFound
from timer_db.shards import Shards
from timer_db.statements import api_keys as statements
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

_KNOWN_SCOPES = {scope.value: scope for scope in Scope}


class Stamp(NamedTuple):
    """What changes whenever a key is made or revoked."""

    keys: int
    revoked: int
    newest_us: int


@dataclass(frozen=True, slots=True)
class ValidKeys:
    """Every key that may be used, as of `stamp`."""

    stamp: Stamp
    keys: list[ApiKey]


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Some keys, and the cursor of the next page; None when this is the last."""

    keys: list[ApiKey]
    next_cursor: str | None


async def make_key(shards: Shards, new: NewApiKey) -> tuple[ApiKey, str]:
    """The stored key, and the key itself, which nobody can tell later. ValueError for one that cannot be.

    After DatabaseUnavailable there may be a key that nobody has.
    """
    if faults := [f"{name}: {message}" for name, message in new.faults()]:
        raise ValueError("; ".join(faults))
    while True:
        key_id, key = new_key()
        try:
            return await _insert(shards, new, key_id, key), key
        except IntegrityError as error:
            # One in four thousand million: the id is in use.
            if transactions.code_of(error) != ER.DUP_ENTRY:
                raise


async def _insert(shards: Shards, new: NewApiKey, key_id: str, key: str) -> ApiKey:
    async def work(connection: Connection) -> ApiKey:
        await connection.write(*statements.insert(_row_of(new, key_id, key)), count=1)
        return await _read(connection, key_id)

    return await transactions.run(shards.home.engine, work)


async def list_keys(shards: Shards, limit: int, cursor: str | None = None) -> KeyPage:
    """A page of at most `limit` keys, newest first, revoked ones among them. ValueError for a cursor of none."""

    async def work(connection: Connection) -> KeyPage:
        if cursor is not None and not await connection.rows(*statements.by_id(cursor)):
            raise ValueError("it is not a cursor of this list")
        keys = [_key_of(row) for row in await connection.rows(*statements.page(cursor, limit + 1))]
        return KeyPage(keys[:limit], keys[limit - 1].id if len(keys) > limit else None)

    return await transactions.run(shards.home.engine, work)


async def revoke_key(shards: Shards, key_id: str) -> ApiKey:
    """The key, revoked now or before. Raises ApiKeyNotFound."""

    async def work(connection: Connection) -> ApiKey:
        await connection.write(*statements.revoke(key_id))
        return await _read(connection, key_id)

    return await transactions.run(shards.home.engine, work)


async def read_valid_keys(shards: Shards, known: Stamp | None) -> ValidKeys | None:
    """Every key that may be used; None when nothing has changed since `known`."""

    async def work(connection: Connection) -> ValidKeys | None:
        # Before the keys: a change in between shows at the next look.
        [numbers] = await connection.rows(statements.STAMP)
        stamp = Stamp(*map(int, numbers))
        if stamp == known:
            return None
        return ValidKeys(stamp, [_key_of(row) for row in await connection.rows(statements.VALID)])

    return await transactions.run(shards.home.engine, work)


async def note_uses(shards: Shards, key_ids: Sequence[str], every_us: int) -> None:
    """These keys were used just now; each is written at most once in `every_us`, whoever notes it."""

    async def work(connection: Connection) -> None:
        for first in range(0, len(key_ids), LIST_MAX):
            await connection.write(*statements.note_uses(key_ids[first : first + LIST_MAX], every_us))

    await transactions.run(shards.home.engine, work)


async def _read(connection: Connection, key_id: str) -> ApiKey:
    rows = await connection.rows(*statements.by_id(key_id))
    if not rows:
        raise ApiKeyNotFound(key_id)
    return _key_of(rows[0])


def _row_of(new: NewApiKey, key_id: str, key: str) -> tuple[Any, ...]:
    return (
        key_id,
        sha256_of(key.encode()),
        new.name,
        ",".join(sorted(new.scopes)),
        None if new.collections is None else orjson.dumps(sorted(new.collections)).decode(),
        new.rate_per_second,
        new.rate_per_second if new.burst is None else new.burst,
    )


def _key_of(row: Sequence[Any]) -> ApiKey:
    key_id, key_sha256, name, scopes, collections, rate, burst, created_us, used_us, revoked_us = row
    return ApiKey(
        id=key_id,
        key_sha256=bytes(key_sha256),
        name=name,
        # A later version may know more of them; this one allows nothing for those.
        scopes=frozenset(_KNOWN_SCOPES[word] for word in scopes.split(",") if word in _KNOWN_SCOPES),
        collections=None if collections is None else frozenset(orjson.loads(collections)),
        rate_per_second=rate,
        burst=burst,
        created_at_us=created_us,
        last_used_at_us=used_us,
        revoked_at_us=revoked_us,
    )

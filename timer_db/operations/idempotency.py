"""Hold idempotency keys for requests, and choose the ids that follow from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain import ids
from timer_db.domain.errors import KeyReused
from timer_db.domain.idempotency import KEPT_SECONDS, KeyAsked, KeyHeld
from timer_db.shards import Shard, Shards
from timer_db.statements import idempotency as statements
from timer_db.statements import timers
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

_KEPT_US = KEPT_SECONDS * 1_000_000


async def hold_keys(shards: Shards, asked: Sequence[KeyAsked]) -> list[KeyHeld | KeyReused]:
    """Hold these keys; in their order, each is held, or was used for another request. Safe to repeat.

    One commit per server. Whoever comes at the same time with the same key waits for that commit.
    """
    by_shard: defaultdict[int, dict[bytes, KeyAsked]] = defaultdict(dict)
    for each in asked:
        # Of several with one key in one call, the first has it.
        by_shard[_home(shards, each.key_sha256).number].setdefault(each.key_sha256, each)
    found: dict[bytes, tuple[bytes, int]] = {}
    for shard in shards:
        if of_shard := by_shard.get(shard.number):
            found.update(await _hold_on(shard, sorted(of_shard.values())))
    results: list[KeyHeld | KeyReused] = []
    taken: set[bytes] = set()
    for each in asked:
        content, first_us = found[each.key_sha256]
        shard = _home(shards, each.key_sha256)
        if not shard.keyring.is_hash_of(content, each.content_sha256):
            results.append(KeyReused())
        else:
            is_repeat = first_us != each.now_us or each.key_sha256 in taken
            results.append(KeyHeld(each.key_sha256, first_us, is_repeat))
        taken.add(each.key_sha256)
    return results


async def _hold_on(shard: Shard, asked: Sequence[KeyAsked]) -> dict[bytes, tuple[bytes, int]]:
    """Content and first moment of each key, which are these requests' or those of others before them."""
    hashes = {each.key_sha256: shard.keyring.hash(each.content_sha256) for each in asked}

    async def work(connection: Connection) -> dict[bytes, tuple[bytes, int]]:
        await connection.write(
            statements.take([(each.key_sha256, hashes[each.key_sha256], each.now_us) for each in asked])
        )
        rows = await connection.rows(statements.holders(hashes))
        held = {bytes(key): (bytes(content), int(first_us)) for key, content, first_us in rows}
        for each in asked:
            key = each.key_sha256
            if held[key][1] < each.now_us - _KEPT_US:
                await connection.write(statements.renew(key, hashes[key], each.now_us), count=1)
                held[key] = (hashes[key], each.now_us)
        return held

    return await transactions.run(shard.engine, work)


def choose_ids(
    shards: Shards, held: KeyHeld, names: Sequence[tuple[str, str] | None], first: int = 0
) -> list[UUID]:
    """The ids of a request's timers, from its `first` on, each with its collection and name or None."""
    anywhere = _home(shards, held.key_sha256).number
    return [
        ids.derived_id(
            held.first_us, anywhere if name is None else shards.for_name(*name).number, held.key_sha256, index
        )
        for index, name in enumerate(names, first)
    ]


async def find_stored(shards: Shards, timer_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the timers that are stored, in whatever state."""
    by_shard: defaultdict[int, list[bytes]] = defaultdict(list)
    for timer_id in timer_ids:
        by_shard[ids.shard_of(timer_id)].append(timer_id.bytes)
    found: set[UUID] = set()
    for shard in shards:
        of_shard = by_shard.get(shard.number, [])
        for begin in range(0, len(of_shard), LIST_MAX):
            statement = timers.existing(of_shard[begin : begin + LIST_MAX])

            async def work(connection: Connection, statement: str = statement) -> list[tuple[bytes]]:
                return await connection.rows(statement)

            found.update(UUID(bytes=bytes(row[0])) for row in await transactions.run(shard.engine, work))
    return found


async def forget_keys(engine: AsyncEngine) -> bool:
    """Delete a page of keys that stand for nothing any more; gives whether it was a full one."""

    async def work(connection: Connection) -> bool:
        return await connection.write(statements.forget(_KEPT_US, LIST_MAX)) == LIST_MAX

    return await transactions.run(engine, work)


def _home(shards: Shards, key_sha256: bytes) -> Shard:
    """Where a key is, whoever asks, and with it the timers without a name."""
    return shards.for_name("", key_sha256.hex())

"""Hold idempotency keys for requests, choose the ids that follow from them, and keep what was answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from timer_db import transactions
from timer_db.domain import ids
from timer_db.domain.errors import ContentUnreadable, KeyReused
from timer_db.domain.idempotency import KEPT_SECONDS, AnswerGiven, KeyAsked, KeyHeld
from timer_db.domain.timer import NewTimer, Timer
from timer_db.encryption import Content, Keyring
from timer_db.operations.rows import row_of
from timer_db.shards import Shard, Shards
from timer_db.statements import idempotency as statements
from timer_db.statements import timers
from timer_db.statements.literals import LIST_MAX
from timer_db.transactions import Connection

_KEPT_US = KEPT_SECONDS * 1_000_000
_ASKED = (slice(1, 4), slice(6, 17), slice(18, 22))
"""The values of `row_of` that a request decides: not the id, the moments, the trace, nor the key that seals."""
_MOMENT_BYTES = 8
Keyed = TypeVar("Keyed", KeyAsked, AnswerGiven)


class _Row(NamedTuple):
    """What is stored of a key."""

    content_sha256: bytes
    first_us: int
    answer: bytes | None


async def hold_keys(shards: Shards, asked: Sequence[KeyAsked]) -> list[KeyHeld | KeyReused]:
    """Hold these keys; in their order, each is held, or was used for another request. Safe to repeat.

    One commit per server. Whoever comes at the same time with the same key waits for that commit.
    """
    found: dict[bytes, _Row] = {}
    for shard, of_shard in _at_home(shards, asked):
        found.update(await _hold_on(shard, sorted(of_shard.values())))
    results: list[KeyHeld | KeyReused] = []
    taken: set[bytes] = set()
    for each in asked:
        content, first_us, answer = found[each.key_sha256]
        shard = home_of(shards, each.key_sha256)
        if not shard.keyring.is_hash_of(content, each.content_sha256):
            results.append(KeyReused())
        else:
            is_repeat = first_us != each.now_us or each.key_sha256 in taken
            results.append(KeyHeld(each.key_sha256, first_us, is_repeat, answer))
        taken.add(each.key_sha256)
    return results


async def _hold_on(shard: Shard, asked: Sequence[KeyAsked]) -> dict[bytes, _Row]:
    """What is stored of each key, which is these requests' or that of others before them."""
    hashes = {each.key_sha256: shard.keyring.hash(each.content_sha256) for each in asked}

    async def work(connection: Connection) -> dict[bytes, _Row]:
        await connection.write(
            statements.take([(each.key_sha256, hashes[each.key_sha256], each.now_us) for each in asked])
        )
        held = await _rows(connection, shard.keyring, hashes)
        for each in asked:
            key = each.key_sha256
            if held[key].first_us < each.now_us - _KEPT_US:
                await connection.write(statements.renew(key, hashes[key], each.now_us), count=1)
                held[key] = _Row(hashes[key], each.now_us, None)
        return held

    return await transactions.run(shard.engine, work)


async def find_answer(shards: Shards, asked: KeyAsked) -> bytes | None:
    """What this very request was answered, packed, if it came before; without holding the key."""
    shard = home_of(shards, asked.key_sha256)

    async def work(connection: Connection) -> dict[bytes, _Row]:
        return await _rows(connection, shard.keyring, [asked.key_sha256])

    row = (await transactions.run(shard.engine, work)).get(asked.key_sha256)
    if row is None or row.first_us < asked.now_us - _KEPT_US:
        return None
    return row.answer if shard.keyring.is_hash_of(row.content_sha256, asked.content_sha256) else None


async def keep_answers(shards: Shards, given: Sequence[AnswerGiven]) -> list[bytes]:
    """Keep the answers of held keys; gives what each is to be answered, in order: the first that was kept.

    One commit per server. Safe to repeat.
    """
    kept: dict[bytes, bytes] = {}
    for shard, of_shard in _at_home(shards, given):
        kept.update(await _keep_on(shard, of_shard))
    return [kept[each.key_sha256] for each in given]


async def _keep_on(shard: Shard, given: dict[bytes, AnswerGiven]) -> dict[bytes, bytes]:
    keyring = shard.keyring
    answers = {key: each.packed for key, each in given.items()}
    statement = statements.keep([(key, _sealed(keyring, given[key])) for key in sorted(given)])

    async def work(connection: Connection) -> dict[bytes, bytes]:
        if await connection.write(statement) == len(answers):
            return answers
        # Others with the same key were faster, or this was committed before and is repeated.
        rows = await _rows(connection, keyring, answers)
        return answers | {key: row.answer for key, row in rows.items() if row.answer is not None}

    return await transactions.run(shard.engine, work)


async def _rows(connection: Connection, keyring: Keyring, keys: Iterable[bytes]) -> dict[bytes, _Row]:
    rows = await connection.rows(statements.holders(keys))
    return {
        bytes(key): _Row(bytes(content), int(first_us), _opened(keyring, bytes(key), int(first_us), answer))
        for key, content, first_us, answer in rows
    }


def _sealed(keyring: Keyring, given: AnswerGiven) -> bytes:
    """An answer as it is stored: the moment of its key, the id of the key that seals it, if one does, a zero byte,
    and the rest."""
    head = given.first_us.to_bytes(_MOMENT_BYTES, "big")
    if not keyring:
        return head + b"\0" + given.packed
    sealed = keyring.seal(_sealed_for(given.key_sha256), Content(None, None, given.packed))
    return b"".join([head, keyring.sealing_id.encode(), b"\0", sealed])


def _opened(keyring: Keyring, key: bytes, first_us: int, stored: bytes | None) -> bytes | None:
    """The packed answer; None when there is none, or none that can be read: then it is made again. Code of the
    version before gives a key to another request and leaves the answer: that is none."""
    if stored is None or int.from_bytes(stored[:_MOMENT_BYTES], "big") != first_us:
        return None
    key_id, _, value = bytes(stored[_MOMENT_BYTES:]).partition(b"\0")
    if not key_id:
        return value
    try:
        return keyring.open(_sealed_for(key), key_id.decode(), value).body
    except ContentUnreadable:
        return None


def _sealed_for(key: bytes) -> bytes:
    """What a sealed answer belongs to."""
    return key[:16]


def choose_ids(
    shards: Shards, held: KeyHeld, names: Sequence[tuple[str, str] | None], first: int = 0
) -> list[UUID]:
    """The ids of a request's timers, from its `first` on, each with its collection and name or None."""
    anywhere = home_of(shards, held.key_sha256).number
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


def is_as_asked(stored: Timer, asked: NewTimer) -> bool:
    """Whether a stored timer is what a request made of it: all but its id, its trace and when it was made. The due
    time tells requests apart, since a delay counts from the moment at which the key came first; what had ended
    before that was of another."""
    if stored.unreadable or (stored.ended_at_us is not None and stored.ended_at_us < asked.created_at_us):
        return False
    was, is_asked = row_of(stored), row_of(asked)
    return all(was[part] == is_asked[part] for part in _ASKED)


async def forget_keys(engine: AsyncEngine) -> bool:
    """Delete a page of keys that stand for nothing any more; gives whether it was a full one."""

    async def work(connection: Connection) -> bool:
        return await connection.write(statements.forget(_KEPT_US, LIST_MAX)) == LIST_MAX

    return await transactions.run(engine, work)


def _at_home(shards: Shards, items: Iterable[Keyed]) -> Iterator[tuple[Shard, dict[bytes, Keyed]]]:
    """Each server with what is about its keys, by key. Of several with one key, the first has it."""
    by_shard: defaultdict[int, dict[bytes, Keyed]] = defaultdict(dict)
    for each in items:
        by_shard[home_of(shards, each.key_sha256).number].setdefault(each.key_sha256, each)
    for shard in shards:
        if of_shard := by_shard.get(shard.number):
            yield shard, of_shard


def home_of(shards: Shards, key_sha256: bytes) -> Shard:
    """Where a key is, whoever asks, and with it the timers without a name."""
    return shards.for_name("", key_sha256.hex())

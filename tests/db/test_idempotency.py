"""Idempotency keys past the API: who holds one, which ids follow, and when it is forgotten."""

from __future__ import annotations

import asyncio
import hashlib

from tests.db.desk import NOON_US, Desk
from timer_db.domain.errors import KeyReused
from timer_db.domain.idempotency import KEPT_SECONDS, KeyAsked, KeyHeld
from timer_db.domain.ids import shard_of
from timer_db.encryption import Keyring, parse_keys
from timer_db.engine import open_shards
from timer_db.operations.idempotency import choose_ids, forget_keys, hold_keys
from timer_db.shards import Shards
from timer_db.statements.literals import LIST_MAX, NOW_US

CONTENT, OTHER = hashlib.sha256(b"one").digest(), hashlib.sha256(b"other").digest()


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


async def test_the_first_request_holds_it_and_others_are_told(desk: Desk) -> None:
    asked = KeyAsked(key(1), CONTENT, NOON_US)
    assert await hold_keys(desk.shards, [asked]) == [KeyHeld(key(1), NOON_US, is_repeat=False)]
    later = [KeyAsked(key(1), CONTENT, NOON_US + 5), KeyAsked(key(1), OTHER, NOON_US + 5)]
    same, other = await hold_keys(desk.shards, later)
    assert same == KeyHeld(key(1), NOON_US, is_repeat=True)
    assert isinstance(other, KeyReused)


async def test_of_several_in_one_commit_the_first_holds_it(desk: Desk) -> None:
    asked = [KeyAsked(key(2), CONTENT, NOON_US), KeyAsked(key(2), CONTENT, NOON_US + 1)]
    first, second, _ = await hold_keys(desk.shards, [*asked, KeyAsked(key(3), OTHER, NOON_US)])
    assert first == KeyHeld(key(2), NOON_US, is_repeat=False)
    assert second == KeyHeld(key(2), NOON_US, is_repeat=True)


async def test_many_that_want_the_same_at_once_agree(desk: Desk) -> None:
    """In whatever order each has them: nobody waits for one who waits for him."""
    asked = [[KeyAsked(key(n), CONTENT, NOON_US + who) for n in range(100)] for who in range(6)]
    for who in range(0, 6, 2):
        asked[who].reverse()
    held = await asyncio.gather(*(hold_keys(desk.shards, each) for each in asked))
    first = {each.key_sha256: each.first_us for each in held[0] if isinstance(each, KeyHeld)}
    assert len(first) == 100
    for some in held:
        assert {each.key_sha256: each.first_us for each in some if isinstance(each, KeyHeld)} == first


async def test_ids_follow_from_the_key_and_its_moment(two_shards: Shards) -> None:
    """Those without a name are where the key is; with a name, where the name is."""
    homes = set()
    for number in range(20):
        held = KeyHeld(key(number), NOON_US, is_repeat=False)
        ids = choose_ids(two_shards, held, [None] * 100)
        assert ids == choose_ids(two_shards, held._replace(is_repeat=True), [None] * 100)
        assert ids[60:] == choose_ids(two_shards, held, [None] * 40, first=60)
        assert len(set(ids)) == 100
        [home] = {shard_of(each) for each in ids}
        homes.add(home)
        [named] = choose_ids(two_shards, held, [("default", "a name")])
        assert shard_of(named) == two_shards.for_name("default", "a name").number
        assert not set(ids) & set(choose_ids(two_shards, held._replace(first_us=NOON_US + 1000), [None] * 100))
    assert homes == {0, 1}


async def test_what_was_asked_for_cannot_be_guessed_where_content_is_encrypted(database_url: str) -> None:
    keyring = Keyring(parse_keys("k1:" + "A" * 43 + "="))
    shards = open_shards([database_url], keyring=keyring)
    desk = Desk(shards)
    asked = KeyAsked(key(7000), CONTENT, NOON_US)
    [first] = await hold_keys(shards, [asked])
    [again] = await hold_keys(shards, [asked._replace(now_us=NOON_US + 1)])
    assert again == KeyHeld(key(7000), NOON_US, is_repeat=True)
    assert first != again
    [[stored]] = await desk.rows(
        f"SELECT content_sha256 FROM idempotency_keys WHERE key_sha256 = x'{key(7000).hex()}'"
    )
    assert bytes(stored) != CONTENT
    await shards.close()


async def test_keys_are_forgotten_page_by_page_after_a_day(desk: Desk) -> None:
    [[now_us]] = await desk.rows(f"SELECT {NOW_US}")
    old, young = now_us - KEPT_SECONDS * 1_000_000 - 1, now_us - KEPT_SECONDS * 1_000_000 + 60_000_000
    await desk.write("DELETE FROM idempotency_keys")
    await hold_keys(desk.shards, [KeyAsked(key(n), CONTENT, old) for n in range(LIST_MAX)])
    await hold_keys(desk.shards, [KeyAsked(key(-1), CONTENT, old), KeyAsked(key(-2), CONTENT, young)])
    assert await forget_keys(desk.engine)
    assert not await forget_keys(desk.engine)
    [[left]] = await desk.rows("SELECT key_sha256 FROM idempotency_keys")
    assert bytes(left) == key(-2)

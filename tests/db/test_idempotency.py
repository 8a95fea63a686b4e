"""Idempotency keys past the API: who holds one, which ids follow, and when it is forgotten."""

from __future__ import annotations

import asyncio
import hashlib

from tests.db.desk import NOON_US, Desk
from timer_db.domain.errors import KeyReused
from timer_db.domain.idempotency import KEPT_SECONDS, PACKED_BYTES_MAX, AnswerGiven, KeyAsked, KeyHeld
from timer_db.domain.ids import shard_of
from timer_db.encryption import Keyring, parse_keys
from timer_db.engine import open_shards
from timer_db.operations.idempotency import choose_ids, find_answer, forget_keys, hold_keys, keep_answers
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


async def test_the_first_answer_that_is_kept_stands(desk: Desk) -> None:
    [held] = await hold_keys(desk.shards, [KeyAsked(key(20), CONTENT, NOON_US)])
    assert isinstance(held, KeyHeld)
    assert held.answer is None
    assert await keep_answers(desk.shards, [AnswerGiven(key(20), NOON_US, b"first")]) == [b"first"]
    await hold_keys(desk.shards, [KeyAsked(key(21), CONTENT, NOON_US)])
    given = [
        AnswerGiven(key(21), NOON_US, b"other"),
        AnswerGiven(key(20), NOON_US, b"second"),
        AnswerGiven(key(21), NOON_US, b"third"),
    ]
    assert await keep_answers(desk.shards, given) == [b"other", b"first", b"other"]
    same = KeyAsked(key(20), CONTENT, NOON_US + 5)
    assert await hold_keys(desk.shards, [same]) == [KeyHeld(key(20), NOON_US, True, b"first")]
    assert await find_answer(desk.shards, same) == b"first"
    assert await find_answer(desk.shards, same._replace(content_sha256=OTHER)) is None
    assert await find_answer(desk.shards, same._replace(key_sha256=key(22))) is None


async def test_a_key_that_is_free_again_has_no_answer(desk: Desk) -> None:
    later_us = NOON_US + KEPT_SECONDS * 1_000_000 + 1
    await hold_keys(desk.shards, [KeyAsked(key(23), CONTENT, NOON_US)])
    await keep_answers(desk.shards, [AnswerGiven(key(23), NOON_US, b"of yesterday")])
    assert await find_answer(desk.shards, KeyAsked(key(23), CONTENT, later_us)) is None
    [held] = await hold_keys(desk.shards, [KeyAsked(key(23), OTHER, later_us)])
    assert held == KeyHeld(key(23), later_us, is_repeat=False)


async def test_code_of_before_that_gives_a_key_away_does_not_give_its_answer(desk: Desk) -> None:
    await hold_keys(desk.shards, [KeyAsked(key(25), CONTENT, NOON_US)])
    await keep_answers(desk.shards, [AnswerGiven(key(25), NOON_US, b"of yesterday")])
    await desk.write(
        f"UPDATE idempotency_keys SET content_sha256 = x'{OTHER.hex()}', created_at_us = {NOON_US + 1}"
        f" WHERE key_sha256 = x'{key(25).hex()}'"
    )
    assert await find_answer(desk.shards, KeyAsked(key(25), OTHER, NOON_US + 2)) is None


async def test_many_answers_at_once_and_the_same_ones_elsewhere_agree(desk: Desk) -> None:
    await hold_keys(desk.shards, [KeyAsked(key(n), CONTENT, NOON_US) for n in range(30, 130)])
    given = [[AnswerGiven(key(n), NOON_US, b"%d" % who) for n in range(30, 130)] for who in range(6)]
    for who in range(0, 6, 2):
        given[who].reverse()
    kept = await asyncio.gather(*(keep_answers(desk.shards, each) for each in given))
    of_key = [
        {one.key_sha256: answer for one, answer in zip(each, answers, strict=True)}
        for each, answers in zip(given, kept, strict=True)
    ]
    assert len(of_key[0]) == 100
    assert all(each == of_key[0] for each in of_key)


async def test_an_answer_survives_what_the_database_allows(desk: Desk) -> None:
    """As large as one may be, in hexadecimal."""
    await hold_keys(desk.shards, [KeyAsked(key(24), CONTENT, NOON_US)])
    packed = bytes(range(256)) * (PACKED_BYTES_MAX // 256)
    await keep_answers(desk.shards, [AnswerGiven(key(24), NOON_US, packed)])
    assert await find_answer(desk.shards, KeyAsked(key(24), CONTENT, NOON_US)) == packed


async def test_an_answer_whose_encryption_key_is_gone_is_of_no_use(database_url: str) -> None:
    asked = KeyAsked(key(7001), CONTENT, NOON_US)
    sealing = open_shards([database_url], keyring=Keyring(parse_keys("k1:" + "A" * 43 + "=")))
    await hold_keys(sealing, [asked])
    await keep_answers(sealing, [AnswerGiven(asked.key_sha256, NOON_US, b"secret")])
    assert await find_answer(sealing, asked) == b"secret"
    other = open_shards([database_url], keyring=Keyring(parse_keys("k2:" + "B" * 42 + "A=")))
    [held] = await hold_keys(other, [asked._replace(now_us=NOON_US + 1)])
    assert isinstance(held, KeyReused), "a hash by a key that is unknown proves nothing"
    for shards in (sealing, other):
        await shards.close()


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

"""What is sealed for one timer can be opened for that timer, with that key, and in no other way."""

from __future__ import annotations

import base64
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.makers import DUE_US, in_hand, make_claim, make_timer
from timer_controller.calls import call_of
from timer_db.domain.errors import ContentUnreadable
from timer_db.encryption import KEYS_MAX, NO_KEYS, Content, Keyring, parse_keys
from timer_db.operations.rows import content_sha256, row_of, sealed

ID, OTHER_ID = UUID(int=1).bytes, UUID(int=2).bytes
K1, K2 = bytes(32), bytes(range(32))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def written(**keys: bytes) -> str:
    return ",".join(f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in keys.items())


@given(st.builds(Content, st.none() | TEXT, st.none() | TEXT, st.none() | st.binary()))
def test_what_is_sealed_comes_back(content: Content) -> None:
    keyring = Keyring({"k1": K1})
    assert keyring.open(ID, "k1", keyring.seal(ID, content)) == content


def test_the_first_key_seals_and_all_open() -> None:
    content = Content('{"a":"b"}', "17", b"body")
    before, after = Keyring({"k1": K1}), Keyring({"k2": K2, "k1": K1})
    assert after.open(ID, "k1", before.seal(ID, content)) == content
    assert (before.sealing_id, after.sealing_id) == ("k1", "k2")
    assert Keyring({"k2": K2}).open(ID, "k2", after.seal(ID, content)) == content


def test_the_same_content_looks_different_each_time() -> None:
    keyring = Keyring({"k1": K1})
    assert len({keyring.seal(ID, Content(None, None, b"same")) for _ in range(100)}) == 100


def flipped(position: int) -> Callable[[bytes], bytes]:
    def change(value: bytes) -> bytes:
        changed = bytearray(value)
        changed[position] ^= 1
        return bytes(changed)

    return change


@pytest.mark.parametrize(
    "change",
    [
        flipped(0),
        flipped(1),
        flipped(13),
        flipped(-1),
        lambda value: value[:20],
        lambda _: b"",
        lambda v: v + b"x",
    ],
)
def test_what_was_changed_is_not_opened(change: Callable[[bytes], bytes]) -> None:
    keyring = Keyring({"k1": K1})
    value = change(keyring.seal(ID, Content(None, None, b"body")))
    with pytest.raises(ContentUnreadable, match=r"was changed, or is not what the key 'k1' sealed"):
        keyring.open(ID, "k1", value)


def test_what_belongs_to_another_timer_or_key_is_not_opened() -> None:
    keyring = Keyring({"k1": K1, "k2": K2})
    value = keyring.seal(ID, Content(None, None, b"body"))
    with pytest.raises(ContentUnreadable):
        keyring.open(OTHER_ID, "k1", value)
    with pytest.raises(ContentUnreadable):
        keyring.open(ID, "k2", value)
    with pytest.raises(ContentUnreadable, match="the key 'k1', which is not in TIMER_ENCRYPTION_KEYS"):
        NO_KEYS.open(ID, "k1", value)


def test_a_sealed_row_shows_nothing_of_its_content() -> None:
    timer = make_timer(headers={"Authorization": "Bearer hush"}, body=b"hush", meta="hush", labels={"a": "b"})
    row = row_of(timer)
    value = sealed(row, Keyring({"k1": K1}))
    assert "hush" not in repr(value)
    assert (value[9], value[12], value[13], value[17]) == (None, None, row[13], "k1")
    assert len(value) == len(row)


def test_a_timer_without_content_is_not_sealed() -> None:
    row = row_of(make_timer(labels={"a": "b"}))
    assert sealed(row, Keyring({"k1": K1})) is row


@pytest.mark.parametrize(
    "fields",
    [{"body": b"hush"}, {"body": b""}, {"meta": {"a": 1}}, {"headers": {"A": "b"}, "body": b"x", "meta": 1}],
)
def test_a_sealed_timer_makes_the_call_that_the_plain_one_makes(fields: dict[str, object]) -> None:
    keyring = Keyring({"k1": K1})
    claim = make_claim(**fields)
    plain = call_of(claim, DUE_US)
    timer = make_timer(id=claim.timer.id, **fields)
    claim.timer = in_hand(timer)
    claim.timer.headers_json = claim.timer.meta_json = ""
    claim.timer.body, claim.timer.sealed_with = sealed(row_of(timer), keyring)[10], "k1"
    call = call_of(claim, DUE_US, None, keyring)
    assert (call.method, call.url, call.headers, call.body, call.lines) == (
        plain.method, plain.url, plain.headers, plain.body, plain.lines,
    )  # fmt: skip


def test_a_hash_tells_nothing_without_the_key_and_survives_a_rotation() -> None:
    digest = content_sha256(make_timer(body=b"guess me"))
    assert NO_KEYS.hash(digest) == digest
    before, after = Keyring({"k1": K1}), Keyring({"k2": K2, "k1": K1})
    stored = before.hash(digest)
    assert stored not in (digest, after.hash(digest))
    assert after.is_hash_of(stored, digest)
    # Taken before there were keys.
    assert after.is_hash_of(digest, digest)
    assert not Keyring({"k2": K2}).is_hash_of(stored, digest)
    assert not after.is_hash_of(stored, content_sha256(make_timer(body=b"another")))


def test_the_hash_of_content_stays_what_it_was() -> None:
    """Names of timers that were made by an earlier version are compared by it."""
    timer = make_timer(id=UUID(int=3), due_as_given="delay=90", headers={"A": "b"}, meta=1, body=b"x")
    assert content_sha256(timer).hex() == "19600ae733ef81d6c3a2455e63ed04ff67642901dec720e861e556d317e5a177"


def test_keys_are_read_in_their_order() -> None:
    assert list(parse_keys(f" {written(new=K2)} , {written(old=K1)} ").items()) == [("new", K2), ("old", K1)]
    assert parse_keys("") == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("aHVzaA==", "key 1 must read id:base64"),
        ("a b:hush", "key 1 must read id:base64"),
        (f"{written(k1=K1)},k2:hush-hush", "key 2 must be base64"),
        (written(k1=b"hush"), "key 1 has 4 bytes; it must have 32"),
        (f"{written(k1=K1)},{written(k1=K2)}", "key 2 has the id or the bytes of one before it"),
        (written(k1=K1, k2=K1), "key 2 has the id or the bytes of one before it"),
        (written(**{f"k{n}": bytes([n]) * 32 for n in range(KEYS_MAX + 1)}), "there are 17 keys"),
    ],
)
def test_a_wrong_key_is_named_and_not_shown(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as error:
        parse_keys(text)
    assert "hush" not in str(error.value)
    assert not any(word in str(error.value) for word in text.split(","))

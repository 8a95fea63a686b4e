"""Sessions of the console: what opens, and what does not."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from timer_api.api_keys.gate import Gate
from timer_api.console import session
from timer_api.console.session import SESSION_SECONDS, came_from_here, opened, sealed
from timer_db.domain.api_key import sha256_of
from timer_db.engine import open_shards

KEY, OTHER = "k" * 40, "o" * 40
NOW = 1_800_000_000.0


def _gate(*keys: str) -> Gate:
    return Gate(open_shards(["mysql://nobody:x@127.0.0.1:1/none"]), keys)


def test_a_session_opens_wherever_its_key_is_known() -> None:
    value = sealed(KEY, NOW)
    for gate in (_gate(KEY), _gate(OTHER, KEY)):
        found = opened(value, gate, NOW + 1)
        assert found is not None
        assert found.key == KEY


def test_it_ends_with_its_key() -> None:
    assert opened(sealed(KEY, NOW), _gate(OTHER), NOW) is None
    assert opened(sealed(KEY, NOW), _gate(), NOW) is None


@pytest.mark.parametrize("later", [SESSION_SECONDS, SESSION_SECONDS * 9, -1])
def test_it_ends_after_its_time_and_does_not_begin_before(later: int) -> None:
    assert opened(sealed(KEY, NOW), _gate(KEY), NOW + SESSION_SECONDS - 1) is not None
    assert opened(sealed(KEY, NOW), _gate(KEY), NOW + later) is None


def test_no_changed_byte_passes() -> None:
    raw = base64.urlsafe_b64decode(sealed(KEY, NOW))
    gate = _gate(KEY)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert opened(base64.urlsafe_b64encode(changed).decode(), gate, NOW) is None
    for length in range(0, len(raw), 7):
        assert opened(base64.urlsafe_b64encode(raw[:length]).decode(), gate, NOW) is None


@pytest.mark.parametrize("value", ["", "x", "é", "====", "a" * 5000, KEY])
def test_what_is_no_session(value: str) -> None:
    assert opened(value, _gate(KEY), NOW) is None


def test_the_hash_of_a_key_is_not_enough_to_forge_one() -> None:
    """As whoever reads the database would try."""
    key_sha256 = sha256_of(KEY.encode())
    cipher = AESGCM(session._derived(key_sha256, session._ABOUT))
    for claimed in (key_sha256.hex().encode(), OTHER.encode(), b""):
        secret = cipher.encrypt(b"n" * 12, session._SINCE.pack(int(NOW)) + claimed, session._ABOUT)
        forged = base64.urlsafe_b64encode(key_sha256[:8] + b"n" * 12 + secret).decode()
        assert opened(forged, _gate(KEY), NOW) is None


def test_the_key_cannot_be_read_from_the_cookie() -> None:
    assert KEY.encode() not in base64.urlsafe_b64decode(sealed(KEY, NOW))
    assert KEY not in repr(opened(sealed(KEY, NOW), _gate(KEY), NOW))


def test_each_session_has_a_token_of_its_own() -> None:
    gate = _gate(KEY)
    found = [opened(sealed(KEY, NOW), gate, NOW) for _ in range(2)]
    assert len({each.form_token for each in found if each}) == 2


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({b"sec-fetch-site": b"same-origin"}, True),
        ({b"sec-fetch-site": b"same-site", b"origin": b"http://a:8000", b"host": b"a:8000"}, False),
        ({b"sec-fetch-site": b"cross-site"}, False),
        ({b"sec-fetch-site": b"none"}, False),
        ({b"origin": b"http://a:8000", b"host": b"a:8000"}, True),
        ({b"origin": b"https://a", b"host": b"a"}, True),
        ({b"origin": b"http://a:8001", b"host": b"a:8000"}, False),
        ({b"origin": b"null", b"host": b"a"}, False),
        ({b"host": b"a"}, False),
        ({b"origin": b"http://", b"host": b""}, False),
        ({}, False),
    ],
)
def test_where_a_form_comes_from(headers: dict[bytes, bytes], is_ours: bool) -> None:
    assert came_from_here(list(headers.items())) is is_ours

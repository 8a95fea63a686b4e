"""Who is logged in: a cookie that holds the API key, sealed, and nothing that any process would have to remember.

It is sealed with a key derived from the API key's hash, which every copy of the API knows as long as the key is
valid. So any copy can open it, and none can once the key is revoked. To forge one takes the API key itself:
whoever reads the hashes in the database cannot log in with them.
"""

from __future__ import annotations

import hmac
import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from timer_api.api_keys.gate import Gate
from timer_db.domain.api_key import sha256_of

COOKIE = "timer_console"
SESSION_SECONDS = 12 * 3600
KEY_MAX = 2048
"""Of longer keys no browser would keep the cookie."""

_BEGINNING_BYTES = 8
_NONCE_BYTES = 12
_SINCE = struct.Struct(">Q")
_ABOUT = b"timer-system console session"


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in. Forms carry `form_token`, which no other site can know."""

    key: str = field(repr=False)
    form_token: str = field(repr=False)


def sealed(key: str, now: float) -> str:
    """The cookie's value for somebody who has shown this key at `now` (Unix time)."""
    key_sha256 = sha256_of(key.encode())
    nonce = os.urandom(_NONCE_BYTES)
    secret = AESGCM(_derived(key_sha256, _ABOUT)).encrypt(nonce, _SINCE.pack(int(now)) + key.encode(), _ABOUT)
    return urlsafe_b64encode(key_sha256[:_BEGINNING_BYTES] + nonce + secret).decode()


def opened(value: str, gate: Gate, now: float) -> Session | None:
    """The session of a cookie; None for one that is forged or over, or whose key is valid no more."""
    try:
        raw = urlsafe_b64decode(value)
    except ValueError:
        return None
    beginning, nonce = raw[:_BEGINNING_BYTES], raw[_BEGINNING_BYTES:][:_NONCE_BYTES]
    secret = raw[_BEGINNING_BYTES + _NONCE_BYTES :]
    if len(beginning) < _BEGINNING_BYTES:
        return None
    for key_sha256 in gate.hashes_from(beginning):
        try:
            plain = AESGCM(_derived(key_sha256, _ABOUT)).decrypt(nonce, secret, _ABOUT)
        except (InvalidTag, ValueError):
            continue
        (since,) = _SINCE.unpack_from(plain)
        key = plain[_SINCE.size :]
        if not 0 <= now - since < SESSION_SECONDS or not hmac.compare_digest(sha256_of(key), key_sha256):
            return None
        token = _derived(key_sha256, b"timer-system console form" + raw)
        return Session(key.decode(), urlsafe_b64encode(token).decode())
    return None


def came_from_here(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a form was sent by a page of ours, as the browser tells. This also guards the log-in, and a console
    that is open to all, where there is no session that a token could belong to."""
    found = dict(headers)
    site = found.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    # Browsers send that one to https and to this machine only, and this one with every form.
    return found.get(b"origin", b"").partition(b"://")[2] == found.get(b"host") != b""


def _derived(key_sha256: bytes, about: bytes) -> bytes:
    return hmac.digest(key_sha256, about, "sha256")

"""Content of timers as it is stored with `TIMER_ENCRYPTION_KEYS`: body, headers and meta as one sealed value.

AES-256-GCM with 96 random bits of nonce (NIST SP 800-38D, 8.2.2). The timer's id is authenticated with it, so a
value that was moved to another timer cannot be opened.
"""

from __future__ import annotations

import binascii
import hmac
import os
import re
import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from timer_db.domain.errors import ContentUnreadable

KEY_BYTES = 32
KEYS_MAX = 16
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_NONCE_BYTES = 12
_FORMAT = b"\x01"
"""The first byte of a sealed value: nonce, then what AES-GCM gives, stand behind it."""
_HEAD = struct.Struct(">?II")
"""Whether there is a body, and how long headers and meta are, which come before it."""


class Content(NamedTuple):
    """What of a timer is sealed; headers and meta as JSON, None where there are none."""

    headers: str | None
    meta: str | None
    body: bytes | None


def parse_keys(text: str) -> dict[str, bytes]:
    """The keys of `id:base64,id2:base64`, in their order. ValueError says which is wrong, never what it holds."""
    found: dict[str, bytes] = {}
    for number, part in enumerate([part.strip() for part in text.split(",") if part.strip()], 1):
        key_id, colon, encoded = part.partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise ValueError(
                f"key {number} must read id:base64; an id has up to 32 letters, digits, '-', '_' and '.'"
            )
        try:
            key = b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {number} must be base64 behind its id") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {number} has {len(key)} bytes; it must have {KEY_BYTES}")
        if key_id in found or key in found.values():
            raise ValueError(f"key {number} has the id or the bytes of one before it")
        found[key_id] = key
    if len(found) > KEYS_MAX:
        raise ValueError(f"there are {len(found)} keys; {KEYS_MAX} are possible")
    return found


class Keyring:
    """Keys by id: the first one seals, all of them open. Without any it is false, and nothing is sealed."""

    def __init__(self, keys: Mapping[str, bytes] | None = None) -> None:
        keys = keys or {}
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        # Derived, so that no key serves two ends.
        self._hash_keys = [hmac.digest(key, b"timer-system content hash", "sha256") for key in keys.values()]
        self.sealing_id = next(iter(keys), "")
        """The id of the key that seals."""

    def __bool__(self) -> bool:
        return bool(self._ciphers)

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._ciphers

    def seal(self, timer_id: bytes, content: Content) -> bytes:
        """The content of this timer, sealed with the first key."""
        headers, meta = (content.headers or "").encode(), (content.meta or "").encode()
        head = _HEAD.pack(content.body is not None, len(headers), len(meta))
        plain = b"".join([head, headers, meta, content.body or b""])
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._ciphers[self.sealing_id].encrypt(nonce, plain, timer_id)

    def open(self, timer_id: bytes, key_id: str, sealed: bytes) -> Content:
        """What `seal` sealed for this timer. Raises ContentUnreadable."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            missing = f"its content is encrypted with the key {key_id!r}, which is not in TIMER_ENCRYPTION_KEYS"
            raise ContentUnreadable(UUID(bytes=timer_id), missing)
        begin = len(_FORMAT) + _NONCE_BYTES
        try:
            if not sealed.startswith(_FORMAT):
                raise InvalidTag
            plain = cipher.decrypt(sealed[len(_FORMAT) : begin], sealed[begin:], timer_id)
        except (InvalidTag, ValueError):
            broken = f"its encrypted content was changed, or is not what the key {key_id!r} sealed for this timer"
            raise ContentUnreadable(UUID(bytes=timer_id), broken) from None
        has_body, headers_bytes, meta_bytes = _HEAD.unpack_from(plain)
        meta_at = _HEAD.size + headers_bytes
        body_at = meta_at + meta_bytes
        return Content(
            plain[_HEAD.size : meta_at].decode() or None,
            plain[meta_at:body_at].decode() or None,
            plain[body_at:] if has_body else None,
        )

    def hash(self, digest: bytes) -> bytes:
        """A digest of content in a form that nobody without the first key can guess content by; the digest itself
        without keys."""
        return hmac.digest(self._hash_keys[0], digest, "sha256") if self._hash_keys else digest

    def is_hash_of(self, stored: bytes, digest: bytes) -> bool:
        """Whether `hash` gave this, with any of the keys, or before there were any."""
        hashes = [hmac.digest(key, digest, "sha256") for key in self._hash_keys]
        return any(hmac.compare_digest(stored, known) for known in (digest, *hashes))


NO_KEYS = Keyring()

"""Idempotency keys: the same request with the same key makes the same timers, however often it comes.

Who comes first with a key writes down when that was. The ids of its timers follow from the key and that moment, so
a repeat makes timers with the same ids, and finds those that are stored already. Nothing of the answers is kept.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

KEPT_SECONDS = 86_400
"""So long a key stands for its first request; later it may be used for another."""
KEY_CHARACTERS_MAX = 255


class KeyAsked(NamedTuple):
    """A key as a request brings it, at a moment of the database's clock."""

    key_sha256: bytes
    content_sha256: bytes
    """Of what the request asks for."""
    now_us: int


class KeyHeld(NamedTuple):
    """The key is this request's."""

    key_sha256: bytes
    first_us: int
    """When it came first: the moment from which its delays count."""
    is_repeat: bool
    """Whether it had come before. Then its timers may be stored."""


def key_sha256(caller: bytes, key: bytes) -> bytes:
    """What is kept of a key. Two callers may choose the same one."""
    return hashlib.sha256(hashlib.sha256(caller).digest() + key).digest()

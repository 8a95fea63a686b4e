"""Which receiver a call goes to."""

from __future__ import annotations

import hashlib

KEY_BYTES = 16


def key_of(name: str) -> bytes:
    """The key in `deferred_queue` of a receiver; `name` is its normalized `scheme://host:port`."""
    return hashlib.sha256(name.encode()).digest()[:KEY_BYTES]

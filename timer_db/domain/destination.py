"""What deferred timers wait for: a receiver, a route or a collection, each by its key in `deferred_queue`."""

from __future__ import annotations

import hashlib
import struct
from enum import Enum

KEY_BYTES = 16
_OF_GROUP = struct.Struct(">12sI")


class Grouped(Enum):
    """What has timers of many receivers, or of one that changes. The value begins its keys."""

    collection = b"/collection/"
    route = b"/route/"


_BY_PREFIX = {kind.value.ljust(12, b"\0"): kind for kind in Grouped}


def key_of(name: str) -> bytes:
    """The key of a receiver; `name` is its normalized `scheme://host:port`."""
    return hashlib.sha256(name.encode()).digest()[:KEY_BYTES]


def key_of_group(kind: Grouped, number: int) -> bytes:
    """The key of a collection or a route."""
    return _OF_GROUP.pack(kind.value, number)


def group_of(key: bytes) -> tuple[Grouped, int] | None:
    """The collection or route with this key; None when it is that of a receiver."""
    prefix, number = _OF_GROUP.unpack(key)
    kind = _BY_PREFIX.get(prefix)
    return None if kind is None else (kind, number)

"""Idempotency keys: the same request with the same key makes the same timers, and has the same answer.

Who comes first with a key writes down when that was. The ids of its timers follow from the key and that moment, so
a repeat makes timers with the same ids, and finds those that are stored already. Before an answer is given, it is
kept beside its key: whoever has seen one gets no other.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import NamedTuple

KEPT_SECONDS = 86_400
"""So long a key stands for its first request; later it may be used for another."""
KEY_CHARACTERS_MAX = 255
PACKED_BYTES_MAX = 4 * 1024 * 1024
"""A packed answer that is larger is not kept. In hexadecimal it fits MariaDB's max_allowed_packet of 16 MiB."""


class KeyAsked(NamedTuple):
    """A key as a request brings it, at a moment of the database's clock."""

    key_sha256: bytes
    content_sha256: bytes
    """Of what the request asks for."""
    now_us: int


class KeptAnswer(NamedTuple):
    """What a request was answered."""

    status: int
    location: str
    """The header; empty where there is none."""
    body: bytes

    def packed(self) -> bytes:
        """As it is kept."""
        packer = zlib.compressobj(1)
        head = packer.compress(b"%d %s\n" % (self.status, self.location.encode()))
        return b"".join([head, packer.compress(self.body), packer.flush()])

    @classmethod
    def unpacked(cls, packed: bytes) -> KeptAnswer:
        """What `packed` made."""
        head, _, body = zlib.decompress(packed).partition(b"\n")
        status, _, location = head.decode().partition(" ")
        return cls(int(status), location, body)


class KeyHeld(NamedTuple):
    """The key is this request's."""

    key_sha256: bytes
    first_us: int
    """When it came first: the moment from which its delays count."""
    is_repeat: bool
    """Whether it had come before. Then its timers may be stored."""
    answer: bytes | None = None
    """What it was answered, packed; None when it may not have been answered."""


class AnswerGiven(NamedTuple):
    """What a request is to be answered, unless it was answered before."""

    key_sha256: bytes
    first_us: int
    """When the key came first: it may stand for another request by now."""
    packed: bytes


def key_sha256(caller: bytes, key: bytes) -> bytes:
    """What is kept of a key. Two callers may choose the same one."""
    return hashlib.sha256(hashlib.sha256(caller).digest() + key).digest()

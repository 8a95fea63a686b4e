"""Timer ids: UUIDv7 (RFC 9562) whose 12 bits `rand_a` are the number of the shard that holds the timer."""

from __future__ import annotations

import os
import struct
from uuid import UUID, SafeUUID

SHARDS_MAX = 4096
_RAND_B_MASK = (1 << 62) - 1
_VERSION_AND_VARIANT = 7 << 76 | 0b10 << 62
_UNKNOWN = SafeUUID.unknown


def new_id(now_us: int, shard: int = 0, *, random: bytes | None = None) -> UUID:
    """A new id for a timer made at `now_us` (microseconds since the epoch) on `shard` (0 to 4,095).

    `random` gives the eight random bytes, for tests.
    """
    noise = int.from_bytes(os.urandom(8) if random is None else random, "big") & _RAND_B_MASK
    return _uuid(_prefix(now_us, shard) | noise)


def new_ids(now_us: int, shard: int, count: int) -> list[UUID]:
    """So many new ids, ascending: rows with random ids of one millisecond would be inserted all over its pages."""
    prefix = _prefix(now_us, shard)
    noise = struct.unpack(f">{count}Q", os.urandom(8 * count))
    return [_uuid(prefix | number) for number in sorted([number & _RAND_B_MASK for number in noise])]


def derived_id(now_us: int, shard: int, seed: bytes, index: int) -> UUID:
    """The id of one of the timers that follow from `seed`, at least eight random bytes. By `index` they ascend,
    but for one turn over in 2^62."""
    noise = int.from_bytes(seed[:8], "big") + index & _RAND_B_MASK
    return _uuid(_prefix(now_us, shard) | noise)


def _prefix(now_us: int, shard: int) -> int:
    if not 0 <= shard < SHARDS_MAX:
        raise ValueError(f"shard {shard} is not within 0..{SHARDS_MAX - 1}")
    return (now_us // 1000) << 80 | shard << 64 | _VERSION_AND_VARIANT


_new, _set = object.__new__, object.__setattr__


def _uuid(number: int) -> UUID:
    # What `UUID(int=number)` does, without a look at the five forms that it could have been given instead.
    made = _new(UUID)
    _set(made, "int", number)
    _set(made, "is_safe", _UNKNOWN)
    return made


def shard_of(timer_id: UUID) -> int:
    """The shard number that the id carries."""
    return (timer_id.int >> 64) & 0xFFF


def created_at_ms(timer_id: UUID) -> int:
    """The id's own time, in milliseconds since the epoch."""
    return timer_id.int >> 80


def is_timer_id(value: UUID) -> bool:
    """Whether this is a UUIDv7; other UUIDs are never ids of timers."""
    return (value.int >> 76) & 0xF == 7 and (value.int >> 62) & 0b11 == 0b10


def bytes_to_text(raw: bytes) -> str:
    """The 16 bytes of an id as its text form; several times cheaper than by way of `UUID`."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

"""A timer's place in the queue, and how a batch of places is packed into one value."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

PRIORITY_MAX = 32_767
HEAD_KEY = bytes(24)
"""The due key of a priority's head (see `statements.queue`): it sorts before that of every timer."""
_ENTRY = struct.Struct(">H24s")
ENTRY_BYTES = _ENTRY.size
"""Of one entry that is packed."""
_TIME = struct.Struct(">Q")


class QueueEntry(NamedTuple):
    """`rank` sorts higher priorities first; `due_key` is the time in 8 bytes, big-endian, and the id in 16."""

    rank: int
    due_key: bytes

    @property
    def timer_id(self) -> bytes:
        """The 16 bytes of the timer's id."""
        return self.due_key[8:]

    @property
    def at_us(self) -> int:
        """When the timer may be called."""
        return int(_TIME.unpack_from(self.due_key)[0])

    def moved_to(self, at_us: int) -> QueueEntry:
        """The same timer at another time."""
        return QueueEntry(self.rank, _TIME.pack(at_us) + self.timer_id)


def entry_of(timer_id: UUID, priority: int, at_us: int) -> QueueEntry:
    """The place of a timer with this priority (0 to 32,767) that may be called at `at_us`."""
    return QueueEntry(PRIORITY_MAX - priority, _TIME.pack(at_us) + timer_id.bytes)


def time_bound(at_us: int) -> bytes:
    """A due key that sorts before every timer at `at_us`, and after every earlier one."""
    return _TIME.pack(at_us)


def pack(entries: Iterable[QueueEntry]) -> bytes:
    """Entries as one value, 26 bytes each."""
    return b"".join([_ENTRY.pack(rank, due_key) for rank, due_key in entries])


def unpack(packed: bytes) -> list[QueueEntry]:
    """What `pack` packed."""
    return [QueueEntry(rank, due_key) for rank, due_key in _ENTRY.iter_unpack(packed)]

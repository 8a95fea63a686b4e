"""How much of what is large may be in memory at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from timer_api.errors import Kind, Problem

# What is small costs memory too.
_LEAST_BYTES = 65_536
_AT_WORK_MAX = 4


class Admission:
    """Lets calls with large bodies in: so many bytes in all, and few of them at work at the same time."""

    def __init__(self, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self.taken_bytes = 0
        self.work = asyncio.Semaphore(_AT_WORK_MAX)
        """To be held by who has made Python objects of a body: these are several times as large."""

    @contextmanager
    def enter(self, size_bytes: int) -> Iterator[None]:
        """Room for a body of this size, until the answer is sent. 503 when there is none."""
        size_bytes = max(size_bytes, _LEAST_BYTES)
        # The first is let in, however large.
        if self.taken_bytes and self.taken_bytes + size_bytes > self._room_bytes:
            raise Problem(Kind.busy, "too many creates are waiting; try again soon")
        self.taken_bytes += size_bytes
        try:
            yield
        finally:
            self.taken_bytes -= size_bytes

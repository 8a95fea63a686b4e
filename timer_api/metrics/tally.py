"""What the API counts while it works."""

from __future__ import annotations

from collections import Counter, defaultdict
from time import perf_counter

from starlette.types import Message, Send

from timer_db.metrics import LATENCIES, SIZES, Buckets

NOWHERE = "(none)"
"""In the place of a path at which there is nothing."""
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Tally:
    """Of one process, since it began."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By method, path with names in braces, and status."""
        self.seconds: defaultdict[tuple[str, str], Buckets] = defaultdict(lambda: Buckets(LATENCIES))
        self.committed = Buckets(SIZES)
        """Creates that shared a transaction."""

    def note(self, method: str, template: str | None, status: int, began_at: float) -> None:
        """An answer; `began_at` by `perf_counter`."""
        known = method if method in _METHODS else "(other)"
        where = template or NOWHERE
        self.requests[known, where, status] += 1
        self.seconds[known, where].add(perf_counter() - began_at)


class Noted:
    """Passes an answer on, and knows its status."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

"""Repeats are dropped by the timer's id. What was seen counts only when the work that belongs to it is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from timer_client.errors import UnderWay


class Seen(Protocol):
    """The ids of calls, as one transaction sees them."""

    def add(self, webhook_id: str) -> bool:
        """Note it: True for a new one, False for a repeat of one whose work is done.

        What becomes of the transaction becomes of the note: when it fails, the next repeat is new again.
        """


class MemorySeen:
    """In the memory of one process, lost when it ends; it keeps the latest ids. Threads may share it.

    with memory.begin() as seen:
        if seen.add(call.id):
            ...
    """

    def __init__(self, kept_max: int = 100_000) -> None:
        self._kept_max = kept_max
        # A dictionary for its order.
        self._done: dict[str, None] = {}
        self._at_work: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def begin(self) -> Iterator[Seen]:
        """What is added stays when the block ends, unless it ends by an error."""
        transaction = _Transaction(self)
        try:
            yield transaction
        except BaseException:
            self._end(transaction.ids, done=False)
            raise
        self._end(transaction.ids, done=True)

    def _add(self, webhook_id: str) -> bool:
        with self._lock:
            if webhook_id in self._done:
                return False
            if webhook_id in self._at_work:
                raise UnderWay(f"the first call of {webhook_id} is still at work")
            self._at_work.add(webhook_id)
            return True

    def _end(self, ids: list[str], *, done: bool) -> None:
        with self._lock:
            self._at_work.difference_update(ids)
            if done:
                self._done.update(dict.fromkeys(ids))
                while len(self._done) > self._kept_max:
                    del self._done[next(iter(self._done))]


class _Transaction:
    def __init__(self, memory: MemorySeen) -> None:
        self._memory = memory
        self.ids: list[str] = []

    def add(self, webhook_id: str) -> bool:
        is_new = webhook_id not in self.ids and self._memory._add(webhook_id)
        if is_new:
            self.ids.append(webhook_id)
        return is_new

"""An event loop whose time is a number: it jumps to the next timer when there is nothing else to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from heapq import heappop
from typing import Any


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` starts at 1,000 seconds. There is nothing outside: no sockets, no threads, no signals."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready
        if not ready:
            assert scheduled, "nothing is left that could happen"
            self.now = max(self.now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self.now:
            ready.append(heappop(scheduled))
        # As the real loop does: what becomes ready meanwhile has its turn in the next round.
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it in virtual time, which costs none."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """For a test that is a coroutine."""

    @wraps(test)
    def synchronous() -> None:
        run(test())

    return synchronous

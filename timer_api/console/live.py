"""Pages that change while they are looked at: server-sent events, each the page's main part as it is now."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

STREAMS_MAX = 64
"""Of one process. Browsers that get none ask for the page again and again, less often."""
STREAM_SECONDS = 600.0
"""Then the browser comes again, and the balancer may send it elsewhere."""
_LATE_SECONDS = 3.0
"""A page that takes longer is said to be late: else an old one would look as if it were new."""
_ALIVE_SECONDS = 10.0
_HEAD = b"retry: 2000\n\n"
_ALIVE = b": alive\n\n"
_LATE = b"event: late\ndata: late\n\n"
_LINE_END = re.compile(r"\r\n|\r|\n")


class Streams:
    """The streams of one process. `end` ends them, so that nobody waits for them when it stops."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()
        self.open = 0

    @property
    def are_full(self) -> bool:
        """Whether there are as many as there may be."""
        return self.open >= STREAMS_MAX

    def end(self) -> None:
        """End all of them, now and later."""
        self._ending.set()

    async def stream(self, render: Callable[[], Awaitable[str]], every_seconds: float) -> AsyncIterator[bytes]:
        """What `render` gives whenever it has changed, as events; what it raises ends the stream."""
        self.open += 1
        try:
            yield _HEAD
            loop = asyncio.get_running_loop()
            over_at = loop.time() + STREAM_SECONDS
            shown, told_at = "", loop.time()
            while loop.time() < over_at and not self._ending.is_set():
                making = asyncio.ensure_future(render())
                try:
                    if not (await asyncio.wait([making], timeout=_LATE_SECONDS))[0]:
                        shown = ""
                        yield _LATE
                    now = await making
                finally:
                    making.cancel()
                if now != shown:
                    shown, told_at = now, loop.time()
                    yield _event(now)
                elif loop.time() - told_at > _ALIVE_SECONDS:
                    told_at = loop.time()
                    yield _ALIVE
                await self._pause(every_seconds)
        finally:
            self.open -= 1

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return


def _event(html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(html))
    return f"event: main\n{lines}\n".encode()

"""A receiver that takes its time: answers each request after a while, or never.

    python -m benchmarks.late_receiver PORT SECONDS

On SIGTERM it prints how many calls it held at once, at most.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Held:
    now = 0
    most = 0


class _Receiver(asyncio.Protocol):
    """Every read is taken for a whole request: the calls of the benchmark fit into one segment."""

    def __init__(self, held: _Held, seconds: float) -> None:
        self._held, self._seconds = held, seconds
        self._calls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._calls += 1
        self._held.now += 1
        self._held.most = max(self._held.most, self._held.now)
        asyncio.get_running_loop().call_later(self._seconds, self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held.now -= self._calls
        self._calls = 0

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._calls -= 1
            self._held.now -= 1
            self._transport.write(_ANSWER)


async def serve(port: int, seconds: float) -> None:
    """Until SIGTERM."""
    held, stopped, loop = _Held(), asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(lambda: _Receiver(held, seconds), "127.0.0.1", port, backlog=4096)
    await stopped.wait()
    server.close()
    json.dump({"held_at_once": held.most}, sys.stdout)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))

"""Calls one URL with one fixed request, as cheaply as Python can: raw HTTP over kept connections.

    python -m benchmarks.load_generator --port 8000 --request FILE --connections 64 --count 20000

`--rate` sends so many per second, whatever the answers do, and counts each from the moment it should have left:
an answer that is late makes those behind it late too. Without it, each connection sends as soon as it is answered.
SIGTERM ends the run early, and in order. The report is one JSON object on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop

from benchmarks.figures import spread_of

_TICK_SECONDS = 0.001
_WARM_UP_ROUNDS = 2


class _Caller(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._parser: Any = httptools.HttpResponseParser(self)
        self._from = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.fail(f"the server closed a connection: {exc}")

    def send(self, at: float) -> None:
        self._from = at
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._run.note(self._parser.get_status_code(), now - self._from)
        self._run.next(self, now)


class _Run:
    """The whole of it: who waits, how many are left, what was measured."""

    def __init__(self, request: bytes, rate: float) -> None:
        self.request = request
        self._rate = rate
        self._left = 0
        self._sent = 0
        self._open = 0
        self._stopping = False
        self._began = 0.0
        self._idle: deque[_Caller] = deque()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()

    def note(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.latencies.append(seconds)
        self._open -= 1

    def next(self, caller: _Caller, now: float) -> None:
        if self._stopping or not self._left:
            if not self._open and not self._done.done():
                self._done.set_result(None)
        elif self._rate:
            self._idle.append(caller)
        else:
            self._begin(caller, now)

    def stop(self) -> None:
        self._stopping = True
        if not self._open and not self._done.done():
            self._done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(reason))

    async def make(self, callers: list[_Caller], count: int, rate: float) -> float:
        """Send `count` requests; gives the seconds until the last answer."""
        self._left, self._sent, self._rate = count, 0, rate
        self._done = asyncio.get_running_loop().create_future()
        self.latencies.clear()
        self.statuses.clear()
        self._began = time.perf_counter()
        self._idle = deque(callers)
        if rate:
            self._tick()
        else:
            for caller in callers[:count]:
                self._begin(caller, time.perf_counter())
        await self._done
        return time.perf_counter() - self._began

    def _begin(self, caller: _Caller, at: float) -> None:
        self._left -= 1
        self._sent += 1
        self._open += 1
        caller.send(at)

    def _tick(self) -> None:
        if self._stopping or not self._left:
            return
        now = time.perf_counter()
        while self._idle and self._left and (at := self._began + self._sent / self._rate) <= now:
            self._begin(self._idle.popleft(), at)
        asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)


async def generate(port: int, request: bytes, connections: int, count: int, rate: float) -> dict[str, Any]:
    """Open the connections, warm both ends up, measure."""
    loop = asyncio.get_running_loop()
    run = _Run(request, rate)
    callers = [
        (await loop.create_connection(lambda: _Caller(run), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    await run.make(callers, _WARM_UP_ROUNDS * connections, 0)
    loop.add_signal_handler(signal.SIGTERM, run.stop)
    used = time.process_time()
    seconds = await run.make(callers, count, rate)
    used = time.process_time() - used
    made = len(run.latencies)
    return {
        "requests": made,
        "warm_up_requests": _WARM_UP_ROUNDS * connections,
        "seconds": seconds,
        "per_second": made / seconds,
        "cpu_seconds": used,
        "process_seconds": time.process_time(),
        "statuses": {str(status): number for status, number in run.statuses.items()},
        "latency_ms": spread_of([latency * 1000 for latency in run.latencies]),
    }


def main() -> None:
    """Run it, print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--request", type=Path, required=True, help="a file with the raw bytes of the request")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    work = generate(options.port, options.request.read_bytes(), options.connections, options.count, options.rate)
    json.dump(uvloop.run(work), sys.stdout)


if __name__ == "__main__":
    main()

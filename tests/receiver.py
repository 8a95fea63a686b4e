"""A receiver that notes every call: when it came, where to, with which headers and body."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it came in; header names are lower-case. `at` is Unix time in seconds."""

    at: float
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def timer_id(self) -> str:
        """Of a call to `url/id`."""
        return self.headers.get("webhook-id", "")


Answer = Callable[[Arrival], "asyncio.Future[bytes] | bytes"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    """An HTTP server on 127.0.0.1. `answer` makes the raw answer, or an awaitable of it."""

    def __init__(self, answer: Answer = lambda _: OK, port: int = 0) -> None:
        self.answer = answer
        self._port = port
        self.arrivals: list[Arrival] = []
        self.by_id: defaultdict[str, list[Arrival]] = defaultdict(list)
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def counts(self) -> Counter[str]:
        """Arrivals per timer."""
        return Counter({timer_id: len(calls) for timer_id, calls in self.by_id.items()})

    async def wait_for(self, condition: Callable[[], bool], timeout_seconds: float = 60) -> None:
        """Until the condition holds; it is looked at after every arrival."""
        async with asyncio.timeout(timeout_seconds), self._changed:
            await self._changed.wait_for(condition)

    async def wait_for_ids(self, count: int, timeout_seconds: float = 60) -> None:
        """Until so many different timers have arrived."""
        await self.wait_for(lambda: len(self.by_id) >= count, timeout_seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                arrival = await self._read(reader)
                self.arrivals.append(arrival)
                self.by_id[arrival.timer_id].append(arrival)
                async with self._changed:
                    self._changed.notify_all()
                answer = self.answer(arrival)
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Arrival:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        at = time.time()
        first, *lines = head[:-4].split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Arrival(at, method, target, headers, body)

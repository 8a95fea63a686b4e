"""The receiver of the fault suite, in a process of its own: notes every call in a file before it answers.

    python -m tests.faults.recorder_process FILE PORTS

Its first line on standard output gives the ports, as a JSON list. Calls come to `/NUMBER/ID`. Each line of the
file is a JSON list: the fields of `record.Arrival`. `PUT /behave` with `{"answer": …}` sets how its port answers
from now on; with `null`, as at first: every call after some milliseconds, so that some are always in flight.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import cast

from tests.faults.record import Answer

SLOWEST_SECONDS = 0.1
LATE_SECONDS = 1.5
"""More than the timeout of those timers that meet trouble."""
_OK, _BUSY = (
    b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status
    for status in (b"204 No Content", b"503 Service Unavailable")
)


class Port:
    """What all connections to one port have in common."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.answer: Answer | None = None

    def behave(self, body: bytes) -> None:
        """From the next call on."""
        wanted = json.loads(body)["answer"]
        self.answer = Answer(wanted) if wanted else None


class Connection(asyncio.Protocol):
    """One kept connection; requests come one after the other."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._came = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._came[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._came) < whole:
                return
            body, self._came = self._came[end + 4 : whole], self._came[whole:]
            self._take(first.split(" ")[1], headers, body)

    def _take(self, target: str, headers: dict[str, str], body: bytes) -> None:
        if target == "/behave":
            self._port.behave(body)
            self._transport.write(_OK)
            return
        at_us = time.time_ns() // 1000
        answer = self._port.answer or Answer.ok
        self._note(target, headers, at_us, answer)
        loop = asyncio.get_running_loop()
        match answer:
            case Answer.ok:
                loop.call_later(random.uniform(0, SLOWEST_SECONDS), self._write, _OK)
            case Answer.busy:
                self._write(_BUSY)
            case Answer.reset:
                self._transport.abort()
            case Answer.late:
                loop.call_later(LATE_SECONDS, self._write, _OK)
            case Answer.hang:
                pass

    def _note(self, target: str, headers: dict[str, str], at_us: int, answer: Answer) -> None:
        _, number, id_in_path = target.split("/")
        timer_id = headers["webhook-id"]
        due_at_us = round(datetime.fromisoformat(headers["timer-due-at"]).timestamp() * 1e6)
        fields = [
            int(number),
            timer_id,
            id_in_path == timer_id == headers["idempotency-key"],
            int(headers["timer-attempt"]),
            "timer-possible-duplicate" in headers,
            due_at_us,
            at_us,
            answer,
        ]
        os.write(self._port.file, json.dumps(fields).encode() + b"\n")

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(path: Path, ports: int) -> None:
    """Until the process is ended."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(partial(Connection, Port(file)), "127.0.0.1", 0, backlog=4096)
        for _ in range(ports)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)  # noqa: T201
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))

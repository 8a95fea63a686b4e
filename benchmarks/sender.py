"""What one call costs each sender: CPU per POST over 64 kept connections to nginx on loopback.

    python -m benchmarks.sender --calls 200000 --connections 64

"bare" is the least that Python can do: a fixed request, the same parser, no address, no deadline, no result.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import uuid4

import httptools
import uvloop

from timer_controller.egress import EgressGuard
from timer_controller.sender.general import HttpxSender
from timer_controller.sender.http1 import Http1Sender
from timer_controller.sender.protocol import Call, Result
from timer_db.domain.address_ranges import parse_ranges

_PORT = 18_480
_NGINX = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 "ok"; }} }}
}}
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One measurement; CPU in microseconds per call."""

    name: str
    calls: int
    python_us: float
    nginx_us: float
    calls_per_second: float


@contextmanager
def nginx(port: int) -> Iterator[int]:
    """An nginx of our own; yields its process id."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        sys.exit("nginx is missing: 'apt-get install nginx-light' puts it there")
    with TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port))
        process = subprocess.Popen([binary, "-p", folder, "-c", str(config)])
        try:
            _await_listener(process, port)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    sys.exit("nginx did not start")


def cpu_seconds(process_id: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def make_calls(number: int, port: int) -> list[Call]:
    """Calls as a controller makes them: ids differ, everything else is alike."""
    calls = []
    for _ in range(number):
        timer_id = str(uuid4())
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", timer_id),
            ("webhook-timestamp", "1767225600"),
            ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
            ("Idempotency-Key", timer_id),
            ("Timer-Attempt", "1"),
            ("Timer-Due-At", "2026-01-01T00:00:00.000000Z"),
        )
        body = b'{"id": "%s", "status": "firing", "time_left": 0, "meta": {"order": 4711}}' % timer_id.encode()
        calls.append(Call("POST", f"http://127.0.0.1:{port}/hooks/orders/{timer_id}", headers, body, 10.0))
    return calls


async def drain(calls: list[Call], connections: int, send: Callable[[Call], Awaitable[Any]]) -> None:
    """Make all calls, so many at a time."""
    left = iter(calls)

    async def hand() -> None:
        for call in left:
            await send(call)

    await asyncio.gather(*(hand() for _ in range(connections)))


async def measure(
    name: str, sender: Http1Sender | HttpxSender, calls: list[Call], connections: int, server: int
) -> Row:
    """CPU of this process and of nginx, after a first round that opens the connections."""

    async def send(call: Call) -> None:
        result: Result = await sender.send(call, may_send)
        if result.status != 200:
            raise SystemExit(f"{name}: {result.reason}")

    await drain(calls[: connections * 2], connections, send)
    row = await _timed(name, lambda: drain(calls, connections, send), len(calls), server)
    await sender.aclose()
    return row


async def _timed(name: str, work: Callable[[], Awaitable[None]], calls: int, server: int) -> Row:
    used, served, began = resource.getrusage(resource.RUSAGE_SELF), cpu_seconds(server), time.monotonic()
    await work()
    spent, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    python = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    return Row(name, calls, python / calls * 1e6, (cpu_seconds(server) - served) / calls * 1e6, calls / seconds)


def may_send() -> bool:
    """What a controller asks: is its lease still young?"""
    return time.monotonic() > 0


class _Bare(asyncio.Protocol):
    def __init__(self, request: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._left, self._done = request, left, done
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._left[0] -= 1
        if self._left[0] > 0:
            self._transport.write(self._request)
        elif not self._done.done():
            self._done.set_result(None)


async def measure_bare(number: int, connections: int, port: int, server: int) -> Row:
    """The floor."""
    call = make_calls(1, port)[0]
    lines = "".join(f"{name}: {value}\r\n" for name, value in call.headers)
    target = call.url.partition(str(port))[2]
    head = f"POST {target} HTTP/1.1\r\nHost: h\r\n{lines}Content-Length: {len(call.body)}\r\n\r\n"
    request = head.encode() + call.body
    loop = asyncio.get_running_loop()

    async def work() -> None:
        left, done = [number], loop.create_future()
        opened = [
            await loop.create_connection(lambda: _Bare(request, left, done), "127.0.0.1", port)
            for _ in range(connections)
        ]
        await done
        for transport, _ in opened:
            transport.abort()

    return await _timed("bare, uvloop", work, number, server)


def show(rows: list[Row]) -> None:
    """As a table."""
    print(f"{'sender':<22}{'calls':>9}{'Python µs':>12}{'nginx µs':>11}{'calls/s':>10}{'per core/s':>12}")  # noqa: T201
    for row in rows:
        per_core = 1e6 / row.python_us
        print(  # noqa: T201
            f"{row.name:<22}{row.calls:>9,}{row.python_us:>12.1f}{row.nginx_us:>11.1f}"
            f"{row.calls_per_second:>10,.0f}{per_core:>12,.0f}"
        )


def main() -> None:
    """Measure every sender and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--httpx-calls", type=int, default=4_000)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    many, few, width = options.calls, options.httpx_calls, options.connections
    calls = make_calls(many, _PORT)
    guard = EgressGuard(parse_ranges("127.0.0.0/8"))
    gc.freeze()  # else the collector would walk calls that no controller holds at once
    with nginx(_PORT) as server:
        rows = [
            uvloop.run(measure_bare(many, width, _PORT, server)),
            uvloop.run(
                measure(
                    "Http1Sender, uvloop",
                    Http1Sender(guard=guard, max_connections_per_destination=width),
                    calls,
                    width,
                    server,
                )
            ),
            asyncio.run(
                measure(
                    "Http1Sender, asyncio",
                    Http1Sender(guard=guard, max_connections_per_destination=width),
                    calls,
                    width,
                    server,
                )
            ),
        ]
        if few:
            general = HttpxSender(guard=guard, max_connections=width)
            rows.append(uvloop.run(measure("HttpxSender, uvloop", general, calls[:few], width, server)))
    show(rows)


if __name__ == "__main__":
    main()

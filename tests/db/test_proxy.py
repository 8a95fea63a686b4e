"""The proxy of the tests does to a connection what it was asked to, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.db.proxy import Proxy, When

DELAY_SECONDS = 0.2


def packet(payload: bytes, number: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


COMMIT = packet(b"\x03COMMIT")


class Upstream:
    """Answers every read with one `!`, and notes what came."""

    def __init__(self) -> None:
        self.came = b""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while data := await reader.read(1000):
            self.came += data
            writer.write(b"!")
        writer.close()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest_asyncio.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[Proxy]:
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Proxy(f"mysql://u:p@127.0.0.1:{port}/d") as made:
            yield made


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2].partition("/")[0]))


async def test_a_delayed_statement_comes_late_and_is_answered(proxy: Proxy, upstream: Upstream) -> None:
    reader, writer = await connect(proxy)
    proxy.cut(When.delayed, delay_seconds=DELAY_SECONDS)
    began = time.monotonic()
    writer.write(COMMIT)
    assert await reader.readexactly(1) == b"!"
    assert time.monotonic() - began >= DELAY_SECONDS
    assert upstream.came == COMMIT
    writer.close()


async def test_a_silent_connection_passes_nothing_and_stays_open(proxy: Proxy, upstream: Upstream) -> None:
    reader, writer = await connect(proxy)
    proxy.cut(When.silent)
    writer.write(packet(b"\x03SELECT 1"))
    assert await reader.readexactly(1) == b"!"
    writer.write(COMMIT + COMMIT)
    await proxy.was_cut.wait()
    upstream.writers[0].write(b"more")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DELAY_SECONDS):
            await reader.read(1)
    assert COMMIT not in upstream.came
    writer.close()


async def test_only_the_first_packet_of_a_command_is_a_statement(proxy: Proxy, upstream: Upstream) -> None:
    reader, writer = await connect(proxy)
    proxy.cut(When.before)
    writer.write(packet(b"\x03COMMIT", number=1))
    assert await reader.readexactly(1) == b"!"
    assert not proxy.was_cut.is_set()
    writer.write(COMMIT)
    assert await reader.read(1) == b""
    assert COMMIT not in upstream.came
    writer.close()


async def test_a_server_that_resets_is_seen_by_the_client(proxy: Proxy, upstream: Upstream) -> None:
    """As a server does that was killed with something unread."""
    reader, writer = await connect(proxy)
    writer.write(packet(b"\x03SELECT 1"))
    assert await reader.readexactly(1) == b"!"
    end = upstream.writers[0]
    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()
    async with asyncio.timeout(5):
        assert await reader.read(1) == b""
    writer.close()

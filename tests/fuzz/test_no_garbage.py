"""A request leaves nothing behind for the collector of cycles, which a service runs rarely.

What hangs in a cycle is everything that the request brought, and the connection with it.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
import pytest_asyncio
import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from tests.api.keyed import BOOTSTRAP
from tests.fuzz.requests import with_body
from timer_api.app import create_app
from timer_api.errors import Problem
from timer_api.http_bounds import BoundedProtocol, bounded
from timer_api.settings import ApiSettings

OURS = (BoundedProtocol, RequestResponseCycle, Problem)
HEAD = b"Host: t\r\nAuthorization: Bearer %s\r\n" % BOOTSTRAP.encode()
KEYED = b"Authorization: Bearer %s\r\n" % BOOTSTRAP.encode()
REFUSED = with_body(b"POST /timers", b'{"url": 1}', KEYED)
REQUESTS = {
    "good": b"GET /health/live HTTP/1.1\r\n%s\r\n" % HEAD,
    "no HTTP": b"\0\0\0\0",
    "no JSON": with_body(b"POST /timers", b"{", KEYED),
    "a wrong field": REFUSED,
    "a wrong batch": with_body(b"POST /timers/batch", b"{}", KEYED),
    "a wrong id": b"GET /timers/abc HTTP/1.1\r\n%s\r\n" % HEAD,
    "no key": with_body(b"POST /timers", b"{}"),
    "nowhere": b"GET /nowhere HTTP/1.1\r\n%s\r\n" % HEAD,
    "no database": with_body(b"POST /timers", b'{"url": "https://example.com/", "hours": 1}', KEYED),
    "half a head": REFUSED[:20],
    "half a body": REFUSED[:-1],
    "many": REFUSED * 5,
    "a head that is too long": b"G" * 100_000,
}


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """Where an API without a database listens, in this process."""
    loop = asyncio.get_running_loop()
    # Nothing listens on port 1, and nobody looks.
    app = create_app(ApiSettings(db_url="mysql://nobody:x@127.0.0.1:1/none", api_keys=BOOTSTRAP))
    config = uvicorn.Config(app, ws="none", log_config=None)
    config.load()
    state, protocol = ServerState(), bounded(1)
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}, _loop=loop), "127.0.0.1", 0
    )
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.fixture
def cycles() -> Iterator[list[object]]:
    """What the next collection finds, from here on."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_leaves_no_cycle(port: int, cycles: list[object], name: str) -> None:
    for is_patient in (True, False):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUESTS[name])
        await writer.drain()
        if is_patient:
            assert await reader.read(100)
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
    # Until the other side has seen the end: it answers another connection after that.
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUESTS["no HTTP"])
    await reader.read()
    writer.close()
    await writer.wait_closed()
    gc.collect()
    kept = [type(each).__name__ for each in cycles if isinstance(each, OURS)]
    assert kept == []

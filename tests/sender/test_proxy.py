"""The general sender through a forward proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.sender.certificates import Authority
from tests.sender.conftest import LOOPBACK, Receive, ReceiveTls, call
from tests.sender.hostile import OK, Gone, PlainPeer, TlsPeer
from timer_controller.sender.general import HttpxSender
from timer_controller.sender.protocol import Result
from timer_controller.sender.target import UrlRefused
from timer_db.domain.states import Outcome


async def send(proxy: str, url: str, may_send: Callable[[], bool], authority: Authority) -> Result:
    """One call through `proxy`."""
    sender = HttpxSender(guard=LOOPBACK, max_connections=2, proxy=proxy, ssl_context=authority.trusting())
    try:
        return await sender.send(call(url), may_send)
    finally:
        await sender.aclose()


@pytest.mark.parametrize("host", ["receiver.test", "[::1]"])
async def test_a_proxy_is_asked_for_the_whole_url(host: str, receive: Receive, authority: Authority) -> None:
    heads: list[bytes] = []

    async def script(peer: PlainPeer) -> None:
        heads.append((await peer.request()).raw)
        await peer.send(OK)

    proxy = await receive(script)
    url = f"http://me:pass%20word@127.0.0.1:{proxy.port}"
    result = await send(url, f"http://{host}:8080/a/../b?c", lambda: True, authority)
    assert result.outcome is Outcome.delivered, result.reason
    line, *headers = heads[0].decode().split("\r\n")
    assert line == f"POST http://{host}:8080/a/../b?c HTTP/1.1"
    assert f"Host: {host}:8080" in headers
    assert "Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk" in headers


async def tunnel(peer: PlainPeer, port: int) -> None:
    """Answer a CONNECT, and pass bytes both ways to a receiver on this machine."""
    await peer.head()
    peer.forget()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def there() -> None:
        while data := await peer.receive():
            writer.write(data)

    async def back() -> None:
        while data := await reader.read(65_536):
            await peer.send(data)
        raise Gone

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(there())
            group.create_task(back())
    except* (Gone, OSError):
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("permitted", [True, False])
async def test_tls_goes_through_a_tunnel(
    permitted: bool, receive: Receive, receive_tls: ReceiveTls, authority: Authority
) -> None:
    bodies: list[bytes] = []
    asked: list[int] = []

    async def script(peer: TlsPeer) -> None:
        bodies.append((await peer.request()).body)
        await peer.send(OK)
        await peer.gone()

    receiver = await receive_tls(script, authority.receiver("localhost"))
    proxy = await receive(lambda peer: tunnel(peer, receiver.port))

    def may_send() -> bool:
        asked.append(len(receiver.names))
        return permitted

    result = await send(proxy.url, receiver.url, may_send, authority)
    assert result.outcome is (Outcome.delivered if permitted else Outcome.not_sent), result.reason
    assert bodies == ([b"hello"] if permitted else [])
    assert asked == [1], "asked once, when the tunnel and TLS stood"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b""], ids=["403", "closes"]
)
async def test_a_proxy_that_opens_no_tunnel(answer: bytes, receive: Receive, authority: Authority) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.head()
        await peer.send(answer)

    proxy = await receive(script)
    result = await send(proxy.url, "https://receiver.test/", lambda: True, authority)
    assert (result.outcome, result.first_byte_at) == (Outcome.not_sent, None)


def test_a_proxy_must_be_a_url() -> None:
    with pytest.raises(UrlRefused):
        HttpxSender(guard=LOOPBACK, max_connections=2, proxy="socks5://127.0.0.1:1080")

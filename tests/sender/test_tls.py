"""Certificates and the end of TLS connections."""

from __future__ import annotations

import asyncio

import pytest

from tests.sender.certificates import Authority
from tests.sender.conftest import Kind, MakeSender, Post, Receive, ReceiveTls, call, soon
from tests.sender.hostile import OK, PlainPeer, TlsPeer
from timer_db.domain.states import Outcome


async def answer_all(peer: TlsPeer) -> None:
    """A receiver that behaves."""
    while True:
        await peer.request()
        await peer.send(OK)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_good_certificate(host: str, post: Post, receive_tls: ReceiveTls, authority: Authority) -> None:
    receiver = await receive_tls(answer_all, authority.receiver("localhost", "127.0.0.1"))
    for _ in range(3):
        result = await post(f"https://{host}:{receiver.port}/")
        assert (result.outcome, result.answer) == (Outcome.delivered, b"ok"), result.reason
    assert receiver.accepted == 1
    assert receiver.names == ["localhost" if host == "localhost" else None]


@pytest.mark.parametrize("fault", ["wrong name", "expired", "unknown authority"])
async def test_a_bad_certificate(
    fault: str, post: Post, receive_tls: ReceiveTls, authority: Authority, tmp_path: object
) -> None:
    match fault:
        case "wrong name":
            context = authority.receiver("elsewhere.example")
        case "expired":
            context = authority.receiver("localhost", expired=True)
        case _:
            context = Authority.make(authority.folder).receiver("localhost")
    receiver = await receive_tls(answer_all, context)
    result = await post(receiver.url)
    assert (result.outcome, result.first_byte_at) == (Outcome.not_sent, None)
    assert "certificate" in result.reason
    assert receiver.accepted == 0


async def test_no_tls_at_the_other_end(post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.receive()
        await peer.send(b"HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n")

    receiver = await receive(script)
    result = await post(f"https://localhost:{receiver.port}/")
    assert result.outcome is Outcome.not_sent
    assert "TLS" in result.reason


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_handshake_that_is_cut(end: str, post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.receive()
        if end == "reset":
            peer.reset()

    receiver = await receive(script)
    assert (await post(f"https://localhost:{receiver.port}/")).outcome is Outcome.not_sent


async def test_a_handshake_that_hangs(make_sender: MakeSender, receive: Receive) -> None:
    ended = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.gone()
        ended.set()

    receiver = await receive(script)
    sender = make_sender(connect_timeout_seconds=0.2)
    result = await sender.send(call(f"https://127.0.0.1:{receiver.port}/"), lambda: True)
    assert result.outcome is Outcome.not_sent
    await soon(ended.wait())


async def test_an_answer_until_the_end_needs_a_goodbye(
    kind: Kind, post: Post, receive_tls: ReceiveTls, authority: Authority
) -> None:
    """Without one, whoever sits on the line may have cut the answer (RFC 9112, 9.8)."""

    async def script(peer: TlsPeer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        if peer.number == 2:
            peer.drop()
            await peer.gone()

    receiver = await receive_tls(script, authority.receiver("localhost"))
    first, second = await post(receiver.url), await post(receiver.url)
    assert (first.outcome, first.answer) == (Outcome.delivered, b"ok"), first.reason
    # httpcore asks anyio not to tell the two ends apart.
    assert second.outcome is (Outcome.delivered if kind is Kind.httpx else Outcome.unknown), second.reason


async def test_a_cut_answer_with_a_length_is_unknown(
    post: Post, receive_tls: ReceiveTls, authority: Authority
) -> None:
    async def script(peer: TlsPeer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok")

    receiver = await receive_tls(script, authority.receiver("localhost"))
    assert (await post(receiver.url)).outcome is Outcome.unknown


async def test_large_bodies_both_ways(
    make_sender: MakeSender, receive_tls: ReceiveTls, authority: Authority
) -> None:
    body = bytes(range(256)) * 8_000
    came: list[bytes] = []

    async def script(peer: TlsPeer) -> None:
        came.append((await peer.request()).body)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"y" * 60_000)
        await peer.gone()

    receiver = await receive_tls(script, authority.receiver("localhost"))
    result = await make_sender().send(call(receiver.url, body=body), lambda: True)
    assert (result.outcome, result.answer) == (Outcome.delivered, b"y" * 1024), result.reason
    assert came == [body]


async def test_nothing_leaves_when_it_may_not(
    make_sender: MakeSender, receive_tls: ReceiveTls, authority: Authority
) -> None:
    came: list[bytes] = []

    async def script(peer: TlsPeer) -> None:
        while True:
            came.append((await peer.request()).body)
            await peer.send(OK)

    receiver = await receive_tls(script, authority.receiver("localhost"))
    sender = make_sender()
    result = await sender.send(call(receiver.url), lambda: False)
    assert result.outcome is Outcome.not_sent
    assert (await sender.send(call(receiver.url, body=b"second"), lambda: True)).outcome is Outcome.delivered
    assert came == [b"second"]


async def test_after_an_early_answer_the_next_call_has_another_connection(
    make_sender: MakeSender, receive_tls: ReceiveTls, authority: Authority
) -> None:
    """What was not read of a request may still be on its way; behind it, the next call would not leave."""
    over = asyncio.Event()

    async def script(peer: TlsPeer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        if peer.number == 1:
            await over.wait()

    sender = make_sender()
    receiver = await receive_tls(script, authority.receiver("localhost"))
    large = call(receiver.url, body=b"x" * 20_000_000, timeout_seconds=2.0)
    first = await sender.send(large, lambda: True)
    second = await sender.send(call(receiver.url, timeout_seconds=2.0), lambda: True)
    over.set()
    assert first.outcome in (Outcome.rejected, Outcome.unknown)
    assert second.status == 413, second.reason
    assert receiver.accepted == 2

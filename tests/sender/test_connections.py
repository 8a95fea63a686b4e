"""Connections: kept, shared, closed at the worst time."""

from __future__ import annotations

import asyncio

import pytest

from tests.sender.conftest import Kind, MakeSender, Post, Receive, call, soon
from tests.sender.hostile import OK, Gone, PlainPeer
from timer_db.domain.states import Outcome

BIG = b"x" * 20_000_000


async def answer_all(peer: PlainPeer) -> None:
    """A receiver that behaves."""
    while True:
        await peer.request()
        await peer.send(OK)


async def test_connections_are_used_again(post: Post, receive: Receive) -> None:
    receiver = await receive(answer_all)
    for _ in range(20):
        assert (await post(receiver.url)).outcome is Outcome.delivered
    assert receiver.accepted == 1


async def test_many_calls_share_the_connections_that_are_allowed(
    make_sender: MakeSender, receive: Receive
) -> None:
    async def script(peer: PlainPeer) -> None:
        while True:
            request = await peer.request()
            body = request.target.encode() + b" " + request.body
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    sender, receiver = make_sender(connections=20), await receive(script)
    results = await asyncio.gather(
        *(sender.send(call(f"{receiver.url}/{n}", body=b"body %d" % n), lambda: True) for n in range(200))
    )
    assert [result.answer for result in results] == [b"/%d body %d" % (n, n) for n in range(200)]
    assert receiver.accepted == 20


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_kept_connection_that_was_closed_is_not_used(end: str, post: Post, receive: Receive) -> None:
    peers: list[PlainPeer] = []

    async def script(peer: PlainPeer) -> None:
        peers.append(peer)
        await peer.request()
        await peer.send(OK)
        if peer.number == 1:
            await asyncio.Event().wait()

    receiver = await receive(script)
    assert (await post(receiver.url)).outcome is Outcome.delivered
    # The sender's event loop gets no turn between this and the next call, so it cannot have seen it.
    if end == "close":
        peers[0].close()
    else:
        peers[0].reset()
    result = await post(receiver.url)
    assert result.outcome is Outcome.delivered, result.reason
    assert receiver.accepted == 2


async def test_what_comes_unasked_costs_the_connection(post: Post, receive: Receive) -> None:
    peers: list[PlainPeer] = []

    async def script(peer: PlainPeer) -> None:
        peers.append(peer)
        await peer.request()
        await peer.send(OK)
        await peer.gone()

    receiver = await receive(script)
    assert (await post(receiver.url)).outcome is Outcome.delivered
    await peers[0].send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert (await post(receiver.url)).outcome is Outcome.delivered
    assert receiver.accepted == 2


@pytest.mark.parametrize(
    "junk", [b"more", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"], ids=["junk", "answer"]
)
async def test_what_follows_an_answer_is_no_answer(junk: bytes, kind: Kind, post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(OK + junk)
        await peer.gone()

    receiver = await receive(script)
    assert (await post(receiver.url)).outcome is Outcome.delivered
    second = await post(receiver.url, 0.3 if kind is Kind.httpx else 10.0)
    if kind is Kind.httpx:
        # httpcore keeps it, and takes it for the beginning of the next answer; nothing lets us see or stop that.
        assert second.outcome is (Outcome.unknown if junk == b"more" else Outcome.rejected)
    else:
        assert second.outcome is Outcome.delivered
        assert receiver.accepted == 2


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_request_on_a_kept_connection_is_never_sent_twice(end: str, post: Post, receive: Receive) -> None:
    requests: list[bytes] = []

    async def script(peer: PlainPeer) -> None:
        requests.append((await peer.request()).body)
        await peer.send(OK)
        requests.append((await peer.request()).body)
        if end == "reset":
            peer.reset()

    receiver = await receive(script)
    assert (await post(receiver.url)).outcome is Outcome.delivered
    assert (await post(receiver.url)).outcome is Outcome.unknown
    assert (len(requests), receiver.accepted) == (2, 1)


@pytest.mark.parametrize("rest", ["unread", "closed", "reset"])
async def test_an_early_answer_counts(rest: str, kind: Kind, make_sender: MakeSender, receive: Receive) -> None:
    over = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        if rest == "unread":
            await over.wait()
        elif rest == "reset":
            peer.reset()

    sender, receiver = make_sender(), await receive(script)
    seconds = 0.5 if kind is Kind.httpx else 10.0
    result = await sender.send(call(receiver.url, body=BIG, timeout_seconds=seconds), lambda: True)
    if kind is Kind.httpx:
        # httpcore reads nothing before the whole request is written; it may find the answer when that fails.
        assert result.outcome in (Outcome.unknown, Outcome.rejected)
    else:
        assert (result.outcome, result.status, result.answer) == (Outcome.rejected, 413, b"no"), result.reason
    over.set()
    await sender.send(call(receiver.url, timeout_seconds=seconds), lambda: True)
    assert receiver.accepted == 2


async def test_a_receiver_may_stop_listening_and_still_answer(post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        peer.end_sending()
        await peer.gone()

    result = await post((await receive(script)).url, timeout_seconds=5.0)
    assert result.outcome is Outcome.unknown
    assert "timeout" not in result.reason


async def test_a_receiver_that_hangs_up_early_is_not_waited_for(
    kind: Kind, make_sender: MakeSender, receive: Receive
) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.head()
        peer.end_sending()
        await asyncio.Event().wait()

    sender, receiver = make_sender(), await receive(script)
    seconds = 0.5 if kind is Kind.httpx else 10.0
    result = await sender.send(call(receiver.url, body=BIG, timeout_seconds=seconds), lambda: True)
    assert result.outcome is Outcome.unknown
    assert ("timeout" in result.reason) is (kind is Kind.httpx)  # httpcore writes to the end before it reads


async def test_cancelling_ends_the_connection(make_sender: MakeSender, receive: Receive) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        if peer.number > 1:
            await peer.send(OK)
            return
        asked.set()
        await peer.gone()
        ended.set()

    sender, receiver = make_sender(connections=1), await receive(script)
    first = asyncio.create_task(sender.send(call(receiver.url), lambda: True))
    waiting = asyncio.create_task(sender.send(call(receiver.url), lambda: True))
    await soon(asked.wait())
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await soon(ended.wait())
    assert (await waiting).outcome is Outcome.delivered
    assert receiver.accepted == 2


async def test_cancelling_one_that_waits_for_a_connection(make_sender: MakeSender, receive: Receive) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        while True:
            await peer.request()
            asked.set()
            await go_on.wait()
            await peer.send(OK)

    sender, receiver = make_sender(connections=1), await receive(script)
    first, second, third = (asyncio.create_task(sender.send(call(receiver.url), lambda: True)) for _ in range(3))
    await soon(asked.wait())
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    assert (await first).outcome is (await third).outcome is Outcome.delivered
    assert receiver.accepted == 1


async def test_nothing_leaves_when_it_may_not(make_sender: MakeSender, receive: Receive) -> None:
    came: list[bytes] = []

    async def script(peer: PlainPeer) -> None:
        try:
            while True:
                came.append((await peer.request()).body)
                await peer.send(OK)
        except Gone:
            came.append(b"gone")
            raise

    sender, receiver = make_sender(connections=1), await receive(script)
    answers = iter([False, True, False])
    results = [await sender.send(call(receiver.url), lambda: next(answers)) for _ in range(3)]
    withheld, sent, again = results
    assert withheld.outcome is again.outcome is Outcome.not_sent
    assert withheld.first_byte_at is again.first_byte_at is None
    assert "may not send" in withheld.reason
    assert sent.outcome is Outcome.delivered
    assert came.count(b"hello") == 1
    assert next(answers, "asked once each") == "asked once each"


async def test_it_is_asked_again_before_another_try(make_sender: MakeSender, receive: Receive) -> None:
    """While a call waits for a connection, the controller may lose its lease."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        asked.set()
        await go_on.wait()
        await peer.send(OK)
        await peer.gone()

    sender, receiver = make_sender(connections=1), await receive(script)
    fenced = False
    first = asyncio.create_task(sender.send(call(receiver.url), lambda: True))
    await soon(asked.wait())
    second = asyncio.create_task(sender.send(call(receiver.url), lambda: not fenced))
    await asyncio.sleep(0)
    fenced = True
    go_on.set()
    assert (await first).outcome is Outcome.delivered
    assert (await second).outcome is Outcome.not_sent

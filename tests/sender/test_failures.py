"""No connection, and no time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from tests.sender.conftest import MakeSender, Post, Receive, call, soon
from tests.sender.hostile import OK, PlainPeer, black_hole
from timer_db.domain.states import Outcome

SHORT = 0.2
EARLY = 0.01
"""uvloop counts in whole milliseconds."""
LATE = 2.0
"""More than any timeout here may be late on a busy machine."""


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """Bound, so that nobody else gets it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Of a black hole on 127.0.0.1."""
    with black_hole("127.0.0.1") as port:
        yield port


async def test_a_refused_connection(refusing_port: int, post: Post) -> None:
    result = await post(f"http://127.0.0.1:{refusing_port}/")
    assert (result.outcome, result.first_byte_at) == (Outcome.not_sent, None)
    assert "refused" in result.reason
    assert not result.forbidden, "it is the receiver that does not answer"


async def test_who_waits_behind_a_refused_connection_is_refused_too(
    refusing_port: int, make_sender: MakeSender
) -> None:
    sender = make_sender(connections=1)
    results = await asyncio.gather(
        *(sender.send(call(f"http://127.0.0.1:{refusing_port}/"), lambda: True) for _ in range(5))
    )
    assert all("refused" in result.reason for result in results)


async def test_a_name_without_address(post: Post) -> None:
    result = await post("http://nothing.invalid/")
    assert result.outcome is Outcome.not_sent
    assert "looked up" in result.reason


async def test_a_black_hole(silent_port: int, make_sender: MakeSender) -> None:
    began = time.monotonic()
    sender = make_sender(connect_timeout_seconds=SHORT)
    result = await sender.send(call(f"http://127.0.0.1:{silent_port}/"), lambda: True)
    assert result.outcome is Outcome.not_sent
    assert "connection" in result.reason or "connect" in result.reason
    assert SHORT - EARLY < result.finished_at - began < SHORT + LATE


async def test_the_whole_timeout_counts_while_connecting(silent_port: int, post: Post) -> None:
    began = time.monotonic()
    result = await post(f"http://127.0.0.1:{silent_port}/", timeout_seconds=SHORT)
    assert result.outcome is Outcome.not_sent
    assert SHORT - EARLY < result.finished_at - began < SHORT + LATE


async def test_cancelling_while_connecting(silent_port: int, make_sender: MakeSender) -> None:
    sender = make_sender()
    task = asyncio.create_task(sender.send(call(f"http://127.0.0.1:{silent_port}/"), lambda: True))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
    ],
    ids=["silence", "interim answer", "half of the headers", "half of the body"],
)
async def test_no_whole_answer_in_time(sent: bytes, post: Post, receive: Receive) -> None:
    ended = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(sent)
        await peer.gone()
        ended.set()

    receiver = await receive(script)
    result = await post(receiver.url, timeout_seconds=SHORT)
    assert (result.outcome, result.status) == (Outcome.unknown, None)
    assert "timeout" in result.reason
    assert result.first_byte_at is not None
    assert result.finished_at - result.first_byte_at < SHORT + LATE
    await soon(ended.wait())


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"], ids=["head", "body"]
)
async def test_dripping_does_not_stretch_the_timeout(head: bytes, post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(head)
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.01)  # the drip itself; the test waits for the outcome

    result = await post((await receive(script)).url, timeout_seconds=SHORT)
    assert result.outcome is Outcome.unknown
    assert "timeout" in result.reason


async def test_a_receiver_that_reads_nothing(make_sender: MakeSender, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await asyncio.Event().wait()

    sender = make_sender()
    receiver = await receive(script)
    result = await sender.send(call(receiver.url, body=b"x" * 20_000_000, timeout_seconds=SHORT), lambda: True)
    assert result.outcome is Outcome.unknown
    assert "timeout" in result.reason


async def test_waiting_for_a_connection_counts_as_well(make_sender: MakeSender, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.gone()

    sender, receiver = make_sender(connections=1), await receive(script)
    results = await asyncio.gather(
        # Time enough for the first to be sent, on any machine.
        *(sender.send(call(receiver.url, timeout_seconds=5 * SHORT), lambda: True) for _ in range(5))
    )
    outcomes = sorted(result.outcome for result in results)
    # The last of those that waited may have got the connection that the first one's end set free.
    assert outcomes.count(Outcome.unknown) >= 1
    assert outcomes.count(Outcome.not_sent) + outcomes.count(Outcome.unknown) == 5


async def test_failures_leave_nothing_behind(make_sender: MakeSender, receive: Receive) -> None:
    """After a storm of every kind of end, the one connection that is allowed still works."""
    storm = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"SSH-2.0\r\n"]

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        if peer.number > 30:
            await peer.send(OK)
        elif peer.number % 4 == 0:
            peer.reset()
        else:
            await peer.send(storm[peer.number % 3])

    sender, receiver = make_sender(connections=1), await receive(script)
    results = await asyncio.gather(*(sender.send(call(receiver.url), lambda: True) for _ in range(31)))
    assert sorted(result.outcome for result in results) == [Outcome.delivered] + [Outcome.unknown] * 30

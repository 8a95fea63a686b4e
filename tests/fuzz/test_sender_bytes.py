"""Answers of hostile receivers, given to the sender's connections byte by byte."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from math import inf
from random import Random
from typing import Any, cast

import pytest
import pytest_asyncio

from tests.fuzz.answers import UNTIL_CLOSE, WHOLE, read_slowly
from tests.fuzz.mutations import mutated, pieces
from tests.profiles import examples, is_long
from tests.sender.conftest import LOOPBACK, call
from tests.sender.hostile import OK, PlainPeer, Receiver
from timer_controller.sender.answer import BODY_BYTES_READ, HEAD_BYTES_READ
from timer_controller.sender.http1 import Http1Sender
from timer_controller.sender.http1.connection import Connection
from timer_controller.sender.protocol import Result
from timer_db.domain.states import Outcome

READ_BYTES_MAX = HEAD_BYTES_READ + 9 * BODY_BYTES_READ
ENDS = ["closed", "reset", "timed out"]


class Transport:
    """A socket that takes whatever is written."""

    def __init__(self, any_socket: socket.socket) -> None:
        self.closed = False
        self._socket = any_socket

    def write(self, _data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> Any:
        return self._socket if name == "socket" else None


class Exchange:
    """One connection, and what it tells its owner of."""

    def __init__(self, loop: asyncio.AbstractEventLoop, any_socket: socket.socket) -> None:
        self.transport = Transport(any_socket)
        self.results: list[Result] = []
        self.released = 0
        self.connection = Connection(loop)
        self.connection.connection_made(cast(asyncio.BaseTransport, self.transport))
        self.connection.adopt(self)

    def release(self, _connection: Connection, _now: float) -> None:
        self.released += 1

    def lost(self, _connection: Connection, *, unannounced: bool) -> None:
        assert not (unannounced and not self.released)

    def ask(self, is_head: bool = False) -> None:
        assert self.connection.start(
            b"POST / HTTP/1.1\r\n\r\n", time.monotonic(), inf, is_head, self.results.append
        )

    def hear(self, parts: Sequence[bytes]) -> int:
        """As long as the connection is open; gives how many bytes that were."""
        heard = 0
        for part in parts:
            if self.transport.closed:
                break
            self.connection.data_received(part)
            heard += len(part)
        return heard

    def end(self, how: str) -> None:
        """The connection's, in one of `ENDS`."""
        if how == "timed out" and self.connection.busy():
            self.connection.fail("no whole answer within the timeout")
        if how == "closed" and not self.transport.closed:
            self.connection.eof_received()
        self.connection.connection_lost(ConnectionResetError() if how == "reset" else None)


@pytest.fixture(scope="module")
def any_socket() -> Iterator[socket.socket]:
    """For connections that look whether theirs has news: it never has."""
    one, other = socket.socketpair()
    with one, other:
        yield one


@pytest_asyncio.fixture
async def exchanges(any_socket: socket.socket) -> AsyncIterator[Iterator[Exchange]]:
    loop = asyncio.get_running_loop()
    yield (Exchange(loop, any_socket) for _ in count())


def outcome_of(exchange: Exchange) -> Outcome:
    """The only one."""
    (result,) = exchange.results
    assert result.first_byte_at is not None
    return result.outcome


@pytest.mark.parametrize("name", WHOLE)
async def test_an_answer_counts_when_its_last_byte_is_there(exchanges: Iterator[Exchange], name: str) -> None:
    answer = WHOLE[name]
    expected = Outcome.rejected if name in ("rejected", "redirect") else Outcome.delivered
    for how in ENDS:
        for length in range(len(answer) + 1):
            exchange = next(exchanges)
            exchange.ask()
            exchange.hear([answer[:length]])
            exchange.end(how)
            assert outcome_of(exchange) is (expected if length == len(answer) else Outcome.unknown), length


async def test_the_last_transfer_encoding_says_how_an_answer_ends(exchanges: Iterator[Exchange]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    for part, expected in [(b"3\r\nhe", Outcome.unknown), (b"3\r\nhey\r\n0\r\n\r\n", Outcome.delivered)]:
        exchange = next(exchanges)
        exchange.ask()
        exchange.hear([head + part])
        exchange.end("closed")
        assert outcome_of(exchange) is expected


async def test_a_status_that_is_none_is_no_interim_answer(exchanges: Iterator[Exchange]) -> None:
    exchange = next(exchanges)
    exchange.ask()
    exchange.hear([b"HTTP/1.1 099 Odd\r\n\r\n" + OK])
    assert outcome_of(exchange) is Outcome.unknown


@pytest.mark.parametrize("name", UNTIL_CLOSE)
async def test_an_answer_without_a_length_counts_when_the_receiver_closes(
    exchanges: Iterator[Exchange], name: str
) -> None:
    answer = UNTIL_CLOSE[name]
    head = answer.index(b"\r\n\r\n") + 4
    for how in ENDS:
        for length in range(len(answer) + 1):
            exchange = next(exchanges)
            exchange.ask()
            exchange.hear([answer[:length]])
            exchange.end(how)
            is_whole = how == "closed" and length >= head
            assert outcome_of(exchange) is (Outcome.delivered if is_whole else Outcome.unknown), (how, length)


@pytest.mark.parametrize("name", WHOLE)
async def test_it_does_not_matter_how_an_answer_is_cut(exchanges: Iterator[Exchange], name: str) -> None:
    answer = WHOLE[name]

    def heard(parts: Sequence[bytes]) -> tuple[object, ...]:
        exchange = next(exchanges)
        exchange.ask()
        exchange.hear(parts)
        (result,) = exchange.results
        return result.outcome, result.status, result.retry_after_seconds, result.answer, exchange.released

    whole = heard([answer])
    assert heard([bytes([byte]) for byte in answer]) == whole
    for first in range(1, len(answer)):
        assert heard([answer[:first], answer[first:]]) == whole, first


async def test_no_mutation_is_a_delivery_that_was_none(exchanges: Iterator[Exchange]) -> None:
    dice = Random() if is_long() else Random(20261120)
    bases = [*WHOLE.values(), *UNTIL_CLOSE.values()]
    met: Counter[Outcome] = Counter()
    again = 0
    for _ in range(examples(30_000)):
        data = dice.choice([mutated(dice, dice.choice(bases)), dice.choice(bases) + dice.randbytes(9)])
        how, is_head = dice.choice(ENDS), dice.random() < 0.1
        exchange = next(exchanges)
        exchange.ask(is_head)
        parts = pieces(dice, data)
        heard = exchange.hear(parts)
        if exchange.connection.open and not exchange.connection.busy():
            # It is taken for another call, whose answer is its own.
            assert exchange.released == 1
            again += 1
            exchange.ask()
            exchange.hear([OK])
            assert [result.status for result in exchange.results[1:]] == [200]
            del exchange.results[1:]
        exchange.end(how)
        outcome = outcome_of(exchange)
        met[outcome] += 1
        if outcome is Outcome.delivered:
            reading = read_slowly(data[:heard])
            assert reading is not None, data
            assert 200 <= reading.status < 300, data
            assert reading.is_whole or is_head, data
    assert met.keys() == {Outcome.delivered, Outcome.rejected, Outcome.unknown}
    assert min(*met.values(), again) > 500, (met, again)


ENDLESS = {
    "nothing but letters": (b"", b"a"),
    "phrase": (b"HTTP/1.1 200 ", b"a"),
    "header's name": (b"HTTP/1.1 200 OK\r\n", b"a"),
    "header's value": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "folded header": (b"HTTP/1.1 200 OK\r\nX: a", b"\r\n b"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
    "interim answers": (b"", b"HTTP/1.1 102 Wait\r\n\r\n"),
    "empty lines": (b"", b"\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    "long body": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"a"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "zeros": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
    "trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
    "rejection": (b"HTTP/1.1 500 Oh\r\n\r\n", b"a"),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("size", [1000, 65_536])
async def test_an_endless_answer_is_read_only_so_far(exchanges: Iterator[Exchange], name: str, size: int) -> None:
    begin, more = ENDLESS[name]
    part = more * (size // len(more))
    exchange = next(exchanges)
    exchange.ask()
    exchange.hear([begin] if begin else [])
    heard = exchange.hear([part] * (10_000_000 // len(part)))
    exchange.end("reset")
    outcome = outcome_of(exchange)
    assert heard <= READ_BYTES_MAX + 2 * size
    # Past the bound of a body the receiver has said enough; anything else is no answer.
    expected = {"body": Outcome.delivered, "long body": Outcome.delivered, "chunks": Outcome.delivered}
    if name in expected or name == "rejection":
        assert outcome is expected.get(name, Outcome.rejected)


async def test_hostile_receivers_over_sockets() -> None:
    dice = Random() if is_long() else Random(20261121)
    is_hostile = True

    async def script(peer: PlainPeer) -> None:
        while True:
            await peer.request()
            if not is_hostile:
                await peer.send(OK)
                continue
            for part in pieces(dice, mutated(dice, dice.choice(list(WHOLE.values())))):
                await peer.send(part)
            match dice.randrange(3):
                case 0:
                    peer.reset()
                    return
                case 1:
                    return
                case _:
                    pass

    timeout_seconds, calls = 0.5, examples(800)
    sender = Http1Sender(guard=LOOPBACK, max_connections_per_destination=100)
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with Receiver(script) as receiver:
        waiting = iter(range(calls))
        outcomes: Counter[Outcome] = Counter()

        async def worker() -> None:
            for _ in waiting:
                asked_at = time.monotonic()
                result = await sender.send(call(receiver.url, timeout_seconds=timeout_seconds), lambda: True)
                assert time.monotonic() - asked_at < timeout_seconds + 5
                outcomes[result.outcome] += 1

        await asyncio.gather(*(worker() for _ in range(100)))
        is_hostile = False
        # Those that still hang belong to connections that were dropped.
        results = [await sender.send(call(receiver.url), lambda: True) for _ in range(20)]
    await sender.aclose()
    assert outcomes.total() == calls
    assert {Outcome.delivered, Outcome.rejected, Outcome.unknown} <= outcomes.keys()
    assert [result.outcome for result in results] == [Outcome.delivered] * 20
    assert faults == []

"""Every test here runs with each sender, on each event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import TypeVar

import pytest
import pytest_asyncio
import uvloop

from tests.sender.certificates import Authority
from tests.sender.hostile import Receiver, TlsReceiver, TlsScript
from timer_controller.egress import EgressGuard
from timer_controller.sender.general import HttpxSender
from timer_controller.sender.http1 import Http1Sender
from timer_controller.sender.protocol import Call, Result, Sender
from timer_db.domain.address_ranges import parse_ranges


class Kind(StrEnum):
    """Which sender."""

    http1 = "http1"
    httpx = "httpx"


MakeSender = Callable[..., Sender]
MakeHttp1 = Callable[..., Http1Sender]
Receive = Callable[..., Awaitable[Receiver]]
ReceiveTls = Callable[[TlsScript, ssl.SSLContext], Awaitable[TlsReceiver]]
Post = Callable[..., Awaitable[Result]]
T = TypeVar("T")

LOOPBACK = EgressGuard(parse_ranges("127.0.0.0/8,::1/128"))
"""Lets receivers of this suite be called; what it refuses is shown by test_egress*.py."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(params=list(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    """The sender that the test runs with."""
    return Kind(request.param)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that senders trust."""
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture
async def make_sender(kind: Kind, authority: Authority) -> AsyncIterator[MakeSender]:
    """Senders of this kind; closed at the end of the test."""
    made: list[Sender] = []

    def make(
        *, connections: int = 10, connect_timeout_seconds: float = 5.0, guard: EgressGuard = LOOPBACK
    ) -> Sender:
        trusting = authority.trusting()
        sender: Sender
        match kind:
            case Kind.http1:
                sender = Http1Sender(
                    guard=guard,
                    max_connections_per_destination=connections,
                    connect_timeout_seconds=connect_timeout_seconds,
                    ssl_context=trusting,
                )
            case Kind.httpx:
                sender = HttpxSender(
                    guard=guard,
                    max_connections=connections,
                    connect_timeout_seconds=connect_timeout_seconds,
                    ssl_context=trusting,
                )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        await sender.aclose()


@pytest_asyncio.fixture
async def make_http1() -> AsyncIterator[MakeHttp1]:
    """Senders with settings of the test's choice."""
    async with AsyncExitStack() as stack:

        def make(**settings: object) -> Http1Sender:
            sender = Http1Sender(**{"guard": LOOPBACK, "max_connections_per_destination": 10, **settings})  # type: ignore[arg-type]
            stack.push_async_callback(sender.aclose)
            return sender

        yield make


@pytest_asyncio.fixture
async def sender(make_sender: MakeSender) -> Sender:
    """A sender with plain settings."""
    return make_sender()


@pytest_asyncio.fixture
async def post(sender: Sender) -> Post:
    """POST `hello` with that sender."""

    async def post(url: str, timeout_seconds: float = 10.0) -> Result:
        return await sender.send(call(url, timeout_seconds=timeout_seconds), lambda: True)

    return post


@pytest_asyncio.fixture
async def receive() -> AsyncIterator[Receive]:
    """Starts receivers (script, host, port); they end with the test."""
    async with AsyncExitStack() as stack:
        yield lambda script, *where: stack.enter_async_context(Receiver(script, *where))


@pytest_asyncio.fixture
async def receive_tls() -> AsyncIterator[ReceiveTls]:
    """The same over TLS."""
    async with AsyncExitStack() as stack:
        yield lambda script, context: stack.enter_async_context(TlsReceiver(script, context))


def call(url: str, *, method: str = "POST", body: bytes = b"hello", timeout_seconds: float = 10.0) -> Call:
    """A call without headers of its own."""
    return Call(method, url, (), body, timeout_seconds)


async def soon(signal: Awaitable[T]) -> T:
    """A signal that has to come: a test that waits in vain fails."""
    async with asyncio.timeout(10.0):
        return await signal

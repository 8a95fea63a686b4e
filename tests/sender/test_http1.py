"""What only our own HTTP/1.1 does: names, addresses, and how long it keeps connections."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest

from tests.sender.conftest import LOOPBACK, MakeHttp1, Receive, call, soon
from tests.sender.hostile import OK, PlainPeer, answer_all, black_hole
from timer_controller.sender.http1 import Http1Sender
from timer_controller.sender.protocol import Result
from timer_controller.sender.target import parse_destination
from timer_controller.special_addresses import Address
from timer_db.domain.states import Outcome

HERE = ip_address("127.0.0.1")
ELSEWHERE = ip_address("127.0.0.2")


class LookUp:
    """Says what it is told, and counts."""

    def __init__(self, *addresses: Address) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.addresses


async def test_a_name_is_looked_up_once_for_all(make_http1: MakeHttp1, receive: Receive) -> None:
    look_up, receiver = LookUp(HERE), await receive(answer_all)
    sender = make_http1(look_up=look_up)
    url = f"http://one.test:{receiver.port}/"
    results = await asyncio.gather(*(sender.send(call(url), lambda: True) for _ in range(20)))
    assert {result.outcome for result in results} == {Outcome.delivered}
    assert look_up.asked == ["one.test"]


async def test_a_name_is_looked_up_again_after_a_while(make_http1: MakeHttp1, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    look_up, receiver = LookUp(HERE), await receive(script)
    sender = make_http1(look_up=look_up, look_up_kept_seconds=0.0)
    for _ in range(3):
        await sender.send(call(f"http://one.test:{receiver.port}/"), lambda: True)
    assert len(look_up.asked) == 3


async def test_a_failed_look_up_is_remembered_too(make_http1: MakeHttp1) -> None:
    look_up = LookUp()
    sender = make_http1(look_up=look_up)
    for _ in range(3):
        result = await sender.send(call("http://none.test/"), lambda: True)
        assert result.outcome is Outcome.not_sent
        assert "no such name" in result.reason
    assert look_up.asked == ["none.test"]


async def test_a_look_up_that_hangs_delays_nobody_else(make_http1: MakeHttp1, receive: Receive) -> None:
    release = threading.Event()

    def look_up(host: str) -> Sequence[Address]:
        if host.startswith("slow"):
            release.wait()
        return [HERE]

    receiver = await receive(answer_all)
    sender = make_http1(look_up=look_up)
    slow = [
        asyncio.create_task(
            sender.send(call(f"http://slow{n}.test:{receiver.port}/", timeout_seconds=0.2), lambda: True)
        )
        for n in range(50)
    ]
    result = await sender.send(call(f"http://quick.test:{receiver.port}/"), lambda: True)
    assert result.outcome is Outcome.delivered
    assert {(await task).outcome for task in slow} == {Outcome.not_sent}
    release.set()


async def test_the_next_address_is_tried(make_http1: MakeHttp1, receive: Receive) -> None:
    receiver = await receive(answer_all)
    sender = make_http1(look_up=LookUp(ELSEWHERE, HERE))
    result = await sender.send(call(f"http://two.test:{receiver.port}/"), lambda: True)
    assert result.outcome is Outcome.delivered, result.reason


async def test_a_black_hole_leaves_time_for_the_next_address(make_http1: MakeHttp1, receive: Receive) -> None:
    receiver = await receive(answer_all)
    with black_hole(str(ELSEWHERE), receiver.port):
        sender = make_http1(look_up=LookUp(ELSEWHERE, HERE), connect_timeout_seconds=0.4)
        result = await sender.send(call(f"http://two.test:{receiver.port}/"), lambda: True)
    assert result.outcome is Outcome.delivered, result.reason


async def test_connections_that_rest_too_long_are_closed(make_http1: MakeHttp1, receive: Receive) -> None:
    ended = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.gone()
        ended.set()

    receiver = await receive(script)
    sender = make_http1(idle_seconds=0.01)
    assert (await sender.send(call(receiver.url), lambda: True)).outcome is Outcome.delivered
    await soon(ended.wait())
    assert (await sender.send(call(receiver.url), lambda: True)).outcome is Outcome.delivered
    assert receiver.accepted == 2


async def test_no_more_connections_rest_than_allowed(make_http1: MakeHttp1, receive: Receive) -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()

    def numbered(number: int) -> Callable[[PlainPeer], object]:
        async def script(peer: PlainPeer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.gone()
            ended.put_nowait(number)

        return script

    receivers = [await receive(numbered(number)) for number in range(3)]  # type: ignore[arg-type]
    sender = make_http1(max_idle_connections=1)
    for receiver in receivers:
        await sender.send(call(receiver.url), lambda: True)
    assert [await soon(ended.get()), await soon(ended.get())] == [0, 1]
    assert ended.empty()


async def test_what_comes_unasked_is_seen_at_once(make_http1: MakeHttp1, receive: Receive) -> None:
    ended = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(OK)
        await resting.wait()
        await peer.send(b"HTTP/1.1 2")
        await peer.gone()
        ended.set()

    resting = asyncio.Event()
    receiver = await receive(script)
    sender = make_http1()
    await sender.send(call(receiver.url), lambda: True)
    resting.set()
    await soon(ended.wait())


async def test_a_connection_that_ends_in_the_last_moment(make_http1: MakeHttp1, receive: Receive) -> None:
    """It is reset after the last look at it, and before the write: the write fails, so nothing was sent."""
    peers: list[PlainPeer] = []

    async def script(peer: PlainPeer) -> None:
        peers.append(peer)
        await peer.request()
        await peer.send(OK)
        if peer.number == 1:
            await asyncio.Event().wait()

    def may_send() -> bool:
        asked.append(len(peers))
        if len(asked) == 1:
            peers[0].reset()
        return True

    asked: list[int] = []
    receiver = await receive(script)
    sender = make_http1()
    await sender.send(call(receiver.url), lambda: True)
    result = await sender.send(call(receiver.url), may_send)
    assert result.outcome is Outcome.delivered
    assert len(asked) == receiver.accepted == 2


async def test_a_receiver_that_resets_whoever_comes(make_http1: MakeHttp1) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def may_send() -> bool:
            asked.append(True)
            PlainPeer(listener.accept()[0], 1).reset()
            return True

        asked: list[bool] = []

        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        result = await make_http1().send(call(url), may_send)
    assert (result.outcome, result.first_byte_at) == (Outcome.not_sent, None)
    assert asked == [True]


async def test_closing_ends_every_connection(receive: Receive) -> None:
    ended = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.gone()
        ended.set()

    receiver = await receive(script)
    sender = Http1Sender(guard=LOOPBACK, max_connections_per_destination=10)
    await sender.send(call(receiver.url), lambda: True)
    async with asyncio.timeout(1.0):  # later, it would be cut off
        await sender.aclose()
    await soon(ended.wait())


async def test_a_receiver_that_ends_connections_without_a_word_gets_new_ones(
    make_http1: MakeHttp1, receive: Receive
) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    receiver = await receive(script)
    sender = make_http1()
    outcomes = [(await sender.send(call(receiver.url), lambda: True)).outcome for _ in range(6)]
    assert outcomes == [Outcome.delivered, Outcome.unknown] + [Outcome.delivered] * 4
    assert receiver.accepted == 5


@pytest.mark.parametrize(
    ("prefix", "host", "port", "header"),
    [
        ("http://Example.COM", "example.com", 80, "example.com"),
        ("HTTP://example.com:80", "example.com", 80, "example.com"),
        ("https://example.com:443", "example.com", 443, "example.com"),
        ("https://example.com:80", "example.com", 80, "example.com:80"),
        ("http://example.com:", "example.com", 80, "example.com"),
        ("http://bücher.example", "xn--bcher-kva.example", 80, "xn--bcher-kva.example"),
        ("http://faß.example", "xn--fa-hia.example", 80, "xn--fa-hia.example"),
        ("http://a_b.example.:8080", "a_b.example.", 8080, "a_b.example.:8080"),
        ("https://[2001:DB8::1]", "2001:db8::1", 443, "[2001:db8::1]"),
        ("http://[::1]:8080", "::1", 8080, "[::1]:8080"),
    ],
)
def test_what_a_url_names(prefix: str, host: str, port: int, header: str) -> None:
    destination = parse_destination(prefix)
    assert (destination.host, destination.port, destination.host_header) == (host, port, header)


async def test_a_fault_of_whoever_is_told_of_one_call_keeps_no_other(
    make_http1: MakeHttp1, receive: Receive
) -> None:
    """Requests that are prepared together leave together."""
    receiver = await receive(answer_all)
    sender = make_http1()
    assert (await sender.send(call(receiver.url + "/first"), lambda: True)).status == 200
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    delivered: asyncio.Future[Result] = loop.create_future()

    def raises(_: Result) -> None:
        raise ZeroDivisionError

    sender.start(call(receiver.url + "/withheld"), lambda: False, raises)
    sender.start(call(receiver.url + "/sent"), lambda: True, delivered.set_result)
    assert (await soon(delivered)).outcome is Outcome.delivered
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


async def test_a_call_that_is_cancelled_before_it_leaves_is_not_made(
    make_http1: MakeHttp1, receive: Receive
) -> None:
    asked: list[str] = []

    async def script(peer: PlainPeer) -> None:
        while True:
            asked.append((await peer.request()).target)
            await peer.send(OK)

    receiver = await receive(script)
    sender = make_http1()
    assert (await sender.send(call(receiver.url + "/first"), lambda: True)).status == 200
    told: list[Result] = []
    cancel = sender.start(call(receiver.url + "/cancelled"), lambda: True, told.append)
    cancel()
    assert (await sender.send(call(receiver.url + "/last"), lambda: True)).status == 200
    assert told == []
    assert asked == ["/first", "/last"]


@pytest.mark.parametrize("where", ["at a receiver that was just left", "at a new one"])
async def test_a_call_that_begins_when_another_times_out_has_its_own_timeout(
    where: str, make_http1: MakeHttp1, receive: Receive
) -> None:
    """All timeouts are seen in one look, in which receivers are also forgotten."""

    async def answer_once(peer: PlainPeer) -> None:
        await peer.request()
        if peer.number == 1:
            await asyncio.sleep(0.2)
            await peer.send(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await peer.gone()

    async def hang(peer: PlainPeer) -> None:
        await peer.gone()

    sender, receiver, hanging = make_http1(), await receive(answer_once), await receive(hang)
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    last: asyncio.Future[Result] = loop.create_future()
    url = receiver.url if where.endswith("left") else (await receive(hang)).url

    def begin_another(_: Result) -> None:
        sender.start(call(url, timeout_seconds=0.2), lambda: True, last.set_result)

    left: asyncio.Future[Result] = loop.create_future()
    # Known first, so that it is looked at first.
    sender.start(call(receiver.url), lambda: True, left.set_result)
    sender.start(call(hanging.url, timeout_seconds=0.3), lambda: True, begin_another)
    assert (await soon(left)).status == 200
    time.sleep(0.2)  # noqa: ASYNC251 - no look before the timeout
    assert (await soon(last)).outcome is Outcome.unknown
    assert faults == []

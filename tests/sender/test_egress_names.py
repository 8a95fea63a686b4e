"""Names that lead inside: a name server that changes its mind, real senders, and listeners that must see nobody.

127.0.0.2 stands for a public address here: it is the only one that the guard lets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.sender.conftest import MakeHttp1, Receive, call
from tests.sender.hostile import OK, Bystander, PlainPeer, Receiver, answer_all
from tests.sender.name_server import NameServer
from timer_controller.egress import EgressGuard
from timer_controller.sender.http1 import Http1Sender
from timer_controller.sender.protocol import Result
from timer_controller.special_addresses import Address
from timer_db.domain.address_ranges import parse_ranges
from timer_db.domain.states import Outcome

PERMITTED = "127.0.0.2"
INSIDE = "127.0.0.1"
METADATA = "169.254.169.254"
CLOSING = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
NOT_PUBLIC = "is not a public address; TIMER_EGRESS_ALLOW can open its range"


class CountingGuard(EgressGuard):
    """The guard, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(parse_ranges(f"{PERMITTED},127.0.0.3"))
        self.addresses: list[str] = []
        self.ports: list[int] = []

    def address_refusal(self, address: Address) -> str | None:
        self.addresses.append(str(address))
        return super().address_refusal(address)

    def port_refusal(self, port: int) -> str | None:
        self.ports.append(port)
        return super().port_refusal(port)


@dataclass
class Street:
    """A receiver that may be called, and neighbours on its port that may not."""

    receiver: Receiver
    neighbours: Sequence[Bystander]

    def url(self, host: str) -> str:
        return f"http://{host}:{self.receiver.port}/"

    def is_quiet(self) -> bool:
        """Nobody came to the neighbours."""
        return all(neighbour.saw_nobody() for neighbour in self.neighbours)


async def answer_once(peer: PlainPeer) -> None:
    """A receiver that ends each connection after one answer."""
    await peer.request()
    await peer.send(CLOSING)


@pytest_asyncio.fixture
async def street(request: pytest.FixtureRequest, receive: Receive) -> AsyncIterator[Street]:
    """The receiver keeps connections, unless the test says otherwise."""
    receiver = await receive(getattr(request, "param", answer_all), PERMITTED)
    with ExitStack() as stack:
        yield Street(receiver, [stack.enter_context(Bystander(host, receiver.port)) for host in (INSIDE, "::1")])


closing = pytest.mark.parametrize("street", [answer_once], indirect=True, ids=["closing"])


@pytest.fixture(scope="module")
def running() -> Iterator[NameServer]:
    """A real name server."""
    with NameServer() as server:
        yield server


@pytest.fixture
def names(running: NameServer) -> NameServer:
    """The same, and it has not been asked yet."""
    running.forget_questions()
    return running


@pytest.fixture
def guard() -> CountingGuard:
    """Lets 127.0.0.2 through, and 127.0.0.3, where nobody listens."""
    return CountingGuard()


@pytest.fixture
def sender(make_http1: MakeHttp1, names: NameServer, guard: CountingGuard) -> Http1Sender:
    """It asks that server each time."""
    return make_http1(guard=guard, look_up=names.look_up, look_up_kept_seconds=0.0)


async def post(sender: Http1Sender, url: str) -> Result:
    return await sender.send(call(url), lambda: True)


def is_refused(result: Result) -> bool:
    """So that no circuit breaker opens, and the reason names the setting."""
    return result.outcome is Outcome.not_sent and result.forbidden and "TIMER_EGRESS_ALLOW" in result.reason


@closing
async def test_a_name_that_moves_inside_is_refused_from_then_on(
    sender: Http1Sender, names: NameServer, street: Street
) -> None:
    names.say("rebind.test", [PERMITTED], [INSIDE], [METADATA], ["::1"], [PERMITTED])
    results = [await post(sender, street.url("rebind.test")) for _ in range(5)]
    assert [result.outcome for result in results] == [
        Outcome.delivered,
        *[Outcome.not_sent] * 3,
        Outcome.delivered,
    ]
    assert all(map(is_refused, results[1:4]))
    assert [result.reason.split()[0] for result in results[1:4]] == [INSIDE, METADATA, "::1"]
    assert street.receiver.accepted == 2
    assert street.is_quiet()


async def test_between_the_check_and_the_connection_nobody_is_asked_again(
    sender: Http1Sender, names: NameServer, street: Street
) -> None:
    names.say("flip.test", [PERMITTED], [INSIDE])
    assert (await post(sender, street.url("flip.test"))).outcome is Outcome.delivered
    assert names.asked == {("flip.test", "A"): 1, ("flip.test", "AAAA"): 1}
    assert street.is_quiet()


async def test_a_kept_connection_stays_where_it_was_made_to(
    sender: Http1Sender, names: NameServer, street: Street, guard: CountingGuard
) -> None:
    """Long after what was looked up is forgotten: nothing is looked up, nothing is judged, nothing is moved."""
    names.say("kept.test", [PERMITTED], [INSIDE])
    for _ in range(200):
        assert (await post(sender, street.url("kept.test"))).outcome is Outcome.delivered
    assert (street.receiver.accepted, names.asked["kept.test", "A"]) == (1, 1)
    assert (guard.addresses, guard.ports) == ([PERMITTED], [street.receiver.port])
    assert street.is_quiet()


async def test_the_next_connection_is_judged_anew(
    sender: Http1Sender, names: NameServer, receive: Receive
) -> None:
    async def script(peer: PlainPeer) -> None:
        for turn in range(3):
            await peer.request()
            await peer.send(CLOSING if turn == 2 else OK)

    names.say("later.test", [PERMITTED], [INSIDE])
    receiver = await receive(script, PERMITTED)
    with Bystander(INSIDE, receiver.port) as inside:
        url = f"http://later.test:{receiver.port}/"
        results = [await post(sender, url) for _ in range(4)]
        assert inside.saw_nobody()
    assert [result.outcome for result in results] == [*[Outcome.delivered] * 3, Outcome.not_sent]
    assert is_refused(results[-1])


@closing
async def test_what_is_kept_of_a_look_up_is_judged_at_each_connection(
    make_http1: MakeHttp1, names: NameServer, street: Street, guard: CountingGuard
) -> None:
    names.say("cached.test", [PERMITTED, INSIDE], [INSIDE])
    sender = make_http1(guard=guard, look_up=names.look_up, look_up_kept_seconds=60.0)
    for _ in range(3):
        assert (await post(sender, street.url("cached.test"))).outcome is Outcome.delivered
    assert names.asked["cached.test", "A"] == 1
    assert guard.addresses == [PERMITTED, INSIDE] * 3
    assert street.is_quiet()


@closing
@pytest.mark.parametrize(
    "answer",
    [
        [PERMITTED, INSIDE],
        [INSIDE, PERMITTED],
        [PERMITTED, "::1"],
        [METADATA, "10.0.0.1", PERMITTED, "fd00::1", "::ffff:127.0.0.1"],
        [*(f"127.0.1.{n}" for n in range(24)), PERMITTED, "::1"],
    ],
    ids=["permitted first", "permitted last", "A and AAAA", "all kinds", "many"],
)
async def test_of_a_mixed_answer_only_what_is_permitted_is_called(
    answer: Sequence[str], sender: Http1Sender, names: NameServer, street: Street
) -> None:
    names.say("mixed.test", answer)
    for _ in range(3):
        result = await post(sender, street.url("mixed.test"))
        assert result.outcome is Outcome.delivered, result.reason
    assert street.is_quiet()


@pytest.mark.parametrize("answer", [["127.0.0.3", INSIDE], [INSIDE, "127.0.0.3"], ["127.0.0.3", "::1"]])
async def test_where_the_permitted_one_is_away_no_other_is_tried(
    answer: Sequence[str], sender: Http1Sender, names: NameServer, street: Street
) -> None:
    names.say("away.test", answer)
    result = await post(sender, street.url("away.test"))
    assert (result.outcome, result.reason) == (Outcome.not_sent, "connection refused")
    assert not result.forbidden, "a receiver that may be called does not answer"
    assert street.is_quiet()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([INSIDE], f"{INSIDE} {NOT_PUBLIC}"),
        (["::1"], f"::1 {NOT_PUBLIC}"),
        (["::ffff:127.0.0.1"], f"{INSIDE} {NOT_PUBLIC}"),
        (["::ffff:7f00:1", "::1"], f"{INSIDE} {NOT_PUBLIC}"),
        (["::127.0.0.1"], f"::7f00:1 {NOT_PUBLIC}"),
        (["2002:7f00:1::1"], f"2002:7f00:1::1 {NOT_PUBLIC}"),
        (["2001:0:808:808::80ff:fffe"], f"2001:0:808:808::80ff:fffe {NOT_PUBLIC}"),
        (["64:ff9b::7f00:1"], f"64:ff9b::7f00:1 leads to {INSIDE}, which {NOT_PUBLIC}"),
        (["64:ff9b:1::7f00:1"], f"64:ff9b:1::7f00:1 {NOT_PUBLIC}"),
        (["0.0.0.0"], f"0.0.0.0 {NOT_PUBLIC}"),
        (["::"], f":: {NOT_PUBLIC}"),
        (["edge.test"], f"{INSIDE} {NOT_PUBLIC}"),
        ([f"127.0.{n // 256}.{n % 256}" for n in range(1024, 1524)], f"127.0.4.0 {NOT_PUBLIC}"),
        ([*(f"127.0.1.{n}" for n in range(32)), PERMITTED], f"127.0.1.0 {NOT_PUBLIC}"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
async def test_a_name_that_leads_inside_only_is_refused(
    answer: Sequence[str], reason: str, sender: Http1Sender, names: NameServer, street: Street
) -> None:
    names.say("edge.test", ["balancer.test"])
    names.say("balancer.test", ["inner.test"])
    names.say("inner.test", [INSIDE, "::1"])
    names.say("public.test", answer)
    result = await post(sender, street.url("public.test"))
    assert (is_refused(result), result.reason) == (True, reason)
    assert names.asked["public.test", "A"] == 1
    assert names.asked_over_tcp == (len(answer) > 32)
    assert street.is_quiet()


async def test_a_mapped_address_is_called_as_what_it_is(
    sender: Http1Sender, names: NameServer, street: Street
) -> None:
    names.say("mapped.test", [f"::ffff:{PERMITTED}"])
    assert (await post(sender, street.url("mapped.test"))).outcome is Outcome.delivered
    assert street.receiver.accepted == 1


async def test_many_at_once_while_the_name_moves(sender: Http1Sender, names: NameServer, street: Street) -> None:
    """More calls than there are connections, and each connection has a look-up of its own."""
    names.say("flutter.test", *([[PERMITTED], [INSIDE], ["::1"]] * 50))
    results = await asyncio.gather(*(post(sender, street.url("flutter.test")) for _ in range(60)))
    later = [await post(sender, street.url("flutter.test")) for _ in range(10)]
    assert all(result.outcome is Outcome.delivered or is_refused(result) for result in [*results, *later])
    assert street.is_quiet()


async def test_calls_that_are_held_to_other_ranges_share_no_connection(
    sender: Http1Sender, names: NameServer, street: Street
) -> None:
    """On one that is kept nothing is asked any more."""
    names.say("shared.test", [PERMITTED])
    ranges = [None, parse_ranges(PERMITTED), parse_ranges("127.0.0.3"), parse_ranges(f"{PERMITTED},10.0.0.0/8")]
    for _ in range(2):
        for within in ranges:
            asked = call(street.url("shared.test"))
            asked.within = within and tuple(within)
            result = await sender.send(asked, lambda: True)
            if within is None or PERMITTED in str(within):
                assert result.outcome is Outcome.delivered
            else:
                assert (result.outcome, result.forbidden) == (Outcome.not_sent, True)
                assert result.reason == f"{PERMITTED} is in none of the ranges of its collection (egress_allow)"
    assert street.receiver.accepted == 3
    assert street.is_quiet()

"""Addresses in strange spellings: refused when a timer is made, or judged as what would be connected to.

And ports, and redirects. Everything with real senders.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sender.conftest import MakeHttp1, MakeSender, Receive, call
from tests.sender.hostile import Bystander, PlainPeer, answer_all
from timer_api.timers.target import check_url
from timer_controller.egress import EgressGuard, parse_ports
from timer_controller.sender.protocol import Result, Sender
from timer_controller.sender.target import UrlRefused, parse_destination
from timer_db.domain.address_ranges import parse_ranges
from timer_db.domain.states import Outcome

PORT = 8080
CLOSED = EgressGuard()

# Host, what the API says to it, and what address the controller judges (None: it does not parse there either).
SPELLINGS = [
    ("127.0.0.1", "taken", "127.0.0.1"),
    ("127.0.0.1.", "refused", "127.0.0.1"),
    ("2130706433", "refused", "127.0.0.1"),
    ("017700000001", "refused", "127.0.0.1"),
    ("0x7f000001", "refused", "127.0.0.1"),
    ("0X7F000001", "refused", "127.0.0.1"),
    ("0177.0.0.1", "refused", "127.0.0.1"),
    ("0x7f.1", "refused", "127.0.0.1"),
    ("127.1", "refused", "127.0.0.1"),
    ("127.0.1", "refused", "127.0.0.1"),
    ("0", "refused", "0.0.0.0"),
    ("127.0.0.1%2e", "refused", None),
    ("%31%32%37.0.0.1", "refused", None),
    ("127%2E0%2E0%2E1", "refused", None),
    ("１２７.０.０.１", "refused", "127.0.0.1"),
    ("127。0。0。1", "refused", "127.0.0.1"),
    ("①②⑦.⓪.⓪.①", "refused", "127.0.0.1"),
    ("[::1]", "taken", "::1"),
    ("[0:0:0:0:0:0:0:1]", "taken", "::1"),
    ("[::ffff:127.0.0.1]", "taken", "127.0.0.1"),
    ("[::ffff:7f00:1]", "taken", "127.0.0.1"),
    ("[0:0:0:0:0:ffff:127.0.0.1]", "taken", "127.0.0.1"),
    ("[::ffff:0177.0.0.1]", "refused", None),
    ("[::127.0.0.1]", "taken", "::7f00:1"),
    ("[64:ff9b::127.0.0.1]", "taken", "64:ff9b::7f00:1"),
    ("[fe80::1%25lo]", "refused", None),
    ("[fe80::1%lo]", "refused", None),
    ("[127.0.0.1]", "refused", None),
    ("example.com@127.0.0.1", "refused", "127.0.0.1"),
    ("127.0.0.1\\@example.com", "refused", None),
    ("127.0.0.1\t", "refused", None),
    ("127.0.0.1\x00", "refused", None),
]


@pytest.mark.parametrize(("host", "at_create", "judged"), SPELLINGS, ids=[repr(row[0]) for row in SPELLINGS])
def test_a_create_refuses_all_spellings_but_the_usual(host: str, at_create: str, judged: str | None) -> None:
    url = f"http://{host}:{PORT}/"
    if at_create == "taken":
        assert check_url(url) == url
    else:
        with pytest.raises(ValueError, match=r"its host|ASCII|credentials|does not parse"):
            check_url(url)


@pytest.mark.parametrize(("host", "at_create", "judged"), SPELLINGS, ids=[repr(row[0]) for row in SPELLINGS])
async def test_every_spelling_is_judged_as_what_would_be_connected_to(
    host: str, at_create: str, judged: str | None, make_sender: MakeSender
) -> None:
    """For timers that are there already, whoever let them in."""
    if judged is None:
        with pytest.raises(UrlRefused):
            parse_destination(f"http://{host}:{PORT}")
    result = await make_sender(guard=CLOSED).send(call(f"http://{host}:{PORT}/"), never)
    assert (result.outcome, result.forbidden) == (Outcome.not_sent, True), result.reason
    assert judged is None or result.reason.startswith(f"{judged} ")
    assert judged is None or "TIMER_EGRESS_ALLOW" in result.reason


def never() -> bool:
    """Asked before the first byte leaves."""
    raise AssertionError("nobody should come this far")


_number = st.integers(0, 2**32 - 1)
_part = st.builds(
    lambda value, form: format(value, form),
    st.one_of(st.integers(0, 300), _number),
    st.sampled_from(["d", "#x", "o", "#X"]),
)
_dotted = st.lists(
    st.builds(lambda zero, part: zero + part, st.sampled_from(["", "0", "00"]), _part), min_size=1, max_size=5
)
_host = st.builds(lambda parts, end: ".".join(parts) + end, _dotted, st.sampled_from(["", "."]))


@given(_host | st.text("0123456789abcdefx.-_", min_size=1, max_size=20))
def test_what_a_create_takes_is_no_address_to_anybody_or_the_one_that_it_shows(host: str) -> None:
    """The C library's own reading is the judge."""
    try:
        check_url(f"http://{host}/")
    except ValueError:
        return
    try:
        read = socket.inet_aton(host)
    except OSError:
        return
    assert str(IPv4Address(read)) == host


@given(st.ip_addresses(v=6))
def test_no_reading_of_brackets_differs(address: IPv6Address) -> None:
    url = f"http://[{address.exploded.upper()}]"
    assert check_url(url + "/")
    assert ip_address(parse_destination(url).host) == address


@pytest.mark.parametrize("port", [22, 25, 6379])
async def test_a_denied_port_is_not_called(port: int, make_sender: MakeSender) -> None:
    for host in ("127.0.0.1", "[::1]", "receiver.invalid"):
        result = await make_sender().send(call(f"http://{host}:{port}/"), never)
        assert (result.outcome, result.forbidden) == (Outcome.not_sent, True)
        assert result.reason == f"port {port} is not called: it is one of TIMER_EGRESS_DENY_PORTS"


async def test_the_setting_decides_which_ports(make_sender: MakeSender, receive: Receive) -> None:
    receiver = await receive(answer_all)
    denied = EgressGuard(parse_ranges("127.0.0.1"), parse_ports(f"1-2,{receiver.port}"))
    result = await make_sender(guard=denied).send(call(receiver.url), never)
    assert (result.forbidden, "TIMER_EGRESS_DENY_PORTS" in result.reason) == (True, True)
    assert receiver.accepted == 0
    opened = EgressGuard(parse_ranges("127.0.0.1"), parse_ports(""))
    assert (await make_sender(guard=opened).send(call(receiver.url), lambda: True)).outcome is Outcome.delivered
    unused = await make_sender(guard=opened).send(call("http://127.0.0.1:1/"), lambda: True)
    assert (unused.reason, unused.forbidden) == ("connection refused", False)


async def test_the_port_of_the_scheme_counts_too(make_sender: MakeSender) -> None:
    for url, port in (("http://127.0.0.1/", 80), ("https://127.0.0.1", 443)):
        guard = EgressGuard(parse_ranges("127.0.0.1"), [port])
        result = await make_sender(guard=guard).send(call(url), never)
        assert result.reason.startswith(f"port {port} ")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["receiver", "inside", "http://169.254.169.254/latest/meta-data/", "//[::1]:8080/", ""]
)
async def test_a_redirect_is_an_answer_and_nothing_to_follow(
    status: int, to: str, sender: Sender, receive: Receive
) -> None:
    other = await receive(answer_all)
    calls: list[str] = []

    async def script(peer: PlainPeer) -> None:
        while True:
            calls.append((await peer.request()).target)
            location = {"receiver": f"{other.url}/else", "inside": f"http://127.0.0.5:{other.port}/"}.get(to, to)
            await peer.send(f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    receiver = await receive(script)
    with Bystander("127.0.0.5", other.port) as inside:
        results: list[Result] = [await sender.send(call(f"{receiver.url}/hook"), lambda: True) for _ in range(2)]
        assert inside.saw_nobody()
    assert [(result.outcome, result.status) for result in results] == [(Outcome.rejected, status)] * 2
    assert calls == ["/hook", "/hook"]
    assert other.accepted == 0
    assert receiver.accepted == 1


async def test_the_check_is_made_once_for_a_connection_that_is_kept(
    make_http1: MakeHttp1, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a call nothing: the guard is not even there any more."""
    receiver, guard = await receive(answer_all), EgressGuard(parse_ranges("127.0.0.1"))
    sender = make_http1(guard=guard)
    assert (await sender.send(call(receiver.url), lambda: True)).outcome is Outcome.delivered
    for name in ("address_refusal", "port_refusal", "host_refusal"):
        monkeypatch.setattr(EgressGuard, name, None)
    for _ in range(100):
        assert (await sender.send(call(receiver.url), lambda: True)).outcome is Outcome.delivered
    assert receiver.accepted == 1

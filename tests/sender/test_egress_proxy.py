"""What is still judged where a proxy looks names up: ports, and hosts that are addresses. Names are not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.sender.conftest import Receive, call
from tests.sender.hostile import OK, Bystander, PlainPeer
from timer_controller.__main__ import _sender as sender_of
from timer_controller.sender.general import HttpxSender
from timer_controller.sender.protocol import Result, Sender
from timer_controller.settings import ControllerSettings
from timer_db.domain.address_ranges import parse_ranges
from timer_db.domain.states import Outcome


class Proxied:
    """The sender that a controller has with a proxy, and what the proxy was asked for."""

    def __init__(self, port: int, asked: list[str]) -> None:
        self.port, self.asked = port, asked
        self.sender = self.with_settings()

    def with_settings(self, **settings: str) -> Sender:
        """As a controller makes it."""
        made = sender_of(
            ControllerSettings(
                db_url="mysql://u:p@db/timer", egress_proxy=f"http://127.0.0.1:{self.port}", **settings
            )
        )
        assert isinstance(made, HttpxSender)
        return made

    async def post(self, url: str, sender: Sender | None = None) -> Result:
        return await (sender or self.sender).send(call(url), lambda: True)  # type: ignore[attr-defined]


@pytest_asyncio.fixture
async def proxied(receive: Receive) -> AsyncIterator[Proxied]:
    """The proxy opens no tunnel, and answers everything else itself."""
    asked: list[str] = []

    async def script(peer: PlainPeer) -> None:
        while True:
            line = (await peer.head()).split(b"\r\n")[0].decode()
            asked.append(line.rpartition(" ")[0])
            if line.startswith("CONNECT "):
                await peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                return
            await peer.request()
            await peer.send(OK)

    proxy = await receive(script)
    made = Proxied(proxy.port, asked)
    yield made
    await made.sender.aclose()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "\uff11\uff12\uff17.0.0.1",
     "localhost", "LOCALHOST.", "a.localhost", "10.0.0.1", "169.254.169.254", "168.63.129.16", "[::1]",
     "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_host_that_is_an_address_is_judged(scheme: str, host: str, proxied: Proxied) -> None:
    result = await proxied.post(f"{scheme}://{host}:8080/")
    assert (result.outcome, result.forbidden) == (Outcome.not_sent, True)
    assert "TIMER_EGRESS_ALLOW" in result.reason
    assert proxied.asked == []


async def test_the_same_ranges_open_it(proxied: Proxied) -> None:
    opened = proxied.with_settings(egress_allow="10.0.0.0/8")
    assert (await proxied.post("http://10.0.0.1:8080/", opened)).outcome is Outcome.delivered
    assert (await proxied.post("http://8.8.8.8/", opened)).outcome is Outcome.delivered
    assert proxied.asked == ["POST http://10.0.0.1:8080/", "POST http://8.8.8.8:80/"]
    await opened.aclose()


@pytest.mark.parametrize("host", ["receiver.test", "8.8.8.8", "127.0.0.1"])
async def test_ports_are_judged_whatever_the_host(host: str, proxied: Proxied) -> None:
    for scheme in ("http", "https"):
        result = await proxied.post(f"{scheme}://{host}:6379/")
        assert (result.outcome, result.forbidden) == (Outcome.not_sent, True)
        assert "TIMER_EGRESS_DENY_PORTS" in result.reason
    assert proxied.asked == []


async def test_a_name_is_the_proxys_to_judge(proxied: Proxied) -> None:
    """Nothing here looks it up, not even a name that is known to lead inside. The proxy says no by itself."""
    result = await proxied.post("http://metadata.google.internal/")
    assert result.outcome is Outcome.delivered
    result = await proxied.post("https://inside.test/")
    assert (result.outcome, result.reason) == (Outcome.not_sent, "the proxy refused: 403 No")
    assert not result.forbidden
    assert proxied.asked == ["POST http://metadata.google.internal:80/", "CONNECT inside.test:443"]


async def test_a_redirect_is_not_followed_through_a_proxy_either(receive: Receive) -> None:
    asked: list[str] = []

    async def script(peer: PlainPeer) -> None:
        while True:
            asked.append((await peer.request()).target)
            await peer.send(
                b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"
            )

    proxy = await receive(script)
    proxied = Proxied(proxy.port, asked)
    with Bystander("127.0.0.5", proxy.port) as elsewhere:
        result = await proxied.post("http://receiver.test/")
        assert elsewhere.saw_nobody()
    assert (result.outcome, result.status) == (Outcome.rejected, 307)
    assert asked == ["http://receiver.test:80/"]
    await proxied.sender.aclose()


async def test_a_collection_with_ranges_is_called_at_literal_addresses_only(proxied: Proxied) -> None:
    """Where a name leads, the proxy alone knows."""
    within = tuple(parse_ranges("8.8.8.0/24"))
    for host, outcome in (
        ("8.8.8.8", Outcome.delivered),
        ("8.8.9.9", Outcome.not_sent),
        ("a.test", Outcome.not_sent),
    ):
        asked = call(f"http://{host}/")
        asked.within = within
        result = await proxied.sender.send(asked, lambda: True)  # type: ignore[attr-defined]
        assert (result.outcome, result.forbidden) == (outcome, outcome is Outcome.not_sent), host
        assert (outcome is Outcome.delivered) != ("egress_allow" in result.reason)
    assert proxied.asked == ["POST http://8.8.8.8:80/"]

"""What stands on the wire."""

from __future__ import annotations

import asyncio

import pytest

from tests.sender.conftest import Receive, call
from tests.sender.hostile import OK, PlainPeer, Receiver, Request
from timer_controller.sender.protocol import Call, Sender
from timer_db.domain.states import Outcome


class Recorder:
    """Answers everything and keeps it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, peer: PlainPeer) -> None:
        while True:
            self.requests.append(await peer.request())
            await peer.send(OK)


async def test_a_request_is_exactly_this(sender: Sender, receive: Receive) -> None:
    recorder = Recorder()
    receiver = await receive(recorder)
    headers = (("webhook-id", "7"), ("X-Text", "grün, ja"), ("Accept", "*/*"))
    result = await sender.send(
        Call("PATCH", f"{receiver.url}/a/b?c=d&e", headers, b"\x00\xff\r\n", 5.0), lambda: True
    )
    assert result.outcome is Outcome.delivered
    assert recorder.requests[0].raw == (
        b"PATCH /a/b?c=d&e HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"webhook-id: 7\r\n"
        b"X-Text: gr\xc3\xbcn, ja\r\n"
        b"Accept: */*\r\n"
        b"Content-Length: 4\r\n"
        b"\r\n"
        b"\x00\xff\r\n" % receiver.port
    )


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("POST", b"", "0"),
        ("PUT", b"", "0"),
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("GET", b"ab", "2"),
        ("PURGE", b"a", "1"),
        ("M-SEARCH", b"", None),
    ],
)
async def test_a_length_where_a_body_is_expected(
    method: str, body: bytes, length: str | None, sender: Sender, receive: Receive
) -> None:
    recorder = Recorder()
    receiver = await receive(recorder)
    result = await sender.send(call(receiver.url, method=method, body=body), lambda: True)
    assert result.outcome is Outcome.delivered, result.reason
    assert recorder.requests[0].line == f"{method} / HTTP/1.1"
    assert recorder.requests[0].header("Content-Length") == length
    assert recorder.requests[0].body == body


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("?q", "/?q"),
        ("#top", "/"),
        ("/a#top", "/a"),
        ("/a/../b/./c//d", "/a/../b/./c//d"),
        ("/a b", "/a%20b"),
        ("/a%20b%zz", "/a%20b%zz"),
        ("/grün?q=ü", "/gr%C3%BCn?q=%C3%BC"),
        ('/"<>\\^`{|}', "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/a?b=/c/d?e", "/a?b=/c/d?e"),
        ("/;@:!$&'()*+,=~[]", "/;@:!$&'()*+,=~[]"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y"),
    ],
)
async def test_a_path_is_sent_as_it_was_given(path: str, target: str, sender: Sender, receive: Receive) -> None:
    recorder = Recorder()
    receiver = await receive(recorder)
    for _ in range(2):  # the second time, the destination is known
        assert (await sender.send(call(receiver.url + path), lambda: True)).outcome is Outcome.delivered
    assert [request.target for request in recorder.requests] == [target, target]


async def test_a_user_in_the_url_becomes_authorization(sender: Sender, receive: Receive) -> None:
    recorder = Recorder()
    receiver = await receive(recorder)
    url = f"http://caf%C3%A9:a:b%40c@127.0.0.1:{receiver.port}/x"
    await sender.send(call(url), lambda: True)
    await sender.send(Call("POST", url, (("authorization", "Bearer z"),), b"", 5.0), lambda: True)
    first, second = recorder.requests
    assert first.header("Authorization") == "Basic Y2Fmw6k6YTpiQGM="
    assert first.header("Host") == f"127.0.0.1:{receiver.port}"
    assert [value for name, value in second.headers if name.lower() == "authorization"] == ["Bearer z"]


async def test_an_ipv6_address(sender: Sender) -> None:
    recorder = Recorder()
    try:
        receiver = Receiver(recorder, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with receiver:
        result = await sender.send(call(receiver.url + "/x"), lambda: True)
    assert result.outcome is Outcome.delivered, result.reason
    assert recorder.requests[0].header("Host") == f"[::1]:{receiver.port}"


async def test_a_name_is_looked_up(sender: Sender, receive: Receive) -> None:
    recorder = Recorder()
    receiver = await receive(recorder)
    result = await sender.send(call(f"http://LocalHost:{receiver.port}/x"), lambda: True)
    assert result.outcome is Outcome.delivered, result.reason
    assert recorder.requests[0].header("Host") == f"localhost:{receiver.port}"


async def test_a_large_body_arrives_whole(sender: Sender, receive: Receive) -> None:
    recorder = Recorder()
    receiver = await receive(recorder)
    body = bytes(range(256)) * 20_000
    for _ in range(2):
        assert (await sender.send(call(receiver.url, body=body), lambda: True)).outcome is Outcome.delivered
    assert [request.body for request in recorder.requests] == [body, body]
    assert receiver.accepted == 1


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/relative"),
        ("POST", "ftp://127.0.0.1/"),
        ("POST", "http:///path"),
        ("POST", "http://:80/"),
        ("POST", "http://a b/"),
        ("POST", "http://.a.test/"),
        ("POST", "http://a..test/"),
        ("POST", f"http://{'a' * 64}.test/"),
        ("POST", f"http://{'a.' * 130}test/"),
        ("POST", "http://a\\@b/"),
        ("POST", "http://[::1/"),
        ("POST", "http://[1.2.3.4]/"),
        ("POST", "http://[fe80::1%25eth0]/"),
        ("POST", "http://127.0.0.1:99999/"),
        ("POST", "http://127.0.0.1:0/"),
        ("POST", "http://127.0.0.1:x/"),
        ("POST", "http://xn--a\N{SNOWMAN}\u2009.example/"),
        ("CONNECT", "http://127.0.0.1:8080/"),
        ("BAD METHOD", "http://127.0.0.1:8080/"),
        ("", "http://127.0.0.1:8080/"),
        ("POST\r\nX: y", "http://127.0.0.1:8080/"),
    ],
)
async def test_what_cannot_be_called_is_not_sent(method: str, url: str, sender: Sender) -> None:
    def may_send() -> bool:
        raise AssertionError("nobody should come this far")

    result = await sender.send(call(url, method=method), may_send)
    assert result.outcome is Outcome.not_sent
    assert "URL" in result.reason or "method" in result.reason
    assert result.forbidden


async def test_calls_to_several_receivers_do_not_mix(sender: Sender, receive: Receive) -> None:
    def named(name: bytes) -> Recorder:
        class Named(Recorder):
            async def __call__(self, peer: PlainPeer) -> None:
                while True:
                    self.requests.append(await peer.request())
                    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)

        return Named()

    urls = [(await receive(named(name))).url for name in (b"a", b"b", b"c")]
    results = await asyncio.gather(*(sender.send(call(url), lambda: True) for url in urls * 5))
    assert [result.answer for result in results] == [b"a", b"b", b"c"] * 5

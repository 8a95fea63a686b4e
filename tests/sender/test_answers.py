"""What receivers may answer, and what is made of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

from tests.sender.conftest import Kind, MakeSender, Post, Receive, call, soon
from tests.sender.hostile import OK, Gone, PlainPeer
from timer_controller.sender.protocol import ANSWER_BYTES_KEPT
from timer_db.domain.states import Outcome

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DELIVERED, REJECTED, UNKNOWN = Outcome.delivered, Outcome.rejected, Outcome.unknown


@dataclass(frozen=True)
class Whole:
    """An answer that came to its end. `kept`: the next call goes over the same connection."""

    name: str
    sent: bytes
    status: int = 200
    body: bytes = b"ok"
    kept: bool = True
    ends: bool = False
    """The receiver closes after its answer."""
    method: str = "POST"


WHOLE = [
    Whole("length", OK),
    Whole("empty", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", body=b""),
    Whole("no reason phrase", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
    Whole("created", b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 201),
    Whole("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    Whole("304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b""),
    Whole("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", body=b"", method="HEAD"),
    Whole("HEAD, chunked", CHUNKED, body=b"", method="HEAD"),
    Whole("chunked", CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
    Whole("chunk extension", CHUNKED + b"2;a=b\r\nok\r\n0\r\n\r\n"),
    Whole("trailer", CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"),
    Whole("until the end", b"HTTP/1.1 200 OK\r\n\r\nok", kept=False, ends=True),
    Whole("until the end, empty", b"HTTP/1.1 200 OK\r\n\r\n", body=b"", kept=False, ends=True),
    Whole("1.0 until the end", b"HTTP/1.0 200 OK\r\n\r\nok", kept=False, ends=True),
    Whole("1.0 with length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", kept=False),
    Whole("close", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", kept=False),
    Whole("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    Whole("folded header", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    Whole("length and chunks", CHUNKED[:-2] + b"Content-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    Whole("100", b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    Whole("103 and 100", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK),
    Whole("redirect", b"HTTP/1.1 307 Go\r\nLocation: /else\r\nContent-Length: 2\r\n\r\nok", 307),
    Whole("400", b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nok", 400),
    Whole("410", b"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\nok", 410),
    Whole("500", b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nok", 500),
    Whole("no such status", b"HTTP/1.1 799 Hm\r\nContent-Length: 2\r\n\r\nok", 799),
    Whole("60 KB of headers", b"HTTP/1.1 200 OK\r\n" + b"X: y234567890123\r\n" * 3400 + OK.partition(b"\r\n")[2]),
    Whole("cookie", b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"),
]


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: whole.name)
async def test_a_whole_answer_counts_by_its_status(
    whole: Whole, make_sender: MakeSender, receive: Receive
) -> None:
    async def script(peer: PlainPeer) -> None:
        while True:
            request = await peer.request()
            assert request.header("Cookie") is None
            await peer.send(whole.sent)
            if whole.ends:
                return

    sender, receiver = make_sender(), await receive(script)
    for calls in (1, 2):
        result = await sender.send(call(receiver.url, method=whole.method), lambda: True)
        assert result.outcome is (DELIVERED if 200 <= whole.status < 300 else REJECTED), result.reason
        assert (result.status, result.answer) == (whole.status, whole.body)
        assert result.first_byte_at is not None
        assert result.first_byte_at <= result.finished_at
        assert receiver.accepted == (1 if whole.kept else calls)


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: whole.name)
async def test_an_answer_may_come_byte_by_byte(whole: Whole, make_sender: MakeSender, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        step = max(1, len(whole.sent) // 200)
        for start in range(0, len(whole.sent), step):
            await peer.send(whole.sent[start : start + step])
            await asyncio.sleep(0)  # so that the sender reads it on its own
        if not whole.ends:
            await peer.gone()

    sender, receiver = make_sender(), await receive(script)
    result = await sender.send(call(receiver.url, method=whole.method), lambda: True)
    assert (result.status, result.answer) == (whole.status, whole.body), result.reason
    await sender.aclose()


@dataclass(frozen=True)
class Broken:
    """No whole answer: `unknown`, because the request had left."""

    name: str
    sent: bytes
    then: str = "close"
    read_by: Kind | None = None
    """The sender whose parser makes an answer of it all the same."""


BROKEN = [
    Broken("silence, close", b""),
    Broken("silence, reset", b"", "reset"),
    Broken("half a status line", b"HTTP/1."),
    Broken("half of the headers, close", b"HTTP/1.1 200 OK\r\nContent-Le"),
    Broken("half of the headers, reset", b"HTTP/1.1 200 OK\r\nContent-Le", "reset"),
    Broken("headers without their end", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"),
    Broken("short body, close", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
    Broken("short body, reset", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "reset"),
    Broken("body until the end, reset", b"HTTP/1.1 200 OK\r\n\r\nok", "reset"),
    Broken("half a chunk", CHUNKED + b"9\r\nok"),
    Broken("chunks without the last", CHUNKED + b"2\r\nok\r\n"),
    Broken("last chunk without the end", CHUNKED + b"2\r\nok\r\n0\r\n"),
    Broken("chunk size is no number", CHUNKED + b"zz\r\nok\r\n0\r\n\r\n", "stay"),
    Broken("negative chunk size", CHUNKED + b"-2\r\nok\r\n0\r\n\r\n", "stay"),
    Broken("chunk longer than its size", CHUNKED + b"2\r\nokokok\r\n0\r\n\r\n", "stay"),
    Broken("only 100", b"HTTP/1.1 100 Continue\r\n\r\n"),
    Broken("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    Broken("no status line", b"<html>hello</html>\r\n\r\n", "stay"),
    Broken("TLS alert", b"\x15\x03\x01\x00\x02\x02\x16"),
    Broken("status is no number", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", "stay"),
    Broken("negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", "stay"),
    Broken("length is no number", b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", "stay"),
    Broken("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "stay"),
    Broken("200 KB of headers", b"HTTP/1.1 200 OK\r\n" + b"X: y234567890123\r\n" * 12_000, "stay"),
    Broken("a header of 200 KB", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, "stay"),
    Broken("long nonsense", b"x" * 5000 + b"\r\n\r\n", "stay"),
    # llhttp, told to read folded headers, lets these through as well.
    Broken("space", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", "stay", Kind.http1),
    Broken("NUL", b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\nok", "stay", Kind.http1),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
async def test_no_whole_answer_is_unknown(broken: Broken, kind: Kind, post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(broken.sent)
        if broken.then == "reset":
            peer.reset()
        elif broken.then == "stay":
            await peer.gone()

    receiver = await receive(script)
    result = await post(receiver.url, timeout_seconds=5.0)
    if kind is broken.read_by:
        assert (result.outcome, result.status) == (DELIVERED, 200)
        return
    assert (result.outcome, result.status) == (UNKNOWN, None), result
    assert 0 < len(result.reason) <= 200
    assert "timeout" not in result.reason
    assert receiver.accepted == 1


async def test_another_protocol_is_a_rejection(kind: Kind, post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello"
        )
        await peer.gone()

    result = await post((await receive(script)).url)
    if kind is Kind.httpx:
        # h11 knows no 101 without an `Upgrade` in the request, and calls it a broken answer.
        assert result.outcome is UNKNOWN
    else:
        assert (result.outcome, result.status) == (REJECTED, 101)


async def test_the_kept_answer_is_bounded(post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + b"0123456789" * 3000)

    receiver = await receive(script)
    for _ in range(2):
        result = await post(receiver.url)
        assert result.answer == (b"0123456789" * 103)[:ANSWER_BYTES_KEPT]
    assert receiver.accepted == 1


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("head", [b"Content-Length: 10000000000\r\n\r\n", b"\r\n"], ids=["length", "no length"])
async def test_a_body_past_the_bound_counts_as_answered(
    status: int, head: bytes, post: Post, receive: Receive
) -> None:
    ended = asyncio.Event()

    async def script(peer: PlainPeer) -> None:
        await peer.request()
        try:
            await peer.send(b"HTTP/1.1 %d Endless\r\n" % status + head)
            while True:
                await peer.send(b"x" * 10_000)
        except Gone:
            ended.set()

    result = await post((await receive(script)).url)
    assert (result.outcome, result.status) == (DELIVERED if status == 200 else REJECTED, status)
    assert result.answer == b"x" * ANSWER_BYTES_KEPT
    await soon(ended.wait())


async def test_endless_chunks_count_as_answered(post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"5\r\nhello\r\n" * 1000)

    result = await post((await receive(script)).url)
    assert (result.outcome, result.answer[:7]) == (DELIVERED, b"hellohe")


async def test_endless_interim_answers_are_no_answer(kind: Kind, post: Post, receive: Receive) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100)

    # httpcore reads them as long as they come; only the timeout ends that.
    result = await post((await receive(script)).url, 0.5 if kind is Kind.httpx else 10.0)
    assert result.outcome is UNKNOWN
    assert ("timeout" in result.reason) is (kind is Kind.httpx)


async def test_headers_are_those_of_the_answer_itself(post: Post, receive: Receive) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\n\r\n"
    busy = b"HTTP/1.1 503 Busy\r\n%bContent-Length: 0\r\n\r\n"

    async def script(peer: PlainPeer) -> None:
        for answer in (busy % b"Retry-After: 7\r\n", busy % b"", early + busy % b""):
            await peer.request()
            await peer.send(answer)
        await peer.request()
        for part in (early, busy[:12], busy[12:] % b"Retry-After: 9\r\n"):
            await peer.send(part)
            await asyncio.sleep(0)  # so that each is read on its own

    receiver = await receive(script)
    assert [(await post(receiver.url)).retry_after_seconds for _ in range(4)] == [7.0, None, None, 9.0]
    assert receiver.accepted == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 120", 120.0),
        ("retry-after:0", 0.0),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Retry-After: soon", None),
        ("Retry-After: -5", None),
        ("Retry-After: " + "9" * 5000, None),
        ("X-Other: 1", None),
    ],
)
@pytest.mark.parametrize("status", [200, 429, 503])
async def test_retry_after_is_read_from_what_is_no_success(
    header: str, seconds: float | None, status: int, post: Post, receive: Receive
) -> None:
    async def script(peer: PlainPeer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 {status} Hm\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode())

    result = await post((await receive(script)).url)
    assert result.status == status
    assert result.retry_after_seconds == (None if status == 200 else seconds)


async def test_whatever_bytes_come_is_an_outcome(kind: Kind, make_sender: MakeSender, receive: Receive) -> None:
    """Answers with some of their bytes changed, cut out or doubled."""
    seed = Random(20_260_101)
    answers = [_damaged(seed) for _ in range(200)]

    async def script(peer: PlainPeer) -> None:
        body = (await peer.request()).body
        await peer.send(OK if body == b"last" else answers[int(body)])

    sender, receiver = make_sender(connections=4), await receive(script)
    results = await asyncio.gather(
        *(sender.send(call(receiver.url, body=b"%d" % number), lambda: True) for number in range(len(answers)))
    )
    outcomes = Counter(result.outcome for result in results)
    assert set(outcomes) == {DELIVERED, REJECTED, UNKNOWN}, outcomes
    assert not any("timeout" in result.reason for result in results)
    last = await sender.send(call(receiver.url, body=b"last"), lambda: True)
    if kind is Kind.http1:  # httpcore may begin it with what the answer before left over
        assert (last.outcome, last.answer) == (DELIVERED, b"ok")


def _damaged(seed: Random) -> bytes:
    answer = bytearray(seed.choice(WHOLE[:20]).sent)
    for _ in range(seed.randint(1, 4)):
        start = seed.randrange(len(answer))
        end = min(len(answer), start + seed.randint(1, 8))
        match seed.randrange(3):
            case 0:
                answer[start:end] = seed.randbytes(end - start)
            case 1:
                del answer[start:end]
            case _:
                answer[start:start] = answer[start:end]
        if not answer:
            break
    return bytes(answer)

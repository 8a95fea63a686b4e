"""What one connection may cost the API: how long, how large, how many at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.keyed import BOOTSTRAP
from tests.fuzz.requests import good_create, with_body
from tests.fuzz.wire import Answer, Line
from tests.system import Api, System
from timer_api.errors import Kind
from timer_api.http_bounds import AROUND_BYTES_MAX, PIECE_BYTES
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"
CREATE = b'{"delay": 3600, "url": "https://example.com/hook"}'
CHUNKED = b"POST /timers HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n%s\r\n%x\r\n%s\r\n0\r\n%s\r\n"
JSON = b"Content-Type: application/json\r\n"
WRAPPED = b"".join(b"1;%s\r\n \r\n" % (b"x" * 100) for _ in range(20_000))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server: EmbeddedServer) -> AsyncIterator[Api]:
    """One that waits a second, and has room for one batch."""
    async with System(server, server.url) as system:
        yield await system.start_api(api_request_seconds=1, api_batch_queue_bytes=1_048_576)


@pytest_asyncio.fixture(loop_scope="module")
async def closed(server: EmbeddedServer) -> AsyncIterator[Api]:
    """One with a key."""
    async with System(server, server.url) as system:
        yield await system.start_api(api_keys=BOOTSTRAP)


def assert_is(answer: Answer, kind: Kind) -> None:
    assert (answer.status, answer.json()["type"]) == (kind.status, kind.type)
    assert answer.headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200_000,
        b"\r\n" * 500_000,
        CHUNKED % (JSON, len(CREATE), CREATE, b"X: a\r\n" * 200_000),
        CHUNKED % (JSON, len(CREATE), CREATE, b"X: " + b"a" * 1_000_000),
        CHUNKED.partition(b"%x")[0] % JSON + WRAPPED,
    ],
    ids=["path", "value", "name", "lines", "empty lines", "trailers", "trailer", "wrapping"],
)
async def test_what_stands_around_a_body_is_bounded(api: Api, endless: bytes) -> None:
    async with Line.to(api) as line:
        await line.send(endless)
        # Closed with bytes unread, the system may reset the connection, and what was answered is lost with it.
        for answer in await line.answers(1):
            assert_is(answer, Kind.headers_too_large)
        await line.is_closed()


async def test_headers_up_to_the_bound_are_read(api: Api) -> None:
    filling = b"X: " + b"a" * (AROUND_BYTES_MAX - len(GET) - 5) + b"\r\n\r\n"
    async with Line.to(api) as line:
        for _ in range(3):
            await line.send(GET[:-2] + filling)
        assert [answer.status for answer in await line.answers(3)] == [200] * 3


async def test_small_chunks_are_no_excess(api: Api) -> None:
    body = CREATE + b" " * 40_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with Line.to(api) as line:
        await line.send(CHUNKED.partition(b"%x")[0] % JSON + chunks + b"0\r\n\r\n")
        assert (await line.answer()).status == 201


@pytest.mark.parametrize(
    "sent",
    [b"G", GET[:-2], with_body(b"POST /timers", CREATE)[:-1], with_body(b"POST /timers/batch", b" " * 9999)[:-1]],
    ids=["a letter", "a head", "a body", "a batch"],
)
async def test_a_request_that_does_not_arrive_is_told_so(api: Api, sent: bytes) -> None:
    async with Line.to(api) as line:
        await line.send(sent)
        assert_is(await line.answer(), Kind.request_timeout)
        await line.is_closed()


async def test_a_request_that_drips_has_no_more_time(api: Api) -> None:
    async with Line.to(api) as line:

        async def drip() -> None:
            for byte in GET * 1000:
                line.writer.write(bytes([byte]))
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        assert_is(await line.answer(), Kind.request_timeout)
        dripping.cancel()


async def test_a_connection_without_a_request_is_closed(api: Api) -> None:
    async with Line.to(api) as line:
        assert await line.answers(1) == []


async def test_the_end_of_a_line_is_no_sign_of_life(api: Api) -> None:
    async with Line.to(api) as line:
        await line.send(GET)
        await line.answer()
        await line.send(b"\r\n")
        await line.is_closed()


async def test_a_kept_connection_may_rest_for_longer(api: Api) -> None:
    async with Line.to(api) as line:
        await line.send(GET)
        await line.answer()
        # Another one, begun later, has been given up by then.
        async with Line.to(api) as other:
            await other.send(b"G")
            await other.is_closed()
        await line.send(GET)
        assert len(await line.answers(2)) == 2


async def test_a_batch_that_does_not_arrive_gives_its_room_back(api: Api) -> None:
    request = with_body(b"POST /timers/batch", b'{"timers": [%s]}' % CREATE)
    announced = b"POST /timers/batch HTTP/1.1\r\nHost: t\r\n" + JSON + b"Content-Length: 9999999\r\n\r\n{"
    async with Line.to(api) as line, Line.to(api) as other:
        await line.send(announced)
        await other.send(request)
        assert_is(await other.answer(), Kind.busy)
        assert_is(await line.answer(), Kind.request_timeout)
        await other.send(request)
        assert [answer.status for answer in await other.answers(2)] == [503, 201]


async def test_whoever_takes_no_answer_loses_it(api: Api) -> None:
    async with Line.to(api) as line:
        await line.send(b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n" * 500)
        # Nothing is read meanwhile.
        async with Line.to(api) as other:
            await other.is_closed()
            async with Line.to(api) as third:
                await third.is_closed()
        assert 0 < len(await line.answers(500)) < 500


async def test_many_pipelined_requests_are_answered_in_their_order(api: Api) -> None:
    paths = [b"/health/live", b"/nowhere"] * 1000
    async with Line.to(api) as line:
        await line.send(b"".join(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % path for path in paths))
        statuses = [answer.status for answer in await line.answers(len(paths))]
    assert statuses == [200, 404] * 1000


async def test_bad_bytes_behind_a_request_do_not_answer_it(api: Api) -> None:
    for behind in (
        b"\0\0\0\0",
        b"POST /timers HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"G" * 2 * AROUND_BYTES_MAX,
    ):
        async with Line.to(api) as line:
            await line.send(with_body(b"POST /timers", CREATE) + GET + behind)
            assert [answer.status for answer in await line.answers(3)][:2] == [201, 200]
            await line.is_closed()


@pytest.mark.parametrize("padding", [0, PIECE_BYTES], ids=["in one read", "in pieces"])
async def test_a_trailer_is_no_header(api: Api, padding: int) -> None:
    body = CREATE + b" " * padding
    async with Line.to(api) as line:
        await line.send(CHUNKED % (b"", len(body), body, JSON))
        assert_is(await line.answer(), Kind.unsupported_media_type)


async def test_a_key_in_a_trailer_opens_nothing(closed: Api) -> None:
    bearing = b"Authorization: Bearer %s\r\n" % BOOTSTRAP.encode()
    async with Line.to(closed) as line:
        await line.send(CHUNKED % (JSON, len(CREATE), CREATE, bearing))
        await line.send(CHUNKED % (JSON + bearing, len(CREATE), CREATE, b""))
        assert [answer.status for answer in await line.answers(2)] == [401, 201]


async def test_other_protocols_are_passed_over(api: Api) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with Line.to(api) as line:
        for _ in range(2):
            await line.send(with_body(b"POST /timers", CREATE, upgrade))
            await line.send(GET[:-2] + upgrade + b"\r\n")
        assert [answer.status for answer in await line.answers(4)] == [201, 200] * 2


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(api: Api) -> None:
    async with Line.to(api) as line:
        head, body = with_body(b"POST /timers", CREATE, b"Expect: 100-continue\r\n").split(b"\r\n\r\n", 1)
        await line.send(head + b"\r\n\r\n")
        assert (await line.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await line.send(body)
        assert (await line.answer()).status == 201


async def test_after_all_of_this_it_works(api: Api) -> None:
    async with Line.to(api) as line:
        await line.send(good_create("bounds"))
        assert json.loads((await line.answer()).body)["status"] == "scheduled"
    assert "Traceback" not in api.service.log_text()

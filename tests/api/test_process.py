"""The API as a process: real sockets, settings, a stop in the middle of work."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.system import Api, System
from timer_db.embedded import EmbeddedServer

from .processes import (
    connection_to,
    ended,
    timers_waiting_to_be_written,
    until_it_listens_no_more,
    writes_held_back,
)

URL = "https://example.com/hook"
CREATE = {"delay": 3600, "url": URL}
HEAD = b"POST /timers HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def exchange(api: Api, request: bytes) -> bytes:
    """The bytes that come back for bytes that a well-behaved client would not send."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server: EmbeddedServer) -> AsyncIterator[Api]:
    """A process for tests that leave it as it was."""
    async with System(server, server.url) as system:
        yield await system.start_api()


async def test_a_timers_life_over_sockets(system: System) -> None:
    api = await system.start_api()
    made = await api.client.post("/timers", json=CREATE)
    assert made.status_code == 201
    path = made.headers["location"]
    assert (await api.client.get(path)).json()["status"] == "scheduled"
    assert (await api.client.delete(path)).json()["status"] == "cancelled"
    assert (await api.client.get("/docs")).status_code == 200
    assert (await api.client.get("/openapi.json")).json()["info"]["title"] == "Timer System"
    assert await api.service.terminate() == 0
    log = api.service.log_text()
    assert path not in log
    assert "Traceback" not in log


@pytest.mark.asyncio(loop_scope="module")
async def test_many_clients_at_once_are_all_answered(api: Api) -> None:
    ids = await api.create_many(200, connections=64, **CREATE)
    assert len(set(ids)) == 200


async def test_creates_under_way_are_answered_before_a_stop(system: System, database_url: str) -> None:
    api = await system.start_api()
    async with writes_held_back(database_url):
        creates = [asyncio.create_task(api.client.post("/timers", json=CREATE)) for _ in range(20)]
        await timers_waiting_to_be_written(database_url)
        api.service.send(signal.SIGTERM)
        await until_it_listens_no_more(api)
    answers = await asyncio.gather(*creates)
    assert [answer.status_code for answer in answers] == [201] * 20
    assert await ended(api.service) == 0
    again = await system.start_api()
    for answer in answers:
        assert (await again.client.get(answer.headers["location"])).status_code == 200


async def test_past_the_bound_of_the_line_creates_are_told_to_come_again(
    system: System, database_url: str
) -> None:
    api = await system.start_api(api_queue_timers=5)
    limits = httpx.Limits(max_connections=60)
    async with httpx.AsyncClient(base_url=api.url, timeout=30, limits=limits, trust_env=False) as client:
        async with writes_held_back(database_url):
            creates = [asyncio.create_task(client.post("/timers", json=CREATE)) for _ in range(60)]
            await asyncio.wait(creates, return_when=asyncio.FIRST_COMPLETED)
        answers = await asyncio.gather(*creates)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {201, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert all(answer.json()["type"] == "urn:timer-system:problem:busy" for answer in refused)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_that_is_announced_as_huge_is_refused_unread(api: Api) -> None:
    answer = await exchange(api, HEAD % 10_000_000_000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


@pytest.mark.asyncio(loop_scope="module")
async def test_a_client_that_sends_somewhat_too_much_hears_why(api: Api) -> None:
    answer = await api.client.post(
        "/timers", content=b" " * 3_000_000, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.asyncio(loop_scope="module")
async def test_a_large_answer_arrives_whole(api: Api) -> None:
    meta = "x" * 1_000_000
    made = await api.create(**CREATE, meta=meta)
    assert (await api.get(made["id"]))["meta"] == meta


@pytest.mark.asyncio(loop_scope="module")
async def test_pipelined_calls_are_answered_in_their_order(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    calls = [
        b"GET /health/live HTTP/1.1\r\nHost: t\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: t\r\nConnection: close\r\n",
    ]
    writer.write(b"".join(call + b"\r\n" for call in calls))
    async with asyncio.timeout(10):
        answers = await reader.read()
    writer.close()
    assert answers.index(b"HTTP/1.1 200") < answers.index(b"HTTP/1.1 404")


@pytest.mark.asyncio(loop_scope="module")
async def test_clients_that_leave_in_the_middle_harm_nobody(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    body = json.dumps(CREATE).encode()
    head = HEAD % len(body)
    for sent in (head + body[:10], head + body):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert await api.create(**CREATE)
    assert "Traceback" not in api.service.log_text()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /timers/\xff\xfe HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /timers/%ff%fe HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /timers?name=%ff HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /timers?limit=1&limit=%00 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /timers HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /timers HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /timers HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_odd_requests_are_the_clients_fault(api: Api, request_bytes: bytes) -> None:
    status = int((await exchange(api, request_bytes)).split()[1])
    assert 200 <= status < 500
    assert "Traceback" not in api.service.log_text()


async def test_every_wrong_setting_is_told_at_once_and_no_password(system: System) -> None:
    service = await system.start(
        "timer_api",
        {
            "DB_URL": "postgres://timer:secret@db/timer",
            "API_PORT": "http",
            "API_QUEUE_TIMERS": 0,
            "LOG_LEVEL": "loud",
        },
    )
    assert await ended(service) == 2
    lines = service.log_text().splitlines()
    for name in ("TIMER_DB_URL", "TIMER_API_PORT", "TIMER_API_QUEUE_TIMERS", "TIMER_LOG_LEVEL"):
        assert len([line for line in lines if name in line]) == 1
    assert len(lines) == 4
    assert "secret" not in service.log_text()


async def test_a_port_in_use_ends_the_process_with_one_line(system: System) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        service = await system.start("timer_api", {"API_PORT": taken.getsockname()[1]})
        assert await ended(service) != 0
    assert "Address already in use" in service.log_text()
    assert "Traceback" not in service.log_text()


async def test_a_schema_of_another_version_ends_the_process(system: System, database_url: str) -> None:
    with connection_to(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        (version,) = cursor.fetchone() or ("",)
        cursor.execute("UPDATE alembic_version SET version_num = '0000'")
        try:
            service = await system.start("timer_api", {"API_PORT": 0})
            assert await ended(service) == 1
        finally:
            cursor.execute("UPDATE alembic_version SET version_num = %s", (version,))
    assert "timer_api: the database's schema is 0000" in service.log_text()
    assert "Traceback" not in service.log_text()

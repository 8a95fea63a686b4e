"""The database away: at the start, later, and in the middle of creates."""

from __future__ import annotations

import asyncio

import httpx

from tests.system import Api, System

CREATE = {"delay": 3600, "url": "https://example.com/hook"}
ANY_ID = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"


def assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:timer-system:problem:database-unavailable"
    assert int(answer.headers["retry-after"]) >= 1


async def test_without_a_database_it_answers_and_says_so_until_one_is_there(system: System) -> None:
    await asyncio.to_thread(system.server.stop)
    api = await system.start_api(ready=503, db_connect_wait_seconds=0.05, db_connect_wait_max_seconds=0.2)
    assert (await api.client.get("/health/live")).status_code == 200
    not_ready = await api.client.get("/health/ready")
    assert_unavailable(not_ready)
    assert not_ready.json()["detail"]
    assert_unavailable(await api.client.post("/timers", json=CREATE))
    assert_unavailable(await api.client.get("/timers"))
    for path in (f"/timers/{ANY_ID}", f"/timers/{ANY_ID}/attempts"):
        assert_unavailable(await api.client.get(path))
    assert_unavailable(await api.client.delete(f"/timers/{ANY_ID}"))
    await asyncio.to_thread(system.server.start)
    await api.wait_until(200)
    assert await api.create(**CREATE)


async def test_when_the_tries_are_used_up_the_process_ends_with_one_line(system: System) -> None:
    await asyncio.to_thread(system.server.stop)
    service = await system.start(
        "timer_api", {"API_PORT": 0, "DB_CONNECT_ATTEMPTS": 2, "DB_CONNECT_WAIT_SECONDS": 0.01}
    )
    assert service.process
    async with asyncio.timeout(30):
        assert await service.process.wait() == 1
    said = [line for line in service.log_text().splitlines() if line.startswith("timer_api: ")]
    assert len(said) == 1
    assert "database" in said[0]
    assert "Traceback" not in service.log_text()


async def test_an_orderly_restart_of_the_database_is_survived(system: System) -> None:
    api = await system.start_api()
    await asyncio.gather(*[api.create(**CREATE) for _ in range(20)])
    await asyncio.to_thread(system.server.restart)
    await api.wait_until(200)
    # Every pooled connection is stale by now; no client may notice.
    assert len({(await api.create(**CREATE))["id"] for _ in range(20)}) == 20


async def test_what_was_answered_2xx_is_there_after_the_database_was_killed(system: System) -> None:
    api = await system.start_api()
    stop = asyncio.Event()
    workers = [asyncio.create_task(create_until(stop, api)) for _ in range(16)]
    await asyncio.gather(*[api.create(**CREATE) for _ in range(50)])
    await asyncio.to_thread(system.server.kill)
    await api.wait_until(503)
    # A fault of the client is told as one, also while the database is away.
    assert (await api.client.post("/timers", json={**CREATE, "delay": -1})).status_code == 422
    await asyncio.to_thread(system.server.start)
    await api.wait_until(200)
    stop.set()
    answers = [answer for answers in await asyncio.gather(*workers) for answer in answers]
    made = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert made
    assert refused
    for answer in refused:
        assert_unavailable(answer)
    for answer in made:
        assert (await api.client.get(answer.headers["location"])).status_code == 200


async def create_until(stop: asyncio.Event, api: Api) -> list[httpx.Response]:
    answers = []
    while not stop.is_set():
        answers.append(await api.client.post("/timers", json=CREATE))
    return answers

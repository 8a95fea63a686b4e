"""Receivers with `timer_client.receive` that are called by the running system, and the examples among them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.client.conftest import SECRET
from tests.client.processes import running, wait_until_it_listens
from tests.system import System, free_port
from timer_client import AsyncClient
from timer_controller.signing import Signer

pytestmark = pytest.mark.asyncio(loop_scope="package")

EXAMPLES = Path(__file__).parents[2] / "examples"
CRASHING = str(Path(__file__).with_name("crashing_receiver.py"))
SERVERS = {
    "fastapi": ["-m", "uvicorn", "fastapi_receiver:app", "--app-dir", str(EXAMPLES), "--port"],
    "flask": ["-m", "flask", "--app", str(EXAMPLES / "flask_receiver.py"), "run", "--port"],
}


def rows(database_url: str, statement: str) -> list[Any]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        found = list(connection.execute(text(statement)).scalars())
    engine.dispose()
    return found


@pytest.mark.parametrize("name", SERVERS)
async def test_an_example_does_the_work_once(name: str, system: System, tmp_path: Path) -> None:
    port = free_port()
    url, database_url = f"http://127.0.0.1:{port}/reminders", f"sqlite:///{tmp_path}/receiver.db"
    environment = {"TIMER_SECRETS": SECRET, "DATABASE_URL": database_url}
    async with (
        running(*SERVERS[name], str(port), environment=environment) as process,
        AsyncClient(system.apis[0].url) as timers,
        httpx.AsyncClient(trust_env=False) as stranger,
    ):
        await wait_until_it_listens(process, port)
        timer = await timers.timers.create(due=0, url=url, meta={"text": "call Zoë"})
        await system.apis[0].wait_for_status_of(timer.id, "delivered")
        body = json.dumps({"meta": {"text": "call Zoë"}}).encode()
        now = int(time.time())
        signature = Signer([b64decode(SECRET.removeprefix("whsec_"))]).signatures(timer.id, now, body)
        repeat = {"webhook-id": timer.id, "webhook-timestamp": str(now), "webhook-signature": signature}
        assert (await stranger.post(f"{url}/{timer.id}", content=body, headers=repeat)).status_code == 204
        assert (await stranger.post(f"{url}/{timer.id}", content=body + b" ", headers=repeat)).status_code == 401
    assert rows(database_url, "SELECT text FROM reminders") == ["call Zoë"]


async def test_a_repeat_after_a_crash_is_dropped_if_and_only_if_the_work_was_committed(
    system: System, tmp_path: Path
) -> None:
    async def work_done(dies: str) -> list[int]:
        database_url = f"sqlite:///{tmp_path}/{dies}.db"
        # Between the first receiver and the second, calls wait here.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            command = [CRASHING, str(listening.fileno()), SECRET, database_url]
            async with AsyncClient(system.apis[0].url) as client:
                timer = await client.timers.create(
                    due=0,
                    url=f"http://127.0.0.1:{listening.getsockname()[1]}",
                    meta=dies,
                    retry={"initial_seconds": 0.1},
                    timeout_seconds=60,
                )
                async with running(*command, pass_fds=[listening.fileno()]) as first:
                    await first.wait()
                async with running(*command, pass_fds=[listening.fileno()]):
                    await system.apis[0].wait_for_status_of(timer.id, "delivered", timeout_seconds=60)
                attempts = await client.timers.attempts(timer.id)
        assert [attempt.outcome for attempt in attempts] == ["unknown", "delivered"]
        return rows(database_url, "SELECT attempt FROM work")

    before, after = await asyncio.gather(work_done("before"), work_done("after"))
    assert (before, after) == ([2], [1])

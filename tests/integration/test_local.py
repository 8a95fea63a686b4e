"""`make run`: ready in one command, mends itself, stops in order, goes on with its data."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from tests.receiver import Receiver
from tests.system import free_port, poll
from timer_db.embedded import EngineKind


class Local:
    """`python -m timer_local` on a folder of its own."""

    def __init__(self, engine_kind: EngineKind, folder: Path) -> None:
        self.port = free_port()
        self.settings = {
            "TIMER_API_PORT": str(self.port),
            "TIMER_DATA_DIR": str(folder),
            "TIMER_EMBEDDED_ENGINE": engine_kind.value,
            "TIMER_CONTROLLERS": "2",
        }
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)
        self.process: Process | None = None

    async def start(self) -> None:
        """Return at the ready line."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIMER_")}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "timer_local", env={**environment, **self.settings}, stdout=PIPE
        )  # fmt: skip
        assert self.process.stdout
        async with asyncio.timeout(60):
            line = await self.process.stdout.readline()
        assert line.decode() == f"ready: http://127.0.0.1:{self.port}/docs\n"

    async def interrupt(self) -> int:
        """Ctrl-C; gives the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def create(self, **fields: Any) -> str:
        """As a patient client does: a 503 is tried again."""
        answer = await self.client.post("/timers", json=fields)

        async def is_made() -> bool:
            nonlocal answer
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                answer = await self.client.post("/timers", json=fields)
            return answer.status_code == httpx.codes.CREATED

        await poll(is_made, 30, "the timer to be made")
        return str(answer.json()["id"])

    def children(self) -> dict[int, str]:
        """The processes that belong to it: pid and command line."""
        assert self.process
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
                command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if int(fields[1]) == self.process.pid and fields[0] != "Z":
                found[int(stat.parent.name)] = command
        return found

    def pids_of(self, word: str) -> set[int]:
        """Those whose command line has the word."""
        return {pid for pid, command in self.children().items() if word in command}


@pytest_asyncio.fixture
async def local(engine_kind: EngineKind, tmp_path: Path) -> AsyncIterator[Local]:
    made = Local(engine_kind, tmp_path)
    yield made
    await made.client.aclose()
    if made.process and made.process.returncode is None:
        made.process.kill()
        await made.process.wait()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


async def test_a_part_that_dies_is_started_again(local: Local, receiver: Receiver) -> None:
    await local.start()
    for word in ("timer_api", "timer_controller", f"{local.settings['TIMER_DATA_DIR']}/db"):
        victims = local.pids_of(word)
        assert victims, f"{word} is not in {local.children()}"
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

        async def is_back(word: str = word, dead: frozenset[int] = frozenset(victims)) -> bool:
            return len(local.pids_of(word) - dead) == len(dead) and await answers(local)

        await poll(is_back, 60, f"{word} to be back")
    timer_id = await local.create(seconds=0, url=receiver.url)
    await receiver.wait_for_ids(1)
    assert receiver.counts() == {timer_id: 1}
    assert await local.interrupt() == 0
    assert local.children() == {}


async def test_it_goes_on_with_its_data(local: Local, receiver: Receiver) -> None:
    await local.start()
    timer_id = await local.create(seconds=2, url=receiver.url)
    assert await local.interrupt() == 0
    assert not receiver.arrivals
    await local.start()
    await receiver.wait_for_ids(1)
    assert receiver.counts() == {timer_id: 1}

    async def is_written() -> bool:
        return bool((await local.client.get(f"/timers/{timer_id}")).json()["status"] == "delivered")

    await poll(is_written, 30, "the outcome to be written")
    # Killed as by kill -9, it leaves nobody behind who keeps the port or the data.
    assert local.process
    local.process.kill()
    await local.process.wait()
    await local.start()
    shown = (await local.client.get(f"/timers/{timer_id}")).json()
    assert shown["status"] == "delivered"
    assert await local.interrupt() == 0


async def test_a_port_that_is_taken_is_said_and_everything_stops(local: Local) -> None:
    other = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", local.port)
    async with other:
        local.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "timer_local", env={**os.environ, **local.settings}, stderr=PIPE
        )  # fmt: skip
        async with asyncio.timeout(60):
            _, told = await local.process.communicate()
    assert local.process.returncode == 1
    assert f"127.0.0.1:{local.port} is taken" in told.decode().splitlines()[-1]


async def answers(local: Local) -> bool:
    """Whether the API is ready."""
    try:
        return (await local.client.get("/health/ready")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False

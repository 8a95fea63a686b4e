"""The services as real processes, to be started, stopped and killed by tests."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx

from tests.receiver import Receiver
from timer_db.embedded import EmbeddedServer
from timer_db.embedded.process import LEASH

_SYSTEMS_OWN_PORT_MIN = 32_768
"""Those below are left for who names one (ip_local_port_range on Linux)."""
_PORTS = iter(range(random.randrange(10_000, 30_000), _SYSTEMS_OWN_PORT_MIN))
"""Runs beside this one begin elsewhere."""


class Service:
    """One process of ours; what it logs is kept in a file. It can be started again when it has ended."""

    def __init__(self, module: str, environment: dict[str, str], log: Path, port: int = 0) -> None:
        self.module, self.environment, self.log = module, environment, log
        self.url = f"http://127.0.0.1:{port}"
        """Where it tells whether it is ready, unless the port is 0."""
        self.process: Process | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self, **extra: str) -> None:
        """`extra` is added to its environment this time."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *leashed("-m", self.module),
                env={**os.environ, **self.environment, **extra}, stdout=output, stderr=output,
            )  # fmt: skip

    async def wait_until(self, status: int) -> None:
        """Until /health/ready answers with this status."""
        await wait_for_status(f"{self.url}/health/ready", status, self)

    def send(self, number: signal.Signals) -> None:
        """A signal, such as SIGSTOP."""
        assert self.process
        self.process.send_signal(number)

    async def terminate(self, timeout_seconds: float = 40) -> int:
        """Stop it in order; gives its exit code."""
        assert self.process
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(timeout_seconds):
            return await self.process.wait()

    async def kill(self) -> None:
        """As kill -9 does."""
        assert self.process
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def log_text(self) -> str:
        """What it logged."""
        return self.log.read_text()


def leashed(*arguments: str) -> list[str]:
    """The command line of a Python program that ends when this process does, however that ends."""
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), sys.executable, *arguments]


class Services:
    """Processes of ours on a database server. Everything is killed at the end, and the server runs again."""

    def __init__(self, server: EmbeddedServer, database_url: str) -> None:
        self.server = server
        self.services: list[Service] = []
        self._folder = TemporaryDirectory()
        self._database_url = database_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in self.services:
            if service.process:
                await service.kill()
        self._folder.cleanup()
        if not self.server.is_running:
            await asyncio.to_thread(self.server.start)

    async def start_controller(self, ready: int = httpx.codes.OK, **settings: Any) -> Service:
        """A controller process whose readiness answers `ready`; settings without their TIMER_."""
        port = free_port()
        service = await self.start("timer_controller", {"CONTROLLER_PORT": port, **settings}, port)
        await service.wait_until(ready)
        return service

    async def start(self, module: str, settings: dict[str, Any], port: int = 0) -> Service:
        """A process of this module; settings without their TIMER_. `port` is where it tells how it is."""
        environment = {f"TIMER_{name.upper()}": str(value) for name, value in settings.items()}
        environment.setdefault("TIMER_DB_URL", self._database_url)
        environment.setdefault("TIMER_EGRESS_ALLOW", "127.0.0.0/8")
        environment.setdefault("TIMER_LOG_FORMAT", "text")
        log = Path(self._folder.name) / f"{module}-{len(self.services)}.log"
        service = Service(module, environment, log, port)
        self.services.append(service)
        await service.start()
        return service


class System(Services):
    """An API, controllers, a receiver and the database server."""

    def __init__(self, server: EmbeddedServer, database_url: str) -> None:
        super().__init__(server, database_url)
        self.receiver = Receiver()
        self.apis: list[Api] = []

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for api in self.apis:
            await api.client.aclose()
        await super().__aexit__()
        await self.receiver.__aexit__()

    async def start_api(self, ready: int = httpx.codes.OK, **settings: Any) -> Api:
        """An API process whose readiness answers `ready`; settings without their TIMER_."""
        port = free_port()
        service = await self.start("timer_api", {"API_PORT": port, **settings}, port)
        api = Api(service)
        self.apis.append(api)
        await api.wait_until(ready)
        return api


class Api:
    """One API process and a client for it."""

    def __init__(self, service: Service) -> None:
        self.service, self.url = service, service.url
        self.client = httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)

    async def create(self, **fields: Any) -> dict[str, Any]:
        """POST /timers; anything but 201 fails the test."""
        answer = await self.client.post("/timers", json=fields)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def create_many(self, count: int, connections: int = 16, **fields: Any) -> list[str]:
        """So many timers with the same fields; gives their ids."""
        gate = asyncio.Semaphore(connections)

        async def one() -> str:
            async with gate:
                return str((await self.create(**fields))["id"])

        return list(await asyncio.gather(*(one() for _ in range(count))))

    async def get(self, timer_id: str) -> dict[str, Any]:
        """GET /timers/{id}"""
        answer = await self.client.get(f"/timers/{timer_id}")
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def wait_for_status_of(
        self, timer_id: str, *statuses: str, timeout_seconds: float = 30
    ) -> dict[str, Any]:
        """Until the timer has one of these states; gives the timer."""
        found: dict[str, Any] = {}

        async def look() -> bool:
            nonlocal found
            found = await self.get(timer_id)
            return found["status"] in statuses

        await poll(look, timeout_seconds, f"timer {timer_id} to be {' or '.join(statuses)}")
        return found

    async def wait_until(self, status: int) -> None:
        """Until /health/ready answers with this status."""
        await self.service.wait_until(status)


async def wait_for_status(url: str, status: int, service: Service, timeout_seconds: float = 30) -> None:
    """Until the address answers with this status; a process that has ended fails the test with its log."""
    async with httpx.AsyncClient(trust_env=False) as client:

        async def look() -> bool:
            assert service.process
            assert service.process.returncode is None, f"it ended:\n{service.log_text()}"
            try:
                return (await client.get(url)).status_code == status
            except httpx.TransportError:
                return False

        await poll(look, timeout_seconds, f"{url} to answer {status}")


async def wait_for_log(service: Service, words: str) -> None:
    """Until the process has logged this."""

    async def look() -> bool:
        return words in service.log_text()

    await poll(look, 30, f"{words!r} in the log of {service.module}")


async def poll(look: Callable[[], Awaitable[bool]], timeout_seconds: float, what: str) -> None:
    """Until `look` is true: for what has no signal of its own."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await look():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {timeout_seconds} s for {what}") from None


def free_port() -> int:
    """A port that nobody uses at the moment. The system gives it to nobody who asks for any port."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is in use")

"""Parts that are started again when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from collections.abc import Mapping

from timer_db.embedded import EmbeddedServer
from timer_db.embedded.process import LEASH

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
STOP_SECONDS = 60.0


class Part(ABC):
    """Something that runs until it is told to stop; dead, it is started again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._stopping = asyncio.Event()

    async def supervise(self) -> None:
        """Wait for its end; start it again unless it was told to stop. It was started before."""
        while not self._stopping.is_set():
            code = await self.ended()
            if self._stopping.is_set():
                return
            log.error("%s ended with %s; starting it again", self.name, code)
            await asyncio.sleep(AGAIN_SECONDS)
            if not self._stopping.is_set():
                await self.start()

    async def stop(self) -> None:
        """Ask it to end in order, and wait until it has."""
        self._stopping.set()
        await self.end()

    @abstractmethod
    async def start(self) -> None:
        """Start it."""

    @abstractmethod
    async def ended(self) -> int | None:
        """Wait until it is dead; its exit code."""

    @abstractmethod
    async def end(self) -> None:
        """End it in order."""


class Program(Part):
    """A Python module in a process of its own, which also ends when this process dies. Ctrl-C in the terminal
    does not reach it: it is stopped in its turn."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str]) -> None:
        super().__init__(name)
        self._module = module
        self._environment = {**os.environ, **environment}
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), sys.executable, "-m", self._module,
            env=self._environment,
            start_new_session=True,
        )  # fmt: skip

    async def ended(self) -> int | None:
        assert self._process
        return await self._process.wait()

    async def end(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            log.error("%s did not end within %.0f s and is killed", self.name, STOP_SECONDS)
            self._process.kill()
            await self._process.wait()


class Database(Part):
    """The embedded server."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__("the database")
        self._server = server

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def ended(self) -> int | None:
        await asyncio.to_thread(self._server.wait)
        return None

    async def end(self) -> None:
        await asyncio.to_thread(self._server.stop)

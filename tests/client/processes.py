"""Receivers as real processes."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType

from tests.system import leashed, poll


@asynccontextmanager
async def running(
    *arguments: str, pass_fds: Sequence[int] = (), environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Process]:
    """A Python program, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *leashed(*arguments), env={**os.environ, **environment}, pass_fds=pass_fds
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def wait_until_it_listens(process: Process, port: int) -> None:
    """Until somebody takes connections on this port of the machine."""

    async def listens() -> bool:
        assert process.returncode is None, "it has ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    await poll(listens, 60, f"a receiver to listen on port {port}")

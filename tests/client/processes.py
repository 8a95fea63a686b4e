"""Receivers as real processes."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.system import leashed, poll


@asynccontextmanager
async def running(*arguments: str, port: int, **environment: str) -> AsyncIterator[Process]:
    """A Python program that listens on the port, until the end of the block."""
    process = await asyncio.create_subprocess_exec(*leashed(*arguments), env={**os.environ, **environment})

    async def listens() -> bool:
        assert process.returncode is None, f"{arguments} has ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    try:
        await poll(listens, 30, f"{arguments} to listen")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

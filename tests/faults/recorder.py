"""The recording receiver as the suite sees it: starts it, tells it how to behave, reads what it noted."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Self

from tests.faults.http_line import Line
from tests.faults.record import Answer, Arrival
from tests.system import leashed

PORTS = 4


class Recorder:
    """A receiver with several ports, each of which is a receiver of its own to a controller."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "arrivals"
        self._process: Process | None = None
        self._read_bytes = 0
        self.urls: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *leashed("-m", "tests.faults.recorder_process", str(self._file), str(PORTS)), stdout=PIPE
        )  # fmt: skip
        assert self._process.stdout
        self.urls = [f"http://127.0.0.1:{port}" for port in json.loads(await self._process.stdout.readline())]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        await self._process.wait()

    async def behave(self, url: str, answer: Answer | None) -> None:
        """How the receiver at this URL answers from now on; None as it does at first: well."""
        async with Line(url) as line:
            await line.call("PUT", "/behave", {"answer": answer})

    def arrivals(self) -> list[Arrival]:
        """What came since the last time."""
        with self._file.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        self._read_bytes += len(data)
        return [Arrival(*[*fields, Answer(answer)]) for *fields, answer in map(json.loads, data.splitlines())]

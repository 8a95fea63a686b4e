"""Somebody who types what a page says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.docs.pages import ROOT
from tests.system import free_port

API, RECEIVER = 8000, 9000
"""The ports on the pages."""
_PYTHON = Path(sys.executable)
_KEPT = {name: value for name, value in os.environ.items() if not name.startswith("TIMER_")}


class Reader:
    """The ports are others, and programs in `bin_folders` come before those of the machine."""

    def __init__(self, api_url: str = "", receiver_url: str = "", bin_folders: Sequence[Path] = ()) -> None:
        self._ports = {
            shown: int(url.rpartition(":")[2]) if url else free_port()
            for shown, url in ((API, api_url), (RECEIVER, receiver_url))
        }
        path = ":".join(map(str, (*bin_folders, _PYTHON.parent, os.environ["PATH"])))
        self._environment = {**_KEPT, "PATH": path, "no_proxy": "*", "PYTHONUNBUFFERED": "1"}
        self.ids: dict[str, str] = {}
        """The timer of each id on the page."""

    def here(self, text: str) -> str:
        """The page's text with our ports, ids and Python."""
        for port, our_port in self._ports.items():
            text = re.sub(rf'(127\.0\.0\.1"?(?::|, )){port}\b', rf"\g<1>{our_port}", text)
        for shown_id, our_id in self.ids.items():
            text = text.replace(shown_id, our_id)
        return text.replace(".venv/bin/python", str(_PYTHON))

    async def run(self, command: str, *, code: int = 0, folder: Path = ROOT, **variables: str) -> str:
        """What the command prints. One that ends with another code fails the test."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", self.here(command),
            env={**self._environment, **variables}, cwd=folder, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            printed, complaint = await process.communicate()
        assert process.returncode == code, complaint.decode()
        return printed.decode()

    @asynccontextmanager
    async def running(
        self, command: str, log: Path, *, folder: Path = ROOT, **variables: str
    ) -> AsyncIterator[None]:
        """The command in another terminal, until Ctrl-C; `log` takes what it prints."""
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", self.here(command), env={**self._environment, **variables}, cwd=folder,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            await process.wait()

"""timerctl as people run it: real processes, against the real services; one engine is enough."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import empty
from tests.one_engine import keep_one_engine
from tests.system import System
from timer_db.embedded import EmbeddedServer

TIMERCTL = Path(sys.executable).with_name("timerctl")
_OURS = ("TIMER_URL", "TIMER_API_KEY", "TIMERCTL_PROFILE")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Without settings of whoever runs the tests, and with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {
        **kept,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "NO_PROXY": "127.0.0.1",
        **more,
    }


Run = Callable[..., Coroutine[Any, Any, Ran]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_one_engine(config, items, Path(__file__).parent)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def system(server: EmbeddedServer) -> AsyncIterator[System]:
    """An API, a controller and a receiver for the whole folder. The database fills up."""
    # Whoever had this server before may have left a key, and then every call needs one.
    empty(server.url)
    async with System(server, server.url) as made:
        await made.start_api()
        await made.start_controller(poll_seconds=0.1)
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Ran]:
    """Runs timerctl where no service is needed."""

    def run(*arguments: str, given: str = "", **more: str) -> Ran:
        done = subprocess.run(
            [TIMERCTL, *arguments], input=given, env=environment(tmp_path, **more), text=True,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def ctl(system: System, tmp_path: Path) -> Run:
    """Runs timerctl against the services; the receiver goes on meanwhile."""

    async def run(*arguments: str, given: str = "", **more: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            TIMERCTL, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(tmp_path, **{"TIMER_URL": system.apis[0].url, **more}),
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(given.encode()), 60)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    return run

"""A service whose port is in use ends with a line that says so, and has changed nothing."""

from __future__ import annotations

import socket

import pytest

from tests.db import scratch
from tests.system import System, free_port


@pytest.mark.parametrize("module", ["timer_api", "timer_controller"])
async def test_it_ends_before_it_begins(system: System, database_url: str, module: str) -> None:
    port = free_port()
    [[joined_before]] = scratch.run(database_url, "SELECT COUNT(*) FROM controllers")
    with socket.create_server(("127.0.0.1", port)):
        service = await system.start(module, {f"{module.removeprefix('timer_')}_port": port})
        assert service.process
        assert await service.process.wait() == 1
    name = f"{module}_port".upper()
    assert service.log_text() == (
        f"setting {name}: nothing can listen at 127.0.0.1 port {port}: Address already in use\n"
    )
    assert scratch.run(database_url, "SELECT COUNT(*) FROM controllers") == [(joined_before,)]

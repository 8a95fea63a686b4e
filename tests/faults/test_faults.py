"""Every fault once, with few timers and a short lease; `make faults` plays them at length on both engines."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import empty
from tests.faults.catalogue import FAULTS
from tests.faults.play import play
from tests.faults.scene import SHORT, Fault
from tests.faults.stage import Stage
from timer_db.embedded import EmbeddedServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEASE_SECONDS = 2.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(server: EmbeddedServer) -> AsyncIterator[Stage]:
    """One for all faults, each of which leaves it as it was."""
    empty(server.url)
    async with Stage(server, lease_seconds=LEASE_SECONDS, through_proxy=True) as made:
        yield made


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.in_short], ids=lambda fault: fault.name)
async def test_the_promises_hold(stage: Stage, fault: Fault) -> None:
    if reason := fault.impossible():
        pytest.skip(reason)
    seed = os.environ.get("FAULTS_SEED") or "short"
    result = await play(fault, stage, SHORT, seed)
    assert not result.broken, f"FAULTS_SEED={seed}: {result.broken[:20]}"
    assert result.verdict.called > 0

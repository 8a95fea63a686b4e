"""Calls in flight: what was made is told, whatever else goes wrong."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.makers import DUE_US, make_claim
from tests.unit.receivers import Rig
from tests.unit.virtual_time import in_virtual_time
from timer_controller.delivery import _READ_AT_ONCE
from timer_db.domain.claim import Claim
from timer_db.domain.states import Outcome


@in_virtual_time
async def test_a_fault_in_starting_the_next_call_loses_no_outcome() -> None:
    rig = Rig()
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context["exception"])))

    def fail(*_: object) -> None:
        raise RuntimeError("the next one")

    rig.delivery._on_left = fail
    [claim] = rig.put(1)
    await rig.pass_seconds(1)
    assert [(f.entry, f.outcome) for f in rig.finished] == [(claim.entry, Outcome.delivered)]
    assert faults == ["the next one"]
    assert rig.delivery.in_flight == 0


@pytest.mark.parametrize("count", [1, 50])
def test_few_large_timers_are_read_at_one_time(count: int) -> None:
    @in_virtual_time
    async def work() -> None:
        rig = Rig(limit=1000)
        reading, most = 0, 0

        async def load_whole(claim: Claim) -> Claim:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0.1)
            reading -= 1
            claim.is_large = False
            return claim

        rig.delivery._load_whole = load_whole
        claims = [make_claim(DUE_US + n) for n in range(count)]
        for claim in claims:
            claim.is_large = True
        rig.dispatcher.put(claims)
        await rig.until_idle()
        assert len(rig.finished) == count
        assert most == min(count, _READ_AT_ONCE)

    work()

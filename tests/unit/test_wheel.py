"""The wheel tells of each claim at its time, and never early."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tests.unit import virtual_time
from tests.unit.makers import DUE_US, make_claim
from timer_controller.wheel import Wheel
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim

MS_US = 1000
LATEST_US = 2 * MS_US
"""A wait is rounded up to the loop's tick, and the clock may run 200 millionths slow."""


@dataclass
class Rig:
    """A wheel in virtual time. The database's time is surely `DUE_US` when it is built."""

    started: list[tuple[int, Claim]] = field(default_factory=list)
    """What became due, with the database's time."""

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = DatabaseClock(loop.time)
        self.clock.learn(DUE_US, loop.time(), loop.time())
        self.began_at = loop.time()
        self.wheel = Wheel(self.clock, self._note)

    def _note(self, claims: list[Claim]) -> None:
        # The server's own time, when its clock runs like ours.
        now_us = DUE_US + round((asyncio.get_running_loop().time() - self.began_at) * 1_000_000)
        self.started += [(now_us, claim) for claim in claims]

    @property
    def order(self) -> list[Claim]:
        return [claim for _, claim in self.started]


@given(st.lists(st.tuples(st.integers(-5_000_000, 5_000_000), st.integers(0, 2)), min_size=1, max_size=20))
def test_each_starts_at_its_time_and_never_early(asked: list[tuple[int, int]]) -> None:
    claims = [make_claim(DUE_US + offset_us, priority=priority) for offset_us, priority in asked]

    async def main() -> None:
        rig = Rig()
        rig.wheel.put(claims)
        await asyncio.sleep(6)
        assert sorted(c.entry for c in rig.order) == sorted(c.entry for c in claims)
        for at_us, claim in rig.started:
            assert at_us >= claim.entry.at_us
            assert at_us <= max(claim.entry.at_us, DUE_US) + LATEST_US

    virtual_time.run(main())


def test_a_sooner_one_brings_the_alarm_forward() -> None:
    async def main() -> None:
        rig = Rig()
        rig.wheel.put([make_claim(DUE_US + 60_000_000)])
        rig.wheel.put([make_claim(DUE_US + 50_000)])
        await asyncio.sleep(1)
        [(at_us, _)] = rig.started
        assert DUE_US + 50_000 <= at_us <= DUE_US + 50_000 + LATEST_US

    virtual_time.run(main())


def test_a_server_clock_that_is_set_back_delays_the_start() -> None:
    async def main() -> None:
        rig = Rig()
        loop = asyncio.get_running_loop()
        rig.wheel.put([make_claim(DUE_US + 1_000_000)])
        await asyncio.sleep(0.5)
        rig.clock.learn(DUE_US - 10_000_000, loop.time(), loop.time())
        await asyncio.sleep(5)
        assert rig.started == [], "by the server's clock there are six seconds left"
        await asyncio.sleep(6.1)
        assert len(rig.started) == 1

    virtual_time.run(main())


def test_a_server_clock_that_is_set_forward_is_noticed_when_it_is_learned() -> None:
    async def main() -> None:
        rig = Rig()
        loop = asyncio.get_running_loop()
        rig.wheel.put([make_claim(DUE_US + 60_000_000)])
        rig.clock.learn(DUE_US + 61_000_000, loop.time(), loop.time())
        rig.wheel.turn()
        assert len(rig.started) == 1

    virtual_time.run(main())


def test_emptied_it_starts_nothing_and_gives_everything() -> None:
    async def main() -> None:
        rig = Rig()
        claims = [make_claim(DUE_US + 1_000_000), make_claim(DUE_US + 2_000_000)]
        rig.wheel.put(claims)
        assert sorted(c.entry for c in rig.wheel.empty()) == sorted(c.entry for c in claims)
        assert rig.wheel.empty() == []
        await asyncio.sleep(5)
        rig.wheel.turn()
        assert rig.started == []

    virtual_time.run(main())

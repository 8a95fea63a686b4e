"""The wheel starts each claim at its time: never early, in order, and only as far as there is room."""

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

    room: int = 1_000_000
    started: list[tuple[int, Claim]] = field(default_factory=list)
    """With the database's time of each start."""

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = DatabaseClock(loop.time)
        self.clock.learn(DUE_US, loop.time(), loop.time())
        self.began_at = loop.time()
        self.wheel = Wheel(self.clock, self._start, lambda: self.room)

    def _start(self, claim: Claim) -> None:
        self.room -= 1
        # The server's own time, when its clock runs like ours.
        now_us = DUE_US + round((asyncio.get_running_loop().time() - self.began_at) * 1_000_000)
        self.started.append((now_us, claim))

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


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=20))
def test_what_is_due_starts_by_priority_then_age(asked: list[tuple[int, int]]) -> None:
    claims = [make_claim(DUE_US - ago_us, priority=priority) for ago_us, priority in asked]

    async def main() -> None:
        rig = Rig()
        rig.wheel.put(claims)
        wanted = sorted(claims, key=lambda c: (-c.timer.priority, c.entry.at_us, c.timer.id.bytes))
        assert rig.order == wanted

    virtual_time.run(main())


@given(st.integers(1, 20), st.lists(st.integers(0, 5), max_size=10))
def test_room_is_respected(count: int, rooms: list[int]) -> None:
    claims = [make_claim(DUE_US - n, priority=n % 3) for n in range(count)]

    async def main() -> None:
        rig = Rig(room=0)
        rig.wheel.put(claims)
        assert rig.started == []
        for room in rooms:
            before, rig.room = len(rig.started), room
            rig.wheel.turn()
            assert len(rig.started) == min(before + room, count)
        wanted = sorted(claims, key=lambda c: c.entry)
        assert rig.order == wanted[: len(rig.started)]

    virtual_time.run(main())


def test_a_late_comer_of_higher_priority_goes_first() -> None:
    async def main() -> None:
        rig = Rig(room=0)
        low = [make_claim(DUE_US - 10 - n) for n in range(3)]
        high = make_claim(DUE_US - 1, priority=9)
        rig.wheel.put(low)
        rig.wheel.put([high])
        rig.room = 2
        rig.wheel.turn()
        assert rig.order == [high, low[2]]

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


def test_emptied_it_starts_nothing_and_gives_everything() -> None:
    async def main() -> None:
        rig = Rig(room=0)
        claims = [make_claim(DUE_US - 1), make_claim(DUE_US + 1_000_000), make_claim(DUE_US + 2_000_000)]
        rig.wheel.put(claims)
        assert sorted(c.entry for c in rig.wheel.empty()) == sorted(c.entry for c in claims)
        assert rig.wheel.empty() == []
        rig.room = 10
        await asyncio.sleep(5)
        rig.wheel.turn()
        assert rig.started == []

    virtual_time.run(main())

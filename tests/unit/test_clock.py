"""Bounds on the server's time: they never lie, whatever the network and the quartz do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_db.clock import DatabaseClock

# Of each reading, the server cuts off what is less than a microsecond, and so do sums of floats.
ROUNDING_US = 3
START_US = 1_800_000_000_000_000


@dataclass
class World:
    """A server whose clock runs `per_million` faster than ours, and our clock, at `now` seconds."""

    per_million: float = 0.0
    now: float = 1000.0
    server_us: float = field(default=float(START_US))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.server_us += seconds * (1_000_000 + self.per_million)

    def look(self, clock: DatabaseClock, out_seconds: float, back_seconds: float) -> None:
        asked_at = self.now
        self.pass_time(out_seconds)
        said_us = int(self.server_us)
        self.pass_time(back_seconds)
        clock.learn(said_us, asked_at, self.now)


LATENCIES = st.floats(0, 0.4)
STEPS = st.lists(st.tuples(st.floats(0, 120), LATENCIES, LATENCIES), min_size=1, max_size=12)
DRIFTS = st.floats(-199, 199)


@given(DRIFTS, STEPS, st.floats(0, 3600))
def test_bounds_never_lie(per_million: float, steps: list[tuple[float, float, float]], after: float) -> None:
    world = World(per_million)
    clock = DatabaseClock(lambda: world.now)
    for pause, out, back in steps:
        world.look(clock, out, back)
        assert clock.earliest_us() <= world.server_us + ROUNDING_US
        assert clock.latest_us() >= world.server_us - ROUNDING_US
        world.pass_time(pause)
        assert clock.earliest_us() <= world.server_us + ROUNDING_US
        assert clock.latest_us() >= world.server_us - ROUNDING_US
    world.pass_time(after)
    assert clock.earliest_us() <= world.server_us + ROUNDING_US
    assert clock.latest_us() >= world.server_us - ROUNDING_US


@given(DRIFTS, STEPS)
def test_a_look_is_as_good_as_its_round_trip(per_million: float, steps: list[tuple[float, float, float]]) -> None:
    world = World(per_million)
    clock = DatabaseClock(lambda: world.now)
    for pause, out, back in steps:
        world.pass_time(pause)
        world.look(clock, out, back)
        assert clock.latest_us() - clock.earliest_us() <= (out + back) * 1_000_200 + ROUNDING_US


@given(STEPS, st.floats(-7200, 7200), LATENCIES, LATENCIES)
def test_a_clock_that_was_set_is_believed_at_the_next_look(
    steps: list[tuple[float, float, float]], set_by_seconds: float, out: float, back: float
) -> None:
    """Back or forward. A step that is smaller than a round trip cannot be told from one."""
    world = World()
    clock = DatabaseClock(lambda: world.now)
    for pause, look_out, look_back in steps:
        world.look(clock, look_out, look_back)
        world.pass_time(pause)
    world.server_us += set_by_seconds * 1_000_000

    world.look(clock, out, back)

    unsure_us = (out + back) * 1_000_200 + ROUNDING_US
    assert clock.earliest_us() <= world.server_us + unsure_us
    assert clock.latest_us() >= world.server_us - unsure_us
    assert clock.latest_us() - clock.earliest_us() <= unsure_us
    if abs(set_by_seconds) > 0.4 * 2 + 120 * 0.001:
        assert clock.earliest_us() <= world.server_us + ROUNDING_US
        assert clock.latest_us() >= world.server_us - ROUNDING_US


def test_quick_looks_sharpen_the_bounds_of_a_slow_one() -> None:
    world = World()
    clock = DatabaseClock(lambda: world.now)
    world.look(clock, 0.3, 0.3)
    world.look(clock, 0.001, 0.001)
    narrow = clock.latest_us() - clock.earliest_us()
    world.look(clock, 0.3, 0.3)
    assert narrow <= 2000 + ROUNDING_US
    assert clock.latest_us() - clock.earliest_us() < 3000


def test_a_look_that_is_overtaken_does_no_harm() -> None:
    """Two connections look at once, and the answer to the earlier question is taken in later."""
    world = World()
    clock = DatabaseClock(lambda: world.now)
    earlier_asked, earlier_said = world.now, int(world.server_us)
    world.pass_time(0.2)
    earlier_answered = world.now
    world.pass_time(0.5)
    world.look(clock, 0.001, 0.001)
    clock.learn(earlier_said, earlier_asked, earlier_answered)
    assert clock.earliest_us() <= world.server_us + ROUNDING_US
    assert clock.latest_us() >= world.server_us - ROUNDING_US


def test_before_the_first_look_no_time_is_told() -> None:
    clock = DatabaseClock()
    assert not clock.is_set
    assert clock.age_seconds == float("inf")
    for ask in (clock.earliest_us, clock.latest_us):
        with pytest.raises(RuntimeError, match="not looked at"):
            ask()


def test_the_age_counts_from_the_last_answer() -> None:
    world = World()
    clock = DatabaseClock(lambda: world.now)
    world.look(clock, 1, 1)
    world.pass_time(2.5)
    assert clock.is_set
    assert clock.age_seconds == 2.5

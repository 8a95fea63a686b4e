"""Who fails again and again is not called for a while, and then probed. In virtual time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.unit import virtual_time
from tests.unit.receivers import LIMIT, RULES, Result, Rig, answered, not_allowed, ok, refused, silent
from tests.unit.virtual_time import in_virtual_time
from timer_controller.breaker import BreakerRules
from timer_db.domain.states import Outcome, TimerState


async def _opened(rig: Rig, host: str = "a.test") -> None:
    """After just as many failures as it takes."""
    rig.receivers.answers[host] = lambda: (0.001, refused())
    rig.put(RULES.failures_max, host)
    await rig.until_idle()
    assert not rig.at(host).breaker.is_closed


@pytest.mark.parametrize("failure", [refused, silent, *(lambda s=s: answered(s) for s in (502, 503, 504))])
def test_failures_in_a_row_stop_the_calls(failure: Callable[[], Result]) -> None:
    async def main() -> None:
        rig = Rig(limit=1)
        rig.receivers.answers["a.test"] = lambda: (0.001, failure())
        claims = rig.put(20)
        rig.put(5, "b.test")
        await rig.pass_seconds(0.5)
        assert len(rig.receivers.times("a.test")) == RULES.failures_max
        back = sorted(r.entry for r in rig.returned)
        assert back == [claim.entry for claim in claims[RULES.failures_max :]]
        assert len(rig.receivers.times("b.test")) == 5

    virtual_time.run(main())


@pytest.mark.parametrize("status", [301, 400, 404, 410, 429, 500, 501])
def test_other_answers_do_not(status: int) -> None:
    async def main() -> None:
        rig = Rig()
        rig.receivers.answers["a.test"] = lambda: (0.001, answered(status))
        rig.put(50)
        await rig.until_idle()
        assert len(rig.receivers.calls) == 50

    virtual_time.run(main())


@in_virtual_time
async def test_calls_that_may_not_be_made_fail_as_usual() -> None:
    """They never reach a receiver, so none is in trouble; and their timers are not kept."""
    rig = Rig()
    rig.receivers.answers["a.test"] = lambda: (0.001, not_allowed())
    rig.put(50)
    await rig.until_idle()
    assert len(rig.finished) == 50
    assert {f.outcome for f in rig.finished} == {Outcome.not_sent}
    assert rig.returned == []


@in_virtual_time
async def test_one_call_probes_when_the_time_has_come() -> None:
    rig = Rig()
    await _opened(rig)
    rig.put(3)
    assert len(rig.returned) == 3
    assert rig.deferrer.room_at(rig.at().key) == 0
    await rig.pass_seconds(1.1)
    assert rig.deferrer.room_at(rig.at().key) == 1
    rig.receivers.answers["a.test"] = lambda: (5, ok())
    rig.put(3)
    assert len(rig.receivers.calls) == RULES.failures_max + 1
    assert len(rig.returned) == 5
    assert rig.deferrer.room_at(rig.at().key) == 0
    await rig.until_idle()
    assert rig.at().breaker.is_closed
    assert rig.deferrer.room_at(rig.at().key) >= LIMIT
    assert rig.at().key in rig.room_told


@in_virtual_time
async def test_probes_come_more_and_more_seldom() -> None:
    rig = Rig()
    await _opened(rig)
    for _ in range(1000):
        rig.put(1)
        await rig.pass_seconds(0.1)
    times = rig.receivers.times("a.test")[RULES.failures_max - 1 :]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=0.15)
    assert len(rig.finished) + len(rig.returned) == 1000 + RULES.failures_max


@in_virtual_time
async def test_a_call_in_flight_when_it_opens_just_ends() -> None:
    rig = Rig()
    rig.receivers.answers["a.test"] = lambda: (5, ok())
    rig.put(1)
    await _opened(rig)
    await rig.until_idle()
    assert [f.outcome for f in rig.finished][-1] is Outcome.delivered
    assert not rig.at().breaker.is_closed, "only the probe decides"


@in_virtual_time
async def test_a_probe_that_was_not_made_is_made_by_the_next() -> None:
    rig = Rig()
    await _opened(rig)
    await rig.pass_seconds(1.1)
    rig.receivers.answers["a.test"] = lambda: (0.001, not_allowed())
    rig.put(1)
    await rig.until_idle()
    rig.receivers.answers["a.test"] = lambda: (0.001, ok())
    rig.put(1)
    await rig.until_idle()
    assert rig.at().breaker.is_closed


@in_virtual_time
async def test_when_patience_has_ended_timers_follow_their_retry_policy() -> None:
    rig = Rig(rules=BreakerRules(failures_max=1, cool_down_seconds=1.0, patience_seconds=3.0))
    rig.receivers.answers["a.test"] = lambda: (0.001, refused())
    rig.put(1)
    await rig.until_idle()
    rig.put(1)
    assert len(rig.returned) == 1
    await rig.pass_seconds(3.5)
    assert rig.deferrer.room_at(rig.at().key) > 1
    probe, last, other = [*rig.put(1), *rig.put(1, attempt=5), *rig.put(1)]
    await rig.until_idle()
    assert [r.entry for r in rig.returned][1:] == []
    by_entry = {f.entry: f for f in rig.finished}
    assert by_entry[probe.entry].reason == "connection refused", "one is still tried now and then"
    assert by_entry[last.entry].state is TimerState.failed
    assert by_entry[other.entry].state is TimerState.scheduled
    assert by_entry[other.entry].retry_at_us is not None
    given_up = by_entry[last.entry]
    assert given_up.outcome is Outcome.not_sent
    assert given_up.reason == "not tried: the receiver has failed for 4 s: connection refused"


@in_virtual_time
async def test_what_began_before_it_closed_does_not_open_it_again() -> None:
    rig = Rig(limit=20)
    rig.receivers.answers["a.test"] = lambda: (10, silent())
    rig.put(10)
    await _opened(rig)
    await rig.pass_seconds(1.1)
    rig.receivers.answers["a.test"] = lambda: (0.001, ok())
    rig.put(1)
    await rig.pass_seconds(0.1)
    assert rig.at().breaker.is_closed
    await rig.until_idle()
    assert len([f for f in rig.finished if f.outcome is Outcome.unknown]) == 10
    assert rig.at().breaker.is_closed

"""What is due is started in order, and no receiver takes the places of the others. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import virtual_time
from tests.unit.makers import DUE_US, make_claim
from tests.unit.receivers import LIMIT, RULES, Result, Rig, answered, not_allowed, ok, refused, silent
from tests.unit.virtual_time import in_virtual_time
from timer_controller.breaker import BreakerRules
from timer_db.domain.states import Outcome, TimerState

# Order and room


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=20))
def test_what_is_due_starts_by_priority_then_age(asked: list[tuple[int, int]]) -> None:
    claims = [
        make_claim(DUE_US - ago_us, priority=priority, url=f"https://h{n % 3}.test/")
        for n, (ago_us, priority) in enumerate(asked)
    ]

    async def main() -> None:
        rig = Rig(limit=1000)
        rig.dispatcher.put(claims)
        assert rig.receivers.timers() == [str(c.timer.id) for c in sorted(claims, key=lambda c: c.entry)]

    virtual_time.run(main())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(1, 4),
)
def test_everything_is_called_once_within_all_limits(
    asked: list[tuple[int, int]], calls_max: int, limit: int
) -> None:
    """And at each receiver in order."""

    async def main() -> None:
        rig = Rig(calls_max=calls_max, limit=limit)
        claims = [
            make_claim(DUE_US + n, priority=priority, url=f"https://h{host}.test/")
            for n, (host, priority) in enumerate(asked)
        ]
        rig.dispatcher.put(claims)
        while rig.delivery.in_flight:
            assert rig.delivery.in_flight <= calls_max
            await rig.pass_seconds(0.01)
        assert sorted(rig.receivers.timers()) == sorted(str(claim.timer.id) for claim in claims)
        assert len(rig.finished) == len(claims)
        assert max(rig.receivers.most.values()) <= limit
        for host in range(3):
            wanted = sorted(c.entry for c in claims if c.timer.url == f"https://h{host}.test/")
            called = [timer_id for _, name, timer_id in rig.receivers.calls if name == f"h{host}.test"]
            assert called == [str(UUID(bytes=entry.timer_id)) for entry in wanted]
        assert rig.returned == []
        assert rig.dispatcher.empty() == []
        assert rig.destinations.of("https://h0.test/").calls == 0

    virtual_time.run(main())


@in_virtual_time
async def test_one_call_at_a_time_keeps_the_order_over_all_receivers() -> None:
    """A place that becomes free goes to whoever stands first in the queue, not to who had it before."""
    rig = Rig(calls_max=1)
    claims = [make_claim(DUE_US + n, priority=n % 4, url=f"https://h{n % 3}.test/") for n in range(60)]
    rig.dispatcher.put(claims[:30])
    rig.dispatcher.put(claims[30:])
    await rig.until_idle()
    in_order = [str(claim.timer.id) for claim in sorted(claims, key=lambda c: c.entry)]
    [first] = [str(claim.timer.id) for claim in sorted(claims[:30], key=lambda c: c.entry)][:1]
    in_order.remove(first)
    assert rig.receivers.timers() == [first, *in_order]


@in_virtual_time
async def test_a_late_comer_of_higher_priority_goes_first() -> None:
    rig = Rig()
    rig.put(LIMIT + 3)
    high = rig.put(1, priority=9)
    await rig.until_idle()
    assert rig.receivers.timers()[LIMIT] == str(high[0].timer.id)


@in_virtual_time
async def test_nothing_starts_without_a_lease() -> None:
    rig = Rig()
    rig.lease.renew(-1e9)
    rig.put(3)
    await rig.pass_seconds(5)
    assert rig.receivers.calls == []
    assert rig.returned == [], "the receiver is not to blame"
    rig.lease.renew(asyncio.get_running_loop().time())
    rig.dispatcher.turn()
    assert len(rig.receivers.calls) == 3


@in_virtual_time
async def test_emptied_it_gives_everything_and_starts_nothing() -> None:
    rig = Rig(calls_max=2 * LIMIT)
    claims = [*rig.put(3 * LIMIT), *rig.put(3 * LIMIT, "b.test"), *rig.put(2, "c.test")]
    begun = len(rig.receivers.calls)
    left = rig.dispatcher.empty()
    assert len(left) == len(claims) - begun
    assert rig.dispatcher.empty() == []
    await rig.until_idle()
    assert len(rig.receivers.calls) == begun
    called = set(rig.receivers.timers())
    assert {str(c.timer.id) for c in left} == {str(c.timer.id) for c in claims} - called


@in_virtual_time
async def test_thousands_of_calls_that_end_at_once() -> None:
    """Each is over before it was quite begun: no stack grows."""
    rig = Rig(calls_max=3, limit=2)
    rig.receivers.answers["a.test"] = lambda: (0, not_allowed())
    rig.put(5000)
    assert len(rig.finished) == 5000
    assert rig.at().calls == 0


# Limits between receivers


@in_virtual_time
async def test_a_hanging_receiver_takes_its_places_and_no_more() -> None:
    rig = Rig()
    rig.receivers.answers["slow.test"] = lambda: (60, silent())
    rig.put(50, "slow.test")
    rig.put(200)
    await rig.pass_seconds(0.9)
    assert rig.receivers.most == {"slow.test": LIMIT, "a.test": LIMIT}
    assert len(rig.finished) == 200, "the other one went on as if nothing were"


@pytest.mark.parametrize("hanging", [1, 4, 8, 16])
def test_many_that_hang_do_not_take_all_places(hanging: int) -> None:
    async def main() -> None:
        rig = Rig(calls_max=64, limit=8)
        for n in range(hanging):
            rig.receivers.answers[f"h{n}.test"] = lambda: (60, silent())
            rig.put(20, f"h{n}.test")
        assert rig.receivers.most["h0.test"] == 8
        assert rig.delivery.room > 0
        rig.put(40)
        await rig.pass_seconds(0.9)
        assert len(rig.finished) == 40

    virtual_time.run(main())


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_room_is_told_as_it_is_used(calls_max: int, limit: int, calls: int, others: int) -> None:
    """As many timers as there are said to be places for are started, when nothing stands in line."""

    async def main() -> None:
        rig = Rig(calls_max=calls_max, limit=limit)
        for n in range(others):
            rig.put(1, f"h{n}.test")
        rig.put(calls)
        rig.dispatcher.empty()
        begun = len(rig.receivers.times("a.test"))
        places = rig.deferrer.room_at(rig.at().key)
        rig.put(100)
        assert len(rig.receivers.times("a.test")) - begun == places

    virtual_time.run(main())


@in_virtual_time
async def test_a_line_moves_up_when_others_leave_room() -> None:
    """It was held back by others, and comes to its whole limit once they are gone."""
    rig = Rig(calls_max=12, limit=8)
    rig.receivers.answers["h.test"] = lambda: (0.2, ok())
    rig.put(8, "h.test")
    rig.put(400)
    await rig.pass_seconds(0.1)
    before = rig.receivers.most["a.test"]
    await rig.until_idle()
    assert before < rig.receivers.most["a.test"]
    assert len(rig.finished) == 408


# Lines that are too long


@in_virtual_time
async def test_a_burst_that_is_taken_within_a_second_is_not_deferred() -> None:
    rig = Rig(limit=10)
    rig.put(990)
    await rig.until_idle()
    assert len(rig.finished) == 990
    assert rig.returned == []


@in_virtual_time
async def test_a_receiver_at_full_speed_is_not_deferred_however_long_it_lasts() -> None:
    """Hands are full all the time, as in a burst of a million timers for one receiver."""
    rig = Rig(limit=10)
    for batch in range(40):
        claims = rig.put(200, batch=batch + 1)
        rig.hands.take(batch + 1, [claim.entry for claim in claims])
        await rig.pass_seconds(0.2)
        if batch > 0:
            rig.hands.let_go(batch, rig.hands.open_in(batch).copy())
    await rig.until_idle()
    assert len(rig.finished) == 8000
    assert rig.returned == []


@in_virtual_time
async def test_who_waits_too_long_for_a_hanging_receiver_is_deferred() -> None:
    rig = Rig()
    rig.receivers.answers["slow.test"] = lambda: (60, silent())
    claims = rig.put(50, "slow.test")
    await rig.pass_seconds(0.9)
    assert rig.returned == []
    await rig.pass_seconds(1.0)
    assert [r.entry for r in rig.returned] == [claim.entry for claim in claims[LIMIT:]]
    assert {r.destination for r in rig.returned} == {rig.at("slow.test").key}
    assert {r.batch for r in rig.returned} == {1}
    # From now on, others of it do not wait here either.
    more = rig.put(5, "slow.test", batch=2)
    assert [r.entry for r in rig.returned[-5:]] == [claim.entry for claim in more]


@in_virtual_time
async def test_when_hands_are_scarce_it_is_deferred_sooner() -> None:
    rig = Rig()
    rig.receivers.answers["slow.test"] = lambda: (60, silent())
    claims = rig.put(300, "slow.test")
    rig.hands.take(1, [claim.entry for claim in claims])
    await rig.pass_seconds(0.8)
    assert len(rig.returned) == 300 - LIMIT


@in_virtual_time
async def test_a_slow_receiver_keeps_what_it_takes_in_a_second() -> None:
    """The first ones, by priority and age."""
    rig = Rig()
    slow = rig.at("slow.test")
    rig.receivers.answers["slow.test"] = lambda: (0.1, ok())
    rig.put(100, "slow.test")
    rig.put(100, "slow.test", priority=5)
    await rig.pass_seconds(2)
    assert 0.7 <= (200 - len(rig.returned)) / (1.25 * 40 + 40) <= 1.3, "what was called until then, and a second"
    await rig.until_idle()
    assert len(rig.finished) + len(rig.returned) == 200
    first_low = {f.entry for f in rig.finished[:LIMIT]}
    called_later = {f.entry for f in rig.finished} - first_low
    assert max(called_later) < min(r.entry for r in rig.returned)
    assert slow.is_backed_up


@in_virtual_time
async def test_deferred_timers_that_come_back_are_called_and_new_ones_wait_behind_them() -> None:
    rig = Rig()
    rig.receivers.answers["slow.test"] = lambda: (3, ok())
    claims = rig.put(20, "slow.test")
    await rig.pass_seconds(2)
    assert len(rig.returned) == 20 - LIMIT
    assert rig.deferrer.room_at(rig.at("slow.test").key) == 0
    await rig.pass_seconds(1.1)
    assert rig.at("slow.test").key in rig.room_told
    assert rig.deferrer.room_at(rig.at("slow.test").key) >= LIMIT
    for claim in claims[LIMIT : 2 * LIMIT]:
        claim.waited_for = rig.at("slow.test").key
    rig.dispatcher.put(claims[LIMIT : 2 * LIMIT])
    rig.put(1, "slow.test")
    assert rig.receivers.timers()[LIMIT:] == [str(c.timer.id) for c in claims[LIMIT : 2 * LIMIT]]
    rig.deferrer.note_caught_up(rig.at("slow.test").key)
    await rig.pass_seconds(3.1)
    rig.put(1, "slow.test")
    assert len(rig.receivers.calls) == 2 * LIMIT + 1


@in_virtual_time
async def test_a_receiver_that_nobody_has_called_has_room() -> None:
    rig = Rig()
    assert rig.deferrer.room_at(b"x" * 16) == LIMIT


# Breakers


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

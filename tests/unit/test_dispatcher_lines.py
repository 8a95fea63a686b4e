"""A line that is too long is deferred, one that only looks long is not. In virtual time."""

from __future__ import annotations

from tests.unit.receivers import LIMIT, Rig, ok, silent
from tests.unit.virtual_time import in_virtual_time


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

"""What is due is started in order, and no receiver takes the places of the others. In virtual time."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import virtual_time
from tests.unit.makers import DUE_US, make_claim
from tests.unit.receivers import LIMIT, Rig, not_allowed, ok, silent
from tests.unit.virtual_time import in_virtual_time

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

"""What is paused, disabled or at its limit holds its own timers up, and nobody else's. In virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.unit import virtual_time
from tests.unit.makers import DUE_US, make_claim
from tests.unit.receivers import LIMIT, Rig, answered, ok, refused, silent
from tests.unit.virtual_time import in_virtual_time
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.claim import Claim
from timer_db.domain.collection import Collection
from timer_db.domain.destination import Grouped, group_of, key_of, key_of_group
from timer_db.domain.directory import Directory
from timer_db.domain.owner import Owner
from timer_db.domain.route import Route, RouteSettings
from timer_db.domain.states import TimerState

DEFAULT, OTHER = Collection(1, "default"), Collection(2, "other")
OTHER_KEY = key_of_group(Grouped.collection, 2)
ROUTE_KEY = key_of_group(Grouped.route, 3)
OF_OTHER = Owner(2)
OF_ROUTE = Owner(1, 3)


def directory(
    *collections: Collection, is_stopped: bool = False, host: str = "a.test", **settings: Any
) -> Directory:
    """The default collection, these, and a route to that host."""
    route = Route(3, "r", RouteSettings(url=f"https://{host}/hook", **settings), is_paused=is_stopped)
    found = {collection.id: collection for collection in (DEFAULT, OTHER, *collections)}
    return Directory(found, {3: route})


def paused(collection: Collection) -> Collection:
    return Collection(collection.id, collection.name, is_paused=True)


def put_routed(rig: Rig, count: int, **fields: Any) -> list[Claim]:
    """So many claims of the route that are due."""
    claims = [
        make_claim(DUE_US + n, url="", method="", retry=None, owner=OF_ROUTE, **fields) for n in range(count)
    ]
    rig.dispatcher.put(claims)
    return claims


def come_back(rig: Rig, claims: list[Claim], key: bytes) -> None:
    """They were claimed from this backlog."""
    for claim in claims:
        claim.waited_for = key
    rig.dispatcher.put(claims)


def returned_to(rig: Rig, key: bytes) -> list[Any]:
    return [r.entry for r in rig.returned if r.destination == key]


def test_keys_tell_what_waits() -> None:
    assert group_of(OTHER_KEY) == (Grouped.collection, 2)
    assert group_of(ROUTE_KEY) == (Grouped.route, 3)
    assert group_of(key_of("https://a.test:443")) is None
    assert len({OTHER_KEY, ROUTE_KEY, key_of_group(Grouped.collection, 3)}) == 3


# A pause


@in_virtual_time
async def test_timers_of_a_paused_collection_wait_in_the_database_and_others_are_called() -> None:
    rig = Rig(directory=directory(paused(OTHER)))
    held = rig.put(20, owner=OF_OTHER)
    free = rig.put(3)
    await rig.pass_seconds(1)
    assert returned_to(rig, OTHER_KEY) == [claim.entry for claim in held]
    assert sorted(rig.receivers.timers()) == sorted(str(claim.timer.id) for claim in free)
    assert rig.deferrer.room_at(OTHER_KEY) == 0


@in_virtual_time
async def test_the_default_collection_can_be_paused_too() -> None:
    rig = Rig(directory=directory(paused(DEFAULT)))
    rig.put(5)
    others = rig.put(2, owner=OF_OTHER)
    await rig.pass_seconds(1)
    assert len(returned_to(rig, key_of_group(Grouped.collection, 1))) == 5
    assert len(rig.receivers.calls) == len(others)


@in_virtual_time
async def test_after_the_end_of_a_pause_what_waited_comes_first() -> None:
    rig = Rig(directory=directory(paused(OTHER)))
    held = rig.put(3, owner=OF_OTHER)
    rig.learn(directory())
    await rig.pass_seconds(0.3)
    assert OTHER_KEY in rig.room_told
    assert rig.deferrer.room_at(OTHER_KEY) > 0
    new = rig.put(1, owner=OF_OTHER)
    come_back(rig, held, OTHER_KEY)
    await rig.until_idle()
    assert rig.receivers.timers() == [str(claim.timer.id) for claim in held]
    assert returned_to(rig, OTHER_KEY) == [claim.entry for claim in [*held, *new]], "it must overtake nobody"
    rig.deferrer.note_caught_up(OTHER_KEY)
    last = rig.put(1, owner=OF_OTHER)
    await rig.until_idle()
    assert rig.receivers.timers()[-1] == str(last[0].timer.id)


@in_virtual_time
async def test_what_stands_in_a_line_goes_back_when_it_is_paused() -> None:
    rig = Rig(directory=directory())
    rig.receivers.answers["a.test"] = lambda: (60, silent())
    mixed = [make_claim(DUE_US + n, url="https://a.test/", owner=Owner(1 + n % 2)) for n in range(30)]
    rig.dispatcher.put(mixed)
    assert len(rig.receivers.calls) == LIMIT
    rig.learn(directory(paused(OTHER)))
    await rig.pass_seconds(0.3)
    waiting = [claim.entry for claim in mixed[LIMIT:] if claim.timer.owner == OF_OTHER]
    assert sorted(returned_to(rig, OTHER_KEY)) == waiting
    assert len(rig.at().line) == len(mixed) - LIMIT - len(waiting)


@in_virtual_time
async def test_a_call_that_has_not_left_when_the_pause_comes_does_not_leave() -> None:
    """It waits for a connection, say."""
    rig = Rig(directory=directory())
    asked: list[Any] = []
    start = rig.receivers.start

    def start_later(call: Any, may_send: Any, done: Any) -> Any:
        asked.append(may_send)
        return start(call, lambda: True, done)

    rig.receivers.start = start_later  # type: ignore[method-assign]
    for owner in (Owner(1), OF_OTHER, OF_ROUTE):
        fields = {"url": "", "method": ""} if owner.route_id else {"url": "https://a.test/"}
        rig.dispatcher.put([make_claim(owner=owner, **fields)])
    assert [may_send() for may_send in asked] == [True] * 3
    rig.learn(directory(paused(DEFAULT)))
    await rig.pass_seconds(0.3)
    assert [may_send() for may_send in asked] == [False, True, False]
    rig.learn(directory(paused(OTHER), is_stopped=True))
    await rig.pass_seconds(0.3)
    assert [may_send() for may_send in asked] == [True, False, False]


@in_virtual_time
async def test_a_route_that_is_stopped_holds_its_timers_up() -> None:
    rig = Rig(directory=directory(is_stopped=True))
    held = put_routed(rig, 5)
    rig.put(2)
    await rig.pass_seconds(1)
    assert returned_to(rig, ROUTE_KEY) == [claim.entry for claim in held]
    assert len(rig.receivers.calls) == 2
    rig.learn(directory())
    await rig.pass_seconds(0.3)
    come_back(rig, held, ROUTE_KEY)
    await rig.until_idle()
    assert len(rig.receivers.calls) == 7


@in_virtual_time
async def test_who_comes_from_a_collections_backlog_still_waits_for_its_route() -> None:
    rig = Rig(directory=directory(is_stopped=True))
    claims = [make_claim(DUE_US, url="", method="", owner=Owner(2, 3))]
    come_back(rig, claims, OTHER_KEY)
    assert returned_to(rig, ROUTE_KEY) == [claims[0].entry]


# Where a route leads


@in_virtual_time
async def test_a_route_says_where_and_how_when_the_call_is_made() -> None:
    rig = Rig(directory=directory(host="old.test"))
    rig.receivers.answers["old.test"] = lambda: (0.1, ok())
    put_routed(rig, LIMIT + 1)
    rig.learn(directory(host="new.test"))
    await rig.until_idle()
    assert rig.receivers.hosts() == ["old.test"] * LIMIT + ["new.test"]
    assert (rig.at("old.test").calls, rig.at("new.test").calls) == (0, 0)


@in_virtual_time
async def test_its_policy_holds_for_timers_without_their_own() -> None:
    rig = Rig(directory=directory(retry=RetryPolicy(3, 7.0, 1.0, 100.0, 0.0)))
    rig.receivers.answers["a.test"] = lambda: (0.01, answered(503))
    put_routed(rig, 1)
    rig.learn(directory(retry=RetryPolicy(1, 7.0, 1.0, 100.0, 0.0)))
    put_routed(rig, 1)
    own = make_claim(url="", method="", owner=OF_ROUTE, retry=RetryPolicy(2, 3.0, 1.0, 9.0, 0.0))
    rig.dispatcher.put([own])
    await rig.until_idle()
    assert {f.state for f in rig.finished if f.entry != own.entry} == {TimerState.failed}
    [mine] = [f for f in rig.finished if f.entry == own.entry]
    # From the end of what is known of the clock.
    assert 0 <= mine.retry_at_us - mine.finished_at_us - 3_000_000 < 1000


@in_virtual_time
async def test_timers_of_a_route_to_a_dead_receiver_wait_for_the_route() -> None:
    """So that they go on as soon as it leads elsewhere."""
    rig = Rig(directory=directory(host="dead.test"))
    rig.receivers.answers["dead.test"] = lambda: (0.01, refused())
    put_routed(rig, 30)
    await rig.pass_seconds(0.5)
    waiting = returned_to(rig, ROUTE_KEY)
    assert len(waiting) == 30 - len(rig.finished)
    assert not rig.at("dead.test").is_backed_up
    assert rig.deferrer.room_at(ROUTE_KEY) == 0
    rig.learn(directory(host="new.test"))
    assert rig.deferrer.room_at(ROUTE_KEY) >= LIMIT


@in_virtual_time
async def test_a_route_and_plain_timers_share_a_receiver_in_order() -> None:
    rig = Rig(directory=directory())
    rig.receivers.answers["a.test"] = lambda: (0.1, ok())
    claims = []
    for n in range(20):
        fields: dict[str, Any] = (
            {"url": "", "method": "", "owner": OF_ROUTE} if n % 2 else {"url": "https://a.test/"}
        )
        claims.append(make_claim(DUE_US + n, **fields))
    rig.dispatcher.put(claims)
    await rig.until_idle()
    assert rig.receivers.timers() == [str(claim.timer.id) for claim in claims]


# Limits


@pytest.mark.parametrize("calls_max", [1, 3])
def test_no_more_calls_of_a_route_are_in_flight_than_may(calls_max: int) -> None:
    @in_virtual_time
    async def work() -> None:
        rig = Rig(limit=100, directory=directory(calls_max=calls_max))
        claims = put_routed(rig, 40)
        rig.put(10, "b.test")
        assert rig.receivers.most["b.test"] == 10, "others are not concerned"
        while rig.delivery.in_flight:
            await rig.pass_seconds(0.005)
        assert rig.receivers.most["a.test"] == calls_max
        called = [timer for _, host, timer in rig.receivers.calls if host == "a.test"]
        assert called == [str(claim.timer.id) for claim in claims]
        assert rig.groups.route_of(OF_ROUTE).calls == 0  # type: ignore[union-attr]

    work()


@in_virtual_time
async def test_a_receiver_with_a_line_is_not_left_idle_by_a_route_at_its_limit() -> None:
    """Timers of the route stand in front of the receiver's line, and make room for those behind them."""
    rig = Rig(limit=4, directory=directory(calls_max=1))
    rig.receivers.answers["a.test"] = lambda: (0.1, ok())
    put_routed(rig, 10)
    rig.put(40)
    await rig.pass_seconds(0.35)
    assert rig.receivers.most["a.test"] == 4
    # Of four places the route has one, all the time.
    assert len(rig.receivers.calls) == 4 * 4
    await rig.until_idle()
    assert len(rig.finished) == 50
    assert rig.returned == []


def _windows(times: list[float], rate: float, burst: int) -> float:
    """By how much the worst window is above what it may have."""
    return max(
        (last - first + 1) - (burst + rate * (times[last] - times[first]))
        for first in range(len(times))
        for last in range(first, len(times))
    )


@in_virtual_time
async def test_calls_of_a_route_begin_at_its_rate() -> None:
    rig = Rig(limit=1000, directory=directory(rate_per_second=20, burst=5))
    await rig.pass_seconds(10)
    put_routed(rig, 40)
    rig.put(10, "b.test")
    await rig.pass_seconds(1.78)
    times = rig.receivers.times("a.test")
    assert len([at for at in times if at == times[0]]) == 5
    assert _windows(times, 20, 5) <= 0.05
    assert len(times) == 40
    gaps = [second - first for first, second in pairwise(times[5:])]
    assert max(gaps) < 0.06


@in_virtual_time
async def test_what_a_route_does_not_take_within_a_second_waits_in_the_database() -> None:
    rig = Rig(limit=1000, directory=directory(rate_per_second=10, burst=1))
    await rig.pass_seconds(1)
    claims = put_routed(rig, 200)
    await rig.pass_seconds(1.6)
    back = returned_to(rig, ROUTE_KEY)
    assert 170 < len(back) < 195
    assert back == [claim.entry for claim in claims[-len(back) :]], "the last ones"
    late = put_routed(rig, 1)
    assert returned_to(rig, ROUTE_KEY)[-1] == late[0].entry
    while rig.delivery.in_flight or rig.groups.route_of(OF_ROUTE).line:  # type: ignore[union-attr]
        await rig.pass_seconds(0.05)
    assert rig.deferrer.room_at(ROUTE_KEY) > 0
    assert ROUTE_KEY in rig.room_told


@in_virtual_time
async def test_who_has_no_share_of_a_limit_leaves_its_timers_to_others() -> None:
    rig = Rig(directory=directory(calls_max=1))
    rig.shares.learn(DUE_US, {0: DUE_US, 1: DUE_US}, 0.0)
    rig.groups.adjust()
    claims = put_routed(rig, 3)
    assert returned_to(rig, ROUTE_KEY) == [claim.entry for claim in claims]
    assert rig.deferrer.room_at(ROUTE_KEY) == 0
    rig.shares.learn(DUE_US, {1: DUE_US}, 0.0)
    rig.groups.adjust()
    await rig.pass_seconds(0.3)
    assert ROUTE_KEY in rig.room_told
    assert rig.deferrer.room_at(ROUTE_KEY) == 1
    come_back(rig, claims, ROUTE_KEY)
    await rig.until_idle()
    assert (len(rig.receivers.calls), rig.receivers.most["a.test"]) == (3, 1)


@in_virtual_time
async def test_a_smaller_share_is_kept_to_as_calls_end() -> None:
    rig = Rig(limit=100, directory=directory(calls_max=4))
    rig.receivers.answers["a.test"] = lambda: (1.0, ok())
    put_routed(rig, 8)
    assert rig.receivers.in_flight["a.test"] == 4
    rig.shares.learn(DUE_US, {1: 0, 2: 0}, 0.0)
    rig.groups.adjust()
    assert not rig.groups.keep_to_shares()
    await rig.pass_seconds(0.5)
    assert not rig.groups.keep_to_shares()
    await rig.pass_seconds(0.6)
    assert rig.groups.keep_to_shares()
    assert rig.receivers.in_flight["a.test"] == 2


@in_virtual_time
async def test_a_limit_that_is_taken_away_frees_the_line() -> None:
    rig = Rig(limit=100, directory=directory(rate_per_second=0.001, burst=1))
    put_routed(rig, 20)
    assert rig.receivers.calls == []
    rig.learn(directory())
    await rig.pass_seconds(0.3)
    assert len(rig.receivers.calls) == 20


@in_virtual_time
async def test_a_stop_leaves_nothing_behind() -> None:
    rig = Rig(directory=directory(rate_per_second=1, burst=1))
    claims = [*put_routed(rig, 10), *rig.put(30)]
    begun = set(rig.receivers.timers())
    left = {str(claim.timer.id) for claim in rig.dispatcher.empty()}
    assert left | begun == {str(claim.timer.id) for claim in claims}
    assert not left & begun
    await rig.pass_seconds(5)
    assert set(rig.receivers.timers()) == begun, "no token wakes anybody up"


@pytest.mark.parametrize("calls_max", [None, 2])
@pytest.mark.parametrize("rate", [None, 200.0])
def test_everything_is_called_once_whatever_limits_there_are(calls_max: int | None, rate: float | None) -> None:
    async def main() -> None:
        rig = Rig(limit=3, directory=directory(calls_max=calls_max, rate_per_second=rate))
        claims = []
        for n in range(60):
            routed = n % 3 == 0
            fields: dict[str, Any] = {"url": "", "method": "", "owner": OF_ROUTE} if routed else {}
            host = ("a.test", "b.test")[n % 2]
            claims.append(make_claim(DUE_US + n, **({"url": f"https://{host}/"} | fields)))
        rig.dispatcher.put(claims)
        async with asyncio.timeout(60):
            while len(rig.finished) < len(claims):
                await rig.pass_seconds(0.01)
        assert sorted(rig.receivers.timers()) == sorted(str(claim.timer.id) for claim in claims)
        assert rig.returned == []

    virtual_time.run(main())

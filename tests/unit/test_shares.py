"""Shares of a limit: together never more than it, and all of it once things are calm."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_controller.shares import Shares


def _settled(members: int, limit: int, shards: int = 1) -> list[list[Shares]]:
    """Every member of every server, each with its share."""
    made = [[Shares(n + 1, shard, shards) for n in range(members)] for shard in range(shards)]
    for shard in made:
        for share in shard:
            share.learn(100, {n + 1: 200 for n in range(members)}, 0.0)
    return made


@given(st.integers(1, 50), st.integers(1, 200))
def test_they_sum_up_to_the_limit(members: int, limit: int) -> None:
    [shares] = _settled(members, limit)
    found = [share.of(limit) for share in shares]
    assert sum(found) == limit
    assert max(found) - min(found) <= 1


@given(st.integers(1, 20), st.integers(1, 50), st.floats(0.001, 1000))
def test_rates_sum_up_too_and_belong_to_those_with_a_share_of_the_burst(
    members: int, burst: int, rate: float
) -> None:
    [shares] = _settled(members, burst)
    found = [(share.of(burst), share.of_rate(rate, burst)) for share in shares]
    assert sum(r for _, r in found) == pytest.approx(rate)
    assert all((b == 0) == (r == 0) for b, r in found)


@given(st.integers(1, 5), st.integers(1, 10), st.integers(1, 50))
def test_servers_cut_a_limit_first_and_each_has_one_call_at_least(shards: int, members: int, limit: int) -> None:
    found = [[share.of(limit) for share in shard] for shard in _settled(members, limit, shards)]
    assert all(sum(shard) >= 1 for shard in found)
    assert sum(map(sum, found)) == max(limit, shards)


def test_a_newcomer_waits_until_all_others_have_made_room() -> None:
    old, new = Shares(1), Shares(2)
    old.learn(1000, {1: 0}, 0.0)
    assert (old.of(4), old.steady_since) == (4, 0.0)
    new.learn(2000, {1: 1000, 2: 0}, 1.0)
    assert (new.of(4), old.of(4)) == (0, 4)
    old.learn(2500, {1: 1000, 2: 0}, 1.5)
    assert old.of(4) == 2
    new.learn(3000, {1: 1999, 2: 0}, 2.0)
    assert new.of(4) == 0, "it has not said so yet"
    new.learn(4000, {1: 2500, 2: 0}, 3.0)
    assert (new.of(4), new.steady_since) == (2, 3.0)


def test_who_is_alone_begins_at_once() -> None:
    share = Shares(7)
    share.learn(1000, {7: 0}, 0.0)
    assert share.of(3) == 3


class _Member:
    """One of the controllers below: it takes as many slots as it may, and gives them back by and by."""

    def __init__(self, number: int) -> None:
        self.shares = Shares(number)
        self.number = number
        self.held = 0
        self.written_us = 0


@pytest.mark.parametrize("seed", range(200))
def test_whoever_comes_and_goes_no_more_is_held_than_there_is(seed: int) -> None:
    """Members beat at their own pace, join, leave and are lost; calls last as long as they like."""
    dice = random.Random(seed)
    limit = dice.choice([1, 2, 3, 7, 20])
    members: dict[int, _Member] = {}
    now_us, joined, most = 0, 0, 0

    def beat(member: _Member) -> None:
        member.written_us = member.shares.settled_at_us
        seen = {number: other.written_us for number, other in members.items()}
        member.shares.learn(now_us, seen, now_us / 1e6)
        if member.held <= member.shares.of(limit):
            member.shares.settled_at_us = now_us

    def join() -> None:
        nonlocal joined
        joined += 1
        members[joined] = _Member(joined)

    def take(member: _Member) -> None:
        member.held = max(member.held, member.shares.of(limit))

    def end(member: _Member) -> None:
        member.held = max(0, member.held - 1)

    def lose(member: _Member) -> None:
        del members[member.number]

    acts: list[Callable[[_Member], None]] = [beat, beat, beat, take, take, end, end, end]
    for step in range(600):
        now_us += 1
        if step % 60 == 0 or not members:
            join()
        act = lose if dice.random() < 0.01 and len(members) > 1 else dice.choice(acts)
        act(dice.choice(list(members.values())))
        held = sum(member.held for member in members.values())
        most = max(most, held)
        assert held <= limit
    for _ in range(4):
        for member in members.values():
            now_us += 1
            member.held = min(member.held, member.shares.of(limit))
            beat(member)
    assert sum(member.shares.of(limit) for member in members.values()) == limit
    assert most == limit

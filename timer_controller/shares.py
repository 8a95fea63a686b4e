"""This controller's part of what all controllers together may do.

A limit is cut into one share for each member, in the order of their numbers; the shares sum up to the limit. Every
member works with those that it saw at its last beat. So that they never take more together than there is:

- A newcomer is seen by the others at their next beats, and their shares become smaller. It takes its own only when
  each of them has written down that it has seen it, and keeps to the smaller share: that no more calls of a route
  are in flight than that.
- A member that is gone has left nothing in flight, or its lease is over: then its share falls to the others. With
  fewer members nobody's share is smaller, so it does not matter who hears of it first.
"""

from __future__ import annotations

from collections.abc import Mapping


class Shares:
    """Learns the members with each beat. `shard` of `shards` is the server that this session works on: its members
    share what is the server's part of a limit, one call at least."""

    def __init__(self, member: int, shard: int = 0, shards: int = 1) -> None:
        self._member = member
        self._shard = shard
        self._shards = shards
        self._members: list[int] = []
        self.steady_since = 0.0
        """When its shares changed last, in monotonic seconds."""
        self._joined_us: int | None = None
        self.is_active = False
        """Whether it has a share yet."""
        self.settled_at_us = 0
        """It keeps to its shares among the members of that time; for the others, with the next beat."""

    def learn(self, now_us: int, members: Mapping[int, int], now: float) -> None:
        """The members at `now_us` by the database's clock, and for each the time of its `settled_at_us`; `now` is
        monotonic."""
        if self._joined_us is None:
            self._joined_us = now_us
        before = self._members, self.is_active
        self._members = sorted({*members, self._member})
        others = (settled_us for member, settled_us in members.items() if member != self._member)
        self.is_active = self.is_active or all(settled_us >= self._joined_us for settled_us in others)
        if before != (self._members, self.is_active):
            self.steady_since = now

    def of(self, limit: int) -> int:
        """The share of a limit; 0 when there are more members than the limit has, or not yet."""
        if not self.is_active:
            return 0
        return _cut(self._of_shard(limit), len(self._members), self._members.index(self._member))

    def of_rate(self, rate: float, burst: int) -> float:
        """The share of a rate: it belongs to those that have a share of the burst."""
        if not self.of(burst):
            return 0.0
        return rate / self._shards / min(self._of_shard(burst), len(self._members))

    def _of_shard(self, limit: int) -> int:
        return max(1, _cut(limit, self._shards, self._shard))


def _cut(whole: int, parts: int, place: int) -> int:
    """The part at this place, from 0: they differ by one at most, the larger ones first."""
    return whole // parts + (place < whole % parts)

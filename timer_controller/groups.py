"""Collections and routes as far as they hold timers up: paused, disabled, or with a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from timer_controller.bottleneck import Bottleneck
from timer_controller.sender.protocol import Result
from timer_controller.shares import Shares
from timer_controller.tokens import Tokens
from timer_db.domain.claim import Claim
from timer_db.domain.destination import Grouped, group_of, key_of_group
from timer_db.domain.directory import Directory
from timer_db.domain.owner import BY_DEFAULT, Owner
from timer_db.domain.route import Route
from timer_db.domain.states import Outcome

_MANY = 1_000_000


class Group(Bottleneck):
    """A collection, or a route."""

    __slots__ = ("_on_change", "is_stopped")

    def __init__(self, name: str, key: bytes, on_change: Callable[[], None]) -> None:
        super().__init__(name, key)
        self._on_change = on_change
        self.is_stopped = False
        """Paused or disabled, or nothing is known of it yet: no call may begin."""

    def settle(self) -> None:
        self._on_change()


class RouteGroup(Group):
    """A route with its limits, and how it fares. Times are monotonic seconds."""

    __slots__ = ("calls", "calls_max", "failed_at", "failing_since", "has_succeeded", "known_at", "noted_at",
                 "reason", "route", "tokens", "wake")  # fmt: skip

    def __init__(self, name: str, key: bytes, on_change: Callable[[], None], known_at: float) -> None:
        super().__init__(name, key, on_change)
        self.route: Route | None = None
        """As the directory has it."""
        self.known_at = known_at
        """Nobody has used this controller's share since then, if it did not."""
        self.calls = 0
        """In flight."""
        self.calls_max: int | None = None
        """This controller's share; None: no limit."""
        self.tokens: Tokens | None = None
        """The same for the rate."""
        self.wake: asyncio.TimerHandle | None = None
        """Set while the line waits for the next token."""
        self.failing_since: float | None = None
        """When a call failed that was the first after a success."""
        self.failed_at = -inf
        self.reason = ""
        """Of the last failure."""
        self.has_succeeded = False
        """Since that was last written down."""
        self.noted_at = -inf
        """When that was."""

    @property
    def is_limited(self) -> bool:
        """Whether it has a limit of its own."""
        return self.calls_max is not None or self.tokens is not None

    @property
    def has_no_share(self) -> bool:
        """Whether others make all its calls."""
        return self.calls_max == 0 or (self.tokens is not None and self.tokens.is_dry)

    def take(self, now: float) -> float:
        """0 when a call may begin, which counts from now on. Else the seconds until it is worth another try;
        infinite when a call must end first."""
        if self.calls_max is not None and self.calls >= self.calls_max:
            return inf
        if self.tokens is not None and (wait_seconds := self.tokens.take(now)):
            return wait_seconds
        self.calls += 1
        return 0.0

    def slots(self, now: float) -> int:
        """How many calls could begin now, by its limits."""
        by_calls = _MANY if self.calls_max is None else max(0, self.calls_max - self.calls)
        return by_calls if self.tokens is None else min(by_calls, self.tokens.left(now))

    def left(self, result: Result | None, now: float) -> None:
        """A call has ended; without a result, it was not made."""
        self.calls -= 1
        self.ended += 1
        if result is None:
            return
        if result.outcome is Outcome.delivered:
            self.failing_since = None
            self.has_succeeded = True
            return
        if self.failing_since is None:
            self.failing_since = now
        self.failed_at = now
        self.reason = result.reason


class Gates(NamedTuple):
    """What a timer has to pass before its receiver: its collection, when that holds timers up, and its route."""

    collection: Group | None
    route: RouteGroup | None

    def holder(self, claim: Claim, *, is_new: bool) -> Group | None:
        """Who holds it up, so that it must wait in the database. A group with a backlog lets those pass that come
        from there, or that stood in a line before."""
        collection, route = self
        if collection is not None and (collection.is_stopped or (is_new and claim.waited_for is None)):
            return collection
        if route is not None:
            overtakes = is_new and route.is_backed_up and claim.waited_for != route.key
            if route.is_stopped or route.has_no_share or overtakes:
                return route
        return None


class Groups:
    """Knows them as the directory does, and how much of their limits is this controller's. `look` is to be called
    when the directory has changed."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        shares: Shares,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._shares = shares
        self._monotonic = monotonic
        self._known: Directory | None = None
        self._collections: dict[int, Group] = {}
        self._routes: dict[int, RouteGroup] = {}
        self._gates: dict[Owner, Gates | None] = {}
        self.default_is_free = True
        """Whether timers that name no collection and no route have nothing to pass."""
        self.default_is_stopped = False
        """Whether they may not be called now."""
        self.stops = 0
        """Another number whenever a group was stopped."""
        self.freed: set[Group] = set()
        """Those that were stopped, or had no share, and may be called now; who deals with it takes them out."""
        self.look()

    def look(self) -> None:
        """See what has changed in the directory."""
        directory = self._directory()
        if directory is self._known:
            return
        self._known = directory
        for number, collection in self._collections.items():
            self._learn_collection(number, collection)
        now = self._monotonic()
        for number, route in self._routes.items():
            route.known_at = now
            self._learn_route(number, route)
        self._forget_gates()

    def adjust(self) -> None:
        """The members have changed: work with other shares."""
        for route in self._routes.values():
            self._limit(route)

    def keep_to_shares(self) -> bool:
        """Whether no more calls are in flight than this controller's shares allow."""
        return all(route.calls_max is None or route.calls <= route.calls_max for route in self._routes.values())

    def gates_of(self, owner: Owner) -> Gates | None:
        """What its timers have to pass; None: nothing."""
        try:
            return self._gates[owner]
        except KeyError:
            gates = self._gates[owner] = self._find_gates(owner)
            return gates

    def stopping(self, owner: Owner) -> Group | None:
        """The group that forbids its timers to be called now."""
        gates = self.gates_of(owner)
        if gates is None:
            return None
        return next((group for group in gates if group is not None and group.is_stopped), None)

    def route_of(self, owner: Owner) -> RouteGroup | None:
        """Its route."""
        return self._route(owner.route_id) if owner.route_id else None

    def at(self, key: bytes) -> Group | None:
        """The group with this key; None when it is that of a receiver."""
        found = group_of(key)
        if found is None:
            return None
        kind, number = found
        return self._route(number) if kind is Grouped.route else self._collection(number)

    def routes(self) -> list[RouteGroup]:
        """Every route of which this controller has called a timer, or held one."""
        return list(self._routes.values())

    def _find_gates(self, owner: Owner) -> Gates | None:
        collection, route = self._collection(owner.collection_id), self.route_of(owner)
        is_free = not collection.is_stopped and not collection.is_backed_up
        return None if is_free and route is None else Gates(None if is_free else collection, route)

    def _collection(self, number: int) -> Group:
        found = self._collections.get(number)
        if found is None:
            key = key_of_group(Grouped.collection, number)
            found = self._collections[number] = Group(f"collection {number}", key, self._forget_gates)
            self._learn_collection(number, found)
        return found

    def _route(self, number: int) -> RouteGroup:
        found = self._routes.get(number)
        if found is None:
            key = key_of_group(Grouped.route, number)
            known_at = self._shares.steady_since
            found = self._routes[number] = RouteGroup(f"route {number}", key, self._forget_gates, known_at)
            self._learn_route(number, found)
        return found

    def _learn_collection(self, number: int, group: Group) -> None:
        assert self._known is not None
        collection = self._known.collections.get(number)
        if collection is not None:
            group.name = f"collection {collection.name}"
        self._stop(group, collection is None or collection.is_paused)

    def _learn_route(self, number: int, group: RouteGroup) -> None:
        assert self._known is not None
        group.route = route = self._known.routes.get(number)
        if route is not None:
            group.name = f"route {route.name}"
        if group.is_stopped and route is not None and not route.is_stopped:
            group.failing_since = None
        self._stop(group, route is None or route.is_stopped)
        self._limit(group)

    def _stop(self, group: Group, is_stopped: bool) -> None:
        if is_stopped and not group.is_stopped:
            self.stops += 1
            # Though nothing of it may be deferred here: others defer, and are not overtaken when it goes on.
            group.is_backed_up = True
        elif group.is_stopped and not is_stopped:
            self.freed.add(group)
        group.is_stopped = is_stopped

    def _limit(self, group: RouteGroup) -> None:
        if group.route is None:
            return
        settings, shares = group.route.settings, self._shares
        had_none = group.has_no_share
        group.calls_max = None if settings.calls_max is None else shares.of(settings.calls_max)
        if settings.rate_per_second is None:
            group.tokens = None
        else:
            self._limit_rate(group, settings.rate_per_second, settings.burst_calls)
        if had_none and not group.has_no_share:
            self.freed.add(group)

    def _limit_rate(self, group: RouteGroup, rate_per_second: float, burst_calls: int) -> None:
        burst, rate = self._shares.of(burst_calls), self._shares.of_rate(rate_per_second, burst_calls)
        if group.tokens is None:
            group.tokens = Tokens(rate, burst, group.known_at)
        else:
            group.tokens.adjust(rate, burst, self._monotonic())

    def _forget_gates(self) -> None:
        self._gates.clear()
        default = self._collection(BY_DEFAULT.collection_id)
        self.default_is_stopped = default.is_stopped
        self.default_is_free = not default.is_stopped and not default.is_backed_up

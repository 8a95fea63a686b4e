"""Receivers in virtual time, and everything of a controller between its wheel and its database."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.makers import DUE_US, make_claim
from timer_controller.breaker import BreakerRules
from timer_controller.deferrer import SWEEP_SECONDS, Deferrer
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations
from timer_controller.dispatcher import Dispatcher
from timer_controller.groups import Groups
from timer_controller.hands import Hands
from timer_controller.lease import Lease
from timer_controller.sender.answer import forbidden
from timer_controller.sender.protocol import Call, Cancel, Done, Result
from timer_controller.shares import Shares
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim, Finished, Returned
from timer_db.domain.directory import ONLY_DEFAULT, Directory
from timer_db.domain.states import Outcome

RULES = BreakerRules(failures_max=3, cool_down_seconds=1.0, patience_seconds=600.0)
HANDS = 400
LIMIT = 4


def ok() -> Result:
    """A 200."""
    return Result(Outcome.delivered, "answered 200", 200)


def answered(status: int) -> Result:
    """An answer that is no 2xx."""
    return Result(Outcome.rejected, f"answered {status}", status)


def refused() -> Result:
    """Nobody listens."""
    return Result(Outcome.not_sent, "connection refused")


def silent() -> Result:
    """The timeout passed."""
    return Result(Outcome.unknown, "no whole answer within the timeout")


def not_allowed() -> Result:
    """The egress guard said no."""
    return forbidden("10.0.0.1 is not a public address")


class Receivers:
    """A sender whose calls end as the test says, host by host: after how many seconds, and with what. No seconds
    is before the sender has returned."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], tuple[float, Result]]] = {}
        self.calls: list[tuple[float, str, str]] = []
        """When (loop time), to which host, for which timer."""
        self.in_flight: Counter[str] = Counter()
        self.most: defaultdict[str, int] = defaultdict(int)
        """Most calls at a time."""

    def start(self, call: Call, may_send: Callable[[], bool], done: Done) -> Cancel:
        assert may_send()
        loop = asyncio.get_running_loop()
        host = call.url.split("/")[2]
        self.calls.append((loop.time(), host, call.url.rsplit("/", 1)[1]))
        self.in_flight[host] += 1
        self.most[host] = max(self.most[host], self.in_flight[host])
        seconds, result = self.answers.get(host, lambda: (0.01, ok()))()

        def end() -> None:
            self.in_flight[host] -= 1
            result.finished_at = loop.time()
            done(result)

        if seconds == 0:
            end()
            return lambda: None
        return loop.call_later(seconds, end).cancel

    async def aclose(self) -> None:
        """Nothing to close."""

    def hosts(self) -> list[str]:
        """Who was called, in order."""
        return [host for _, host, _ in self.calls]

    def times(self, host: str) -> list[float]:
        """When this one was called."""
        return [at for at, called, _ in self.calls if called == host]

    def timers(self) -> list[str]:
        """Ids of the timers that were called, in order."""
        return [timer_id for *_, timer_id in self.calls]


@dataclass
class Rig:
    """Real parts, around them `receivers` and lists. It sweeps as a controller does."""

    calls_max: int = 1000
    limit: int = LIMIT
    rules: BreakerRules = RULES
    directory: Directory = ONLY_DEFAULT
    finished: list[Finished] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    room_told: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.receivers = Receivers()
        self.clock = DatabaseClock(loop.time)
        self.clock.learn(DUE_US + 3600_000_000, loop.time(), loop.time())
        self.lease = Lease(1e9, loop.time)
        self.lease.renew(loop.time())
        self.hands = Hands(HANDS)
        self.shares = Shares(1)
        self.shares.learn(DUE_US, {1: 0}, loop.time())
        self.groups = Groups(lambda: self.directory, self.shares, monotonic=loop.time)
        self.delivery = Delivery(
            self.receivers,
            clock=self.clock,
            lease=self.lease,
            calls_max=self.calls_max,
            on_finished=self.finished.append,
            on_refused=lambda claim: self.dispatcher.put([claim]),
            on_left=lambda claim, destination, result, at: self.dispatcher.left(claim, destination, result, at),
            load_whole=self._load_whole,
            groups=self.groups,
            directory=lambda: self.directory,
            draw=lambda: 0.5,
            monotonic=loop.time,
        )
        self.destinations = Destinations(self.rules, draw=lambda: 0.5)
        self.deferrer = Deferrer(
            self.destinations,
            self.groups,
            self.delivery,
            hands=self.hands,
            lease=self.lease,
            destination_calls_max=self.limit,
            give_back=self.returned.append,
            on_room=self.room_told.append,
            monotonic=loop.time,
        )
        self.dispatcher = Dispatcher(
            self.delivery, self.destinations, self.groups, self.deferrer, monotonic=loop.time
        )
        self._sweeping = loop.create_task(self._sweep())

    def learn(self, directory: Directory) -> None:
        """The directory has changed."""
        self.directory = directory
        self.groups.look()

    def put(self, count: int, host: str = "a.test", **fields: object) -> list[Claim]:
        """So many claims that are due."""
        claims = [make_claim(DUE_US + n, url=f"https://{host}/hook", **fields) for n in range(count)]
        self.dispatcher.put(claims)
        return claims

    def at(self, host: str = "a.test") -> Destination:
        """What is known of this receiver."""
        return self.destinations.of(f"https://{host}/hook")

    async def pass_seconds(self, seconds: float) -> None:
        """Let it go on for so long."""
        await asyncio.sleep(seconds)

    async def until_idle(self) -> None:
        """Until no call is in flight."""
        while self.delivery.in_flight:
            await self.delivery.ended()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.dispatcher.sweep()

    async def _load_whole(self, claim: Claim) -> Claim:
        return claim

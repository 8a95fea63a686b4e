"""Who is called: a transport that delivers, refuses, answers late or not at all, as the dice say, and a record of
what arrived."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from tests.simulation.history import History
from tests.simulation.loop import Machine, SeededLoop
from tests.simulation.server import Server, Wire
from timer_controller.sender.answer import forbidden
from timer_controller.sender.protocol import Call, Cancel, Done, Result
from timer_db.domain.states import Outcome


class Way(StrEnum):
    """How a call goes."""

    good = "is answered 200"
    busy = "is answered 503"
    later = "is answered 429 with Retry-After"
    no = "is answered 400"
    closed = "finds nobody"
    banned = "is not allowed"
    cut_behind = "arrives, and the answer is lost"
    cut_before = "is lost"


_ANSWERS = {
    Way.good: Result(Outcome.delivered, "answered 200", 200),
    Way.busy: Result(Outcome.rejected, "answered 503", 503),
    Way.later: Result(Outcome.rejected, "answered 429", 429, 0.3),
    Way.no: Result(Outcome.rejected, "answered 400", 400),
}
_LOST = (Way.cut_before, Way.cut_behind)
CALM: Mapping[Way, float] = {
    Way.good: 75, Way.busy: 6, Way.later: 3, Way.no: 3, Way.closed: 8, Way.banned: 1,
}  # fmt: skip
ROUGH: Mapping[Way, float] = {**CALM, Way.cut_behind: 8, Way.cut_before: 8}
DOWN: Mapping[Way, float] = {Way.busy: 5, Way.closed: 5}
HEALED: Mapping[Way, float] = {Way.good: 1}


@dataclass(slots=True)
class Sent:
    """One call of which a byte left its machine."""

    timer_id: bytes
    attempt: int
    is_marked: bool
    """It says that it may be a repeat."""
    controller_id: int | None
    sent_us: int
    """By the database's clock."""
    due_us: int
    """What the database said then about when it may be called."""
    way: Way
    has_arrived: bool = False
    is_answered: bool = False
    """The whole answer came to the controller."""
    is_cut: bool = False
    machine: Machine = field(repr=False, kw_only=True)


@dataclass
class Host:
    """One receiver."""

    ways: Mapping[Way, float]
    slowness_seconds: float


@dataclass
class Receivers:
    """All of them, and what came to them."""

    loop: SeededLoop
    server: Server
    history: History
    dice: random.Random
    hosts: dict[str, Host]
    sent: list[Sent] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def heal(self) -> None:
        """From now on everything goes well."""
        for host in self.hosts.values():
            host.ways = HEALED
            host.slowness_seconds = 0.02

    def lose_caller(self, machine: Machine) -> None:
        """It died: of what left it, some never arrives."""
        for sent in self.sent:
            if sent.machine is machine and not sent.has_arrived and self.dice.random() < 0.5:
                sent.is_cut = True


class SimulatedSender:
    """The sender of one machine."""

    def __init__(self, receivers: Receivers, wire: Wire) -> None:
        self._receivers = receivers
        self._wire = wire
        self._loop = receivers.loop

    def start(self, call: Call, may_send: Callable[[], bool], done: Done) -> Cancel:
        """Connects, asks, sends, and tells what came of it, some of it at once."""
        dice = self._receivers.dice
        host = self._receivers.hosts[call.url.split("/")[2]]
        [way] = dice.choices(list(host.ways), list(host.ways.values()))
        if way is Way.banned:
            self._tell(done, forbidden("10.0.0.1 is not a public address"), None)
            return _nothing
        attempt = _Attempt(self, call, may_send, done, way, host.slowness_seconds)
        # A connection is at hand, or one is opened.
        if dice.random() < 0.5:
            attempt.connected()
        else:
            attempt.timer = self._loop.call_later(dice.random() * 0.05, attempt.connected)
        return attempt.cancel

    async def aclose(self) -> None:
        """Nothing to close."""

    def _tell(self, done: Done, result: Result, first_byte_at: float | None) -> None:
        told = Result(result.outcome, result.reason, result.status, result.retry_after_seconds)
        told.withheld, told.forbidden = result.withheld, result.forbidden
        told.first_byte_at, told.finished_at = first_byte_at, self._wire.monotonic()
        done(told)


def _nothing() -> None:
    """A call that has ended needs no cancelling."""


class _Attempt:
    """One call under way."""

    def __init__(
        self, sender: SimulatedSender, call: Call, may_send: Callable[[], bool], done: Done, way: Way, slow: float
    ) -> None:
        self._sender = sender
        self._receivers = sender._receivers
        self._loop = sender._loop
        self._wire = sender._wire
        self._call = call
        self._may_send = may_send
        self._done = done
        self._way = way
        self._slow_seconds = slow
        self._is_over = False
        self._first_byte_at = 0.0
        self.timer: object = None

    def connected(self) -> None:
        if self._is_over:
            return
        if self._way is Way.closed:
            self._end(Result(Outcome.not_sent, "connection refused"), None)
        elif not self._may_send():
            self._end(Result(Outcome.not_sent, "withheld", withheld=True), None)
        else:
            self._send()

    def cancel(self) -> None:
        self._is_over = True

    def _send(self) -> None:
        receivers, dice = self._receivers, self._receivers.dice
        headers = dict(line.split(": ", 1) for line in self._call.lines.split("\r\n")[:-1])
        timer_id = UUID(headers["webhook-id"]).bytes
        row = receivers.server.tables.timers[timer_id]
        sent = Sent(
            timer_id,
            int(headers["Timer-Attempt"]),
            "Timer-Possible-Duplicate" in headers,
            self._wire.last_id,
            receivers.server.now_us(),
            row.next_at_us,
            self._way,
            machine=self._wire.machine,
        )
        receivers.sent.append(sent)
        if self._wire.directory and self._wire.directory.current.collections[1].is_paused:
            receivers.faults.append(f"the call {self._call.url} began while its collection was paused")
        if headers["Idempotency-Key"] != headers["webhook-id"] or headers["webhook-id"] not in self._call.url:
            receivers.faults.append(f"the call {self._call.url} names another timer: {headers}")
        if self._call.body != (row.asked.body or self._call.body):
            receivers.faults.append(f"the call {self._call.url} has another timer's body")
        self._first_byte_at = self._wire.monotonic()
        marked = ", marked as a possible duplicate" if sent.is_marked else ""
        self._wire.note("calls %s, attempt %s%s; it %s", timer_id, sent.attempt, marked, self._way)
        timeout = self._call.timeout_seconds
        arrives = dice.random() * 0.02
        answered = arrives + dice.random() * self._slow_seconds
        world = self._loop.world
        self._loop.at(world, arrives, self._arrive, sent)
        if self._way in _LOST or answered >= timeout:
            # The connection breaks, or the timeout passes.
            after = min(timeout, dice.choice([answered, timeout]))
            self._loop.at(self._wire.machine, after, self._unknown)
        else:
            self._loop.at(self._wire.machine, answered, self._answered, sent)

    def _arrive(self, sent: Sent) -> None:
        sent.has_arrived = self._way is not Way.cut_before and not sent.is_cut

    def _answered(self, sent: Sent) -> None:
        if not self._is_over:
            sent.is_answered = True
            self._end(_ANSWERS[self._way], self._first_byte_at)

    def _unknown(self) -> None:
        if not self._is_over:
            self._end(Result(Outcome.unknown, "no whole answer"), self._first_byte_at)

    def _end(self, result: Result, first_byte_at: float | None) -> None:
        self._is_over = True
        self._sender._tell(self._done, result, first_byte_at)

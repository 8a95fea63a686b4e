"""The database of the simulation: one model of its tables, and for each machine a way there that can fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from tests.simulation.history import History
from tests.simulation.loop import Machine, SeededLoop
from tests.simulation.model import Tables
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.operations.directory import DirectoryKeeper

EPOCH_US = 1_800_000_000_000_000
"""The database's time when the world's is 1,000 seconds."""
Result = TypeVar("Result")
Key = tuple[int, int]
"""A controller and the number of one of its batches."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """How often a transaction goes wrong, each way: a share of all."""

    refused: float = 0.0
    """Nothing happened; also what a deadlock is that was given up."""
    lost: float = 0.0
    """It was committed, and the connection broke before the answer came."""
    undecided: float = 0.0
    """The connection broke, and the server commits a while later, or rolls back. Its locks stay until then."""
    slow: float = 0.0
    """It waits for up to `slow_seconds` on the way."""
    slow_seconds: float = 3.0


@dataclass(slots=True)
class Transaction:
    """One on its way. `work` happens at one moment; `locks` are the batches that it locks."""

    machine: Machine
    name: str
    work: Callable[[Tables, int], Any]
    locks: frozenset[Key]
    answer: asyncio.Future[Any]
    is_cut: bool = False
    """Its client died, and the server rolls back."""


@dataclass
class Server:
    """Applies transactions one after the other."""

    loop: SeededLoop
    history: History
    dice: random.Random
    usual_seconds: float
    """How long a transaction takes at most, when nothing is wrong."""
    trouble: Trouble
    tables: Tables = field(default_factory=Tables)
    is_away: bool = False
    cut_off: set[Machine] = field(default_factory=set)
    """Machines that cannot reach it."""
    locked: dict[Key, Transaction] = field(default_factory=dict)
    """By those whose end is open."""
    _open: list[Transaction] = field(default_factory=list)
    _waiting: list[Transaction] = field(default_factory=list)

    def now_us(self) -> int:
        """Its clock."""
        return EPOCH_US + int((self.loop.now - 1000) * 1_000_000)

    def submit(self, transaction: Transaction) -> None:
        """It leaves its machine."""
        self._open.append(transaction)
        there = self.dice.random() * self.usual_seconds
        if self.trouble.slow and self.dice.random() < self.trouble.slow:
            there += self.dice.random() * self.trouble.slow_seconds
        self.loop.at(self.loop.world, there, self._arrive, transaction)

    def lose_client(self, machine: Machine) -> None:
        """It died: of what is under way, some was committed before the server noticed."""
        for transaction in self._open:
            if transaction.machine is machine and self.dice.random() < 0.5:
                transaction.is_cut = True

    def _arrive(self, transaction: Transaction) -> None:
        draw, trouble = self.dice.random(), self.trouble
        if transaction.is_cut:
            self._open.remove(transaction)
        elif self.is_away or transaction.machine in self.cut_off or draw < trouble.refused:
            self._fail(transaction, "%s is refused")
        elif (draw := draw - trouble.refused) < trouble.undecided and transaction.locks:
            if not transaction.locks & self.locked.keys():
                self._fail(transaction, "%s is lost on the way, and goes on at the server", is_over=False)
                self.locked.update(dict.fromkeys(transaction.locks, transaction))
                self.loop.at(self.loop.world, self.dice.random() * 1.5, self._decide, transaction)
            else:
                self._fail(transaction, "%s is refused")
        else:
            self._apply(transaction, is_answered=draw - trouble.undecided >= trouble.lost)

    def _apply(self, transaction: Transaction, *, is_answered: bool) -> None:
        if transaction.locks & self.locked.keys():
            self._waiting.append(transaction)
            return
        result, error = self._commit(transaction)
        if is_answered:
            self._open.remove(transaction)
            self.loop.at(
                self.loop.world, self.dice.random() * self.usual_seconds, _answer, transaction, result, error
            )
        else:
            self._fail(transaction, "the answer to %s is lost")

    def _decide(self, transaction: Transaction) -> None:
        for key in transaction.locks:
            del self.locked[key]
        if transaction.is_cut or self.dice.random() < 0.4:
            self.history.note(self.loop.now, "database", "%s is rolled back", transaction.name)
        else:
            self._commit(transaction)
        self._open.remove(transaction)
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            if other.is_cut:
                self._open.remove(other)
            else:
                self._apply(other, is_answered=True)

    def _commit(self, transaction: Transaction) -> tuple[Any, Exception | None]:
        try:
            result = transaction.work(self.tables, self.now_us())
        except Exception as error:  # noqa: BLE001 - the client has it, as it would have a server's error
            self.history.note(self.loop.now, transaction.machine.name, "%s: %r", transaction.name, error)
            return None, error
        return result, None

    def _fail(self, transaction: Transaction, what: str, *, is_over: bool = True) -> None:
        self.history.note(self.loop.now, transaction.machine.name, what, transaction.name)
        if is_over:
            self._open.remove(transaction)
        after = self.dice.random() * self.usual_seconds
        error = DatabaseUnavailable(f"{transaction.name}: the dice said so")
        self.loop.at(self.loop.world, after, _answer, transaction, None, error)


def _answer(transaction: Transaction, result: Any, error: Exception | None) -> None:
    if transaction.answer.done():
        return
    if error is None:
        transaction.answer.set_result(result)
    else:
        transaction.answer.set_exception(error)


class Wire:
    """One machine's connections to the server: what operations get as their engine."""

    def __init__(self, server: Server, machine: Machine, monotonic: Callable[[], float]) -> None:
        self.server = server
        self.machine = machine
        self.monotonic = monotonic
        self.last_id: int | None = None
        """Of the last membership."""
        self.directory: DirectoryKeeper | None = None
        """What its controller knows of collections."""

    async def run(
        self, name: str, work: Callable[[Tables, int], Result], locks: frozenset[Key] = frozenset()
    ) -> Result:
        """One transaction. A caller that is cancelled leaves when it has ended, as with `transactions.run`."""
        if self.machine.is_buried:
            raise asyncio.CancelledError
        answer: asyncio.Future[Result] = self.server.loop.create_future()
        self.server.submit(Transaction(self.machine, name, work, locks, answer))
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if not self.machine.is_buried:
                await asyncio.wait([answer])
                answer.exception()
            raise

    def note(self, what: str, *values: Any) -> None:
        """For the history."""
        self.server.history.note(self.server.loop.now, self.machine.name, what, *values)

    async def raw_connection(self) -> NoReturn:
        """What the real operations ask an engine for."""
        raise AssertionError("an operation that the model does not have was called: see `wiring`")

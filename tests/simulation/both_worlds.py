"""The database and the model side by side: what is done in both, and whether they still are the same."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from pymysql.err import IntegrityError

from tests.conftest import empty
from tests.simulation import model
from tests.simulation.stored import TABLES, read_tables, read_timers, rows_of
from timer_db import transactions
from timer_db.domain.claim import Claim
from timer_db.domain.errors import TimerError
from timer_db.domain.queue_entry import HEAD_KEY, PRIORITY_MAX, QueueEntry, time_bound
from timer_db.domain.timer import NewTimer, Timer
from timer_db.engine import Pool, open_shards
from timer_db.operations import claim
from timer_db.operations.finish import Written
from timer_db.operations.rescue import Rescued
from timer_db.transactions import Connection

START_US = 1_800_000_000_000_000
PRIORITIES = [0, 3, PRIORITY_MAX]


class BothWorlds:
    """One run in both. Its steps are in `steps` and `claim_steps`."""

    def __init__(self, url: str, seed: int, seen: Counter[str]) -> None:
        empty(url)
        self.dice = random.Random(seed)
        self.seen = seen
        """Kinds of answers."""
        self.runner = asyncio.Runner()
        # One connection, since the clock is set per connection.
        self.shards = open_shards([url], Pool(size=1))
        self.engine = next(iter(self.shards)).engine
        self.tables = model.Tables()
        self.now_us = START_US
        self.numbers = 0
        self.timers: list[NewTimer] = []
        self.last_finish: tuple[Any, ...] | None = None

    def close(self) -> None:
        self.runner.run(self.shards.close())
        self.runner.close()

    # Both at once

    def both(self, real: Callable[[], Awaitable[Any]], modelled: Callable[[], Any]) -> Any:
        """The answer, or the error, of both."""
        self.runner.run(self.set_clock())
        got: Any
        try:
            got = self.runner.run(_awaited(real))
        except (TimerError, IntegrityError) as error:
            got = error
        try:
            expected = modelled()
        except (TimerError, model.DuplicateKey) as error:
            expected = error
        if isinstance(got, IntegrityError):
            assert isinstance(expected, model.DuplicateKey), (got, expected)
        elif isinstance(got, Exception):
            assert type(got) is type(expected), (got, expected)
        else:
            assert _comparable(got) == _comparable(expected)
        self.seen[_in_a_word(expected)] += 1
        return expected

    async def set_clock(self) -> None:
        """To the moment at which the next transaction happens."""

        async def work(connection: Connection) -> None:
            await connection.write(f"SET SESSION timestamp = {self.now_us / 1_000_000:.6f}")

        await transactions.run(self.engine, work)

    # What is drawn from what there is

    def a_controller(self) -> int:
        """Most often one that is a member."""
        members = self.tables.members
        living = [c for c, member in members.items() if member.gone_at_us is None]
        return self.dice.choice(living if living and self.dice.random() < 0.9 else sorted(members))

    def ranks(self) -> list[int]:
        """Of all priorities in use."""
        return sorted(PRIORITY_MAX - priority for priority in PRIORITIES)

    def bound(self) -> bytes:
        """Where a look or a claim may begin."""
        keys = [key for keys in self.tables.queue.values() for key in keys]
        return self.dice.choice([HEAD_KEY, time_bound(self.now_us), *keys])

    # Every table

    def compare(self) -> None:
        """Every table, and every timer as it is shown."""
        real = self.runner.run(read_tables(self.engine))
        for sql, rows, expected in zip(TABLES, real, rows_of(self.tables), strict=True):
            assert rows == sorted(expected), sql
        shown = self.runner.run(read_timers(self.engine, [timer.id.bytes for timer in self.timers]))
        assert len(shown) == len(self.timers)
        for timer in shown:
            assert timer == model.get_timer(self.tables, timer.id)


async def _awaited(real: Callable[[], Awaitable[Any]]) -> Any:
    return await real()


def _comparable(answer: Any) -> Any:
    if isinstance(answer, claim.Taken):
        return answer.entries, sorted(answer.claims, key=_entry), answer.waiting
    return answer


def _in_a_word(answer: Any) -> str:
    match answer:
        case claim.Taken(entries=[_, *_]):
            return "claimed"
        case Rescued(unsent=unsent, unknown=unknown):
            return f"rescued {'unsent' if unsent else ''} {'unknown' if unknown else ''}"
        case Written(lost=lost, lost_batches=batches):
            return f"finished{', lost' if lost else ''}{', lost batches' if batches else ''}"
        case Timer():
            return "cancelled"
        case _:
            return type(answer).__name__


def _entry(claimed: Claim) -> QueueEntry:
    return claimed.entry

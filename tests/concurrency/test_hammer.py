"""Everything at once: creates, claims, outcomes, retries, returns and cancels. Nothing is lost, nothing is
doubled, and nobody has to give way to anybody."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import pytest
import pytest_asyncio

from tests.db.desk import NOON_US, SECOND_US, Desk, finished, new_timer, retried
from tests.db.wire import count_gave_way
from timer_db.domain.claim import Claim, Finished
from timer_db.domain.errors import NameTaken, NotCancellable
from timer_db.domain.states import Outcome
from timer_db.domain.timer import NewTimer
from timer_db.engine import Pool, open_shards
from timer_db.operations.cancel import cancel
from timer_db.operations.schedule import Scheduled, schedule

CONTROLLERS = 3
CREATORS = 3
BATCHES_EACH = 20
BATCH_SIZE = 40
TOTAL = CREATORS * BATCHES_EACH * BATCH_SIZE


@pytest_asyncio.fixture
async def wide(desk: Desk, database_url: str) -> AsyncIterator[Desk]:
    """The same database, with connections for everybody."""
    shards = open_shards([database_url], Pool(size=16))
    yield Desk(shards)
    await shards.close()


class Hammer:
    """The parts, each a loop. All randomness comes from one seed."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.random = random.Random(7)
        self.cancelled: set[bytes] = set()
        self.made: list[UUID] = []
        self.creating = CREATORS

    async def create(self) -> None:
        """Timers of three priorities, close to one another."""
        for _ in range(BATCHES_EACH):
            made = await self.desk.add(*(self._new() for _ in range(BATCH_SIZE)))
            self.made += [timer.id for timer in made]
        self.creating -= 1

    def _new(self) -> NewTimer:
        at_us = NOON_US + self.random.randrange(SECOND_US)
        return new_timer(at_us, priority=self.random.choice([0, 0, 7, 9]))

    async def cancel(self) -> None:
        """Now and then one that was made, whatever became of it since."""
        while self.creating:
            await asyncio.sleep(0.001)
            if self.made:
                chosen = self.made.pop(self.random.randrange(len(self.made)))
                with suppress(NotCancellable):
                    await cancel(self.desk.shards, chosen)
                    self.cancelled.add(chosen.bytes)

    async def control(self) -> None:
        """A controller: claims, and finishes or gives back what it has, in several steps."""
        controller = await self.desk.join()
        number = 0
        while self.creating or await self._is_unfinished():
            number += 1
            claims = await self.desk.take(controller, number, limit=self.random.choice([3, 40, 200]))
            if claims:
                await self._work(controller, number, claims)

    async def _work(self, controller: int, number: int, claims: list[Claim]) -> None:
        self.random.shuffle(claims)
        outcomes = [self._outcome(claim) for claim in claims]
        half = len(claims) // 2
        if half:
            assert not (await self.desk.finish(controller, outcomes[:half])).lost
        if self.random.random() < 0.3:
            back = [claim.entry for claim in claims[half:]]
            assert not (await self.desk.give_back(controller, number, back, is_done=True)).lost_batches
        else:
            assert not (await self.desk.finish(controller, outcomes[half:], {number})).lost

    def _outcome(self, claim: Claim) -> Finished:
        if claim.attempt < 3 and self.random.random() < 0.2:
            return retried(claim, NOON_US + self.random.randrange(SECOND_US), Outcome.unknown)
        return finished(claim)

    async def _is_unfinished(self) -> bool:
        return bool(await self.desk.count("due_queue") or await self.desk.count("claim_batches"))


async def test_everything_at_once(wide: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gave_way = count_gave_way(monkeypatch)
    hammer = Hammer(wide)
    async with asyncio.TaskGroup() as group:
        for _ in range(CREATORS):
            group.create_task(hammer.create())
        for _ in range(CONTROLLERS):
            group.create_task(hammer.control())
        group.create_task(hammer.cancel())

    assert await wide.count("timers") == TOTAL
    assert await wide.in_hand() == {}
    ends = await wide.rows("SELECT timer_id, COUNT(*) FROM attempts WHERE state = 'delivered' GROUP BY timer_id")
    assert {count for _, count in ends} == {1}
    delivered = {bytes(timer_id) for timer_id, _ in ends}
    assert not delivered & hammer.cancelled
    assert len(delivered) + len(hammer.cancelled) == TOTAL
    assert hammer.cancelled
    # Attempts of each timer are numbered without a gap, and all but the last led to a retry.
    log = await wide.rows("SELECT timer_id, attempt, state FROM attempts ORDER BY timer_id, attempt")
    numbers: Counter[bytes] = Counter()
    for timer_id, attempt, state in log:
        numbers[bytes(timer_id)] += 1
        assert attempt == numbers[bytes(timer_id)]
        assert state in ("scheduled", "delivered")
    assert max(numbers.values()) > 1
    assert not gave_way


async def test_creates_that_share_names_give_way_to_nobody(wide: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are locked in one order, so that batches with names in common wait, and do not deadlock."""
    gave_way = count_gave_way(monkeypatch)
    dice = random.Random(11)

    async def create(number: int) -> Counter[str]:
        results: Counter[str] = Counter()
        for _ in range(15):
            batch = [new_timer(name=f"n{dice.randrange(40)}", meta=dice.randrange(2)) for _ in range(8)]
            results.update(_in_a_word(answer) for answer in await schedule(wide.shards, batch))
        return results

    async def end() -> None:
        controller = await wide.join()
        for n in range(1, 12):
            if claims := await wide.take(controller, n, limit=4):
                await wide.finish(controller, [finished(claim) for claim in claims], {n})

    *results, _ = await asyncio.gather(*(create(n) for n in range(4)), end())
    total: Counter[str] = Counter()
    for result in results:
        assert result is not None
        total += result
    assert set(total) == {"new", "same", "taken"}
    assert total["new"] == await wide.count("timers")
    # Of the timers with one name, one lives at most, and it is the one that the name leads to.
    living = await wide.rows(
        "SELECT t.name, COUNT(*), MAX(n.timer_id = t.id) FROM timers t"
        " JOIN timer_names n ON n.collection_id = 1 AND n.name = t.name"
        " LEFT JOIN attempts a ON a.timer_id = t.id WHERE a.timer_id IS NULL GROUP BY t.name"
    )
    assert living
    assert all((count, is_holder) == (1, 1) for _, count, is_holder in living)
    assert not gave_way


def _in_a_word(answer: Scheduled | NameTaken) -> str:
    if isinstance(answer, NameTaken):
        return "taken"
    return "new" if answer.created else "same"

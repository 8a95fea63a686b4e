"""Timers that are put by their name while they are claimed: what was put last is called, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.db.desk import NOON_US, Desk, new_timer
from timer_db.domain.claim import Claim
from timer_db.domain.errors import NameTaken, NotChangeable
from timer_db.domain.timer import NewTimer, Timer
from timer_db.operations.change import replace_whole
from timer_db.operations.inspect import find_named
from timer_db.operations.schedule import Scheduled, schedule

WINS_EACH = 20
ROUNDS_MAX = 300
ANEW = "https://example.com/anew"


class Race:
    """A put against a claim of the same timer; who lost the round before gets a longer start."""

    def __init__(self, desk: Desk, controller: int) -> None:
        self._desk, self._controller = desk, controller
        self._lead_seconds = 0.0
        self.wins: Counter[bool] = Counter()

    async def run(self, number: int) -> tuple[bool, list[str | None]]:
        """Whether it was put, and what was claimed."""
        [made] = await self._desk.add(new_timer(name=f"race {number}"))
        claim = asyncio.create_task(self._claim(number))
        was_put = await self._put(made, new_timer(name=made.name, url=ANEW, priority=number % 3))
        # What is put while others claim may be passed over once.
        claims = await claim or await self._desk.take(self._controller, ROUNDS_MAX + number)
        self.wins[was_put] += 1
        self._lead_seconds += -0.0002 if was_put else 0.0002
        return was_put, [each.timer.url for each in claims]

    async def _put(self, made: Timer, anew: NewTimer) -> bool:
        await asyncio.sleep(max(0.0, -self._lead_seconds))
        try:
            await replace_whole(self._desk.shards, made.id, anew)
        except NotChangeable:
            return False
        return True

    async def _claim(self, number: int) -> list[Claim]:
        await asyncio.sleep(max(0.0, self._lead_seconds))
        return await self._desk.take(self._controller, number)


async def test_a_put_against_a_claim(desk: Desk) -> None:
    """Either it is claimed as it was, and the put is refused; or it is claimed as it was put."""
    race = Race(desk, await desk.join())
    for number in range(1, ROUNDS_MAX):
        was_put, called = await race.run(number)
        assert called == [ANEW if was_put else "https://example.com/hook"]
        if min(race.wins[True], race.wins[False]) >= WINS_EACH:
            return
    raise AssertionError(f"it was no race: {race.wins}")


async def test_the_name_is_found_whatever_became_of_its_timer(desk: Desk) -> None:
    made = new_timer(name="known")
    [first] = await schedule(desk.shards, [made])
    assert isinstance(first, Scheduled)
    anew = new_timer(NOON_US + 5, name="known", url="https://example.com/anew")
    put = await replace_whole(desk.shards, made.id, anew)
    assert (put.id, put.url, put.due_at_us) == (made.id, "https://example.com/anew", NOON_US + 5)
    assert await find_named(desk.shards, "default", 1, "known") == put
    # The name goes by what the timer is like now.
    same, other = await schedule(
        desk.shards, [new_timer(NOON_US + 5, name="known", url=put.url), new_timer(name="known")]
    )
    assert isinstance(same, Scheduled)
    assert (same.created, same.timer.id) == (False, made.id)
    assert isinstance(other, NameTaken)

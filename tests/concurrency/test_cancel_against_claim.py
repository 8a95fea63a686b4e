"""A cancel that was answered is never followed by a call: against a claim at the same moment, one of them wins."""

from __future__ import annotations

import asyncio

from tests.db.desk import Desk, finished, new_timers
from timer_db.domain.claim import Claim
from timer_db.domain.errors import NotCancellable
from timer_db.domain.states import TimerState
from timer_db.domain.timer import Timer
from timer_db.operations.cancel import cancel

WINS_EACH = 40
ROUNDS_MAX = 300
PER_ROUND = 4


class Race:
    """Cancels of some timers against one claim of all of them, so that neither always comes first."""

    def __init__(self, desk: Desk, controller: int) -> None:
        self._desk = desk
        self._controller = controller
        self._lead_seconds = 0.0
        self.cancelled = self.claimed = 0

    @property
    def is_fair(self) -> bool:
        """Whether each has won often enough for the race to have been one."""
        return min(self.cancelled, self.claimed) >= WINS_EACH

    async def run(self, number: int, timers: list[Timer]) -> tuple[list[Claim], list[Timer | BaseException]]:
        """One round. Who lost more in the one before gets a longer start."""
        claim = asyncio.create_task(self._claim(number))
        answers = await asyncio.gather(*(self._cancel(timer) for timer in timers), return_exceptions=True)
        claimed = await claim
        self.claimed += len(claimed)
        self.cancelled += len(timers) - len(claimed)
        self._lead_seconds += 0.0002 * (len(timers) / 2 - len(claimed))
        return claimed, answers

    async def _claim(self, number: int) -> list[Claim]:
        await asyncio.sleep(max(0.0, -self._lead_seconds))
        return await self._desk.take(self._controller, number)

    async def _cancel(self, timer: Timer) -> Timer:
        await asyncio.sleep(max(0.0, self._lead_seconds))
        return await cancel(self._desk.shards, timer.id)


async def test_a_timer_is_cancelled_or_claimed_and_never_both(desk: Desk) -> None:
    controller = await desk.join()
    race = Race(desk, controller)
    for number in range(1, ROUNDS_MAX + 1):
        timers = await desk.add(*new_timers(PER_ROUND))
        claims, answers = await race.run(number, timers)
        taken = {claim.timer.id for claim in claims}
        for timer, answer in zip(timers, answers, strict=True):
            was_cancelled = isinstance(answer, Timer)
            assert was_cancelled != (timer.id in taken)
            assert was_cancelled or isinstance(answer, NotCancellable)
            state = await desk.state(timer.id)
            assert state is (TimerState.cancelled if was_cancelled else TimerState.firing)
        assert await desk.queued() == []
        if claims:
            await desk.finish(controller, [finished(claim) for claim in claims], {number})
        if race.is_fair:
            break
    assert race.is_fair, f"{race.cancelled} cancelled, {race.claimed} claimed"
    assert await desk.count("attempts") == race.claimed
    assert await desk.count("endings") == race.cancelled
    assert await desk.in_hand() == {}

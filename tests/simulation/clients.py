"""Clients of a world: they create timers and cancel some, and remember what they were told."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.simulation import model
from tests.simulation.server import EPOCH_US, Wire
from tests.simulation.world import TROUBLED_SECONDS, World
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.errors import DatabaseUnavailable, NotCancellable, TimerNotFound
from timer_db.domain.ids import new_id
from timer_db.domain.states import OnUnknown
from timer_db.domain.timer import NewTimer


class Clients:
    """Their timers and the moments of their calls are drawn from the world's dice."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice

    async def call(self) -> None:
        """All that they ever ask for."""
        dice = self._dice
        count = dice.choice([3, 8, 20, 40])
        number = 0
        wire = Wire(self._world.server, self._world.loop.world, lambda: self._world.loop.now)
        async with asyncio.TaskGroup() as group:
            while number < count:
                batch = [self._draw_timer(number + n) for n in range(min(dice.randrange(1, 6), count - number))]
                number += len(batch)
                at = dice.choice([0.0, dice.random() * (TROUBLED_SECONDS - 0.5)])
                group.create_task(self._create(wire, at, batch))

    def _draw_timer(self, number: int) -> NewTimer:
        dice = self._dice
        return NewTimer(
            id=new_id(EPOCH_US, random=number.to_bytes(8, "big")),
            due_at_us=0,
            created_at_us=0,
            url=f"https://{dice.choice(['a.test', 'slow.test', 'sick.test'])}/hook",
            body=dice.choice([None, f"{number}".encode(), f"{number:05}".encode() * 1000]),
            priority=dice.choice([0, 0, 0, 7]),
            retry=RetryPolicy(
                max_attempts=dice.choice([1, 3, 6]),
                initial_seconds=dice.choice([0.0, 0.05, 0.5]),
                factor=2.0,
                max_seconds=1.0,
            ),
            timeout_seconds=dice.choice([0.5, 2.0]),
            on_unknown=dice.choice(list(OnUnknown)),
        )

    async def _create(self, wire: Wire, at: float, batch: list[NewTimer]) -> None:
        dice = self._dice
        await self._world.until(at)
        now_us = self._world.server.now_us()
        is_close = dice.random() < 0.5
        together = dice.random() * 3
        for number, timer in enumerate(batch):
            # Some are due less than a millisecond apart, where waking up for one is too early for the next.
            after = dice.choice([-1.0, 0.0, dice.random() * 0.02, dice.random() * 3, dice.random() * 3])
            timer.created_at_us = now_us
            timer.due_at_us = now_us + round((together + number * 0.0003 if is_close else after) * 1_000_000)
        ids = [timer.id.bytes for timer in batch]
        self._world.created.update(zip(ids, batch, strict=True))
        for is_repeat in (False, True):
            try:
                await wire.run("create", lambda t, now: model.schedule(t, batch))
            except DatabaseUnavailable:
                self._world.note(self._world.loop.world, "nobody knows whether %s are stored", ids)
            else:
                self._world.note(self._world.loop.world, "%s are stored%s", ids, ", at last" if is_repeat else "")
                break
        if dice.random() < 0.2:
            await asyncio.sleep(dice.random() * 2)
            await self._cancel(wire, dice.choice(batch).id)

    async def _cancel(self, wire: Wire, timer_id: UUID) -> None:
        try:
            await wire.run("cancel", lambda t, now: self._note_cancel(model.cancel(t, now, timer_id).id.bytes))
        except DatabaseUnavailable:
            self._world.maybe_cancelled.add(timer_id.bytes)
            self._world.note(self._world.loop.world, "nobody knows whether %s is cancelled", timer_id.bytes)
        except (NotCancellable, TimerNotFound):
            pass

    def _note_cancel(self, timer_id: bytes) -> None:
        self._world.note(self._world.loop.world, "%s is cancelled", timer_id)
        self._world.cancelled_us[timer_id] = self._world.server.now_us()

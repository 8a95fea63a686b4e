"""One membership of one controller on one database: from joining to leaving, or to losing its place."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from timer_controller.claimer import Claimer
from timer_controller.delivery import Delivery
from timer_controller.finisher import Finisher
from timer_controller.hands import Hands
from timer_controller.heartbeat import Heartbeat
from timer_controller.lease import Lease
from timer_controller.loops import Repeater
from timer_controller.rescuer import Rescuer
from timer_controller.retention import Retention
from timer_controller.sender.protocol import Sender
from timer_controller.settings import ControllerSettings
from timer_controller.version import VERSION
from timer_controller.wheel import Wheel
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.engine import Engine
from timer_db.operations import membership
from timer_db.operations.claim import give_back, load_whole

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.25


class Session:
    """Wires the parts together. `run` ends when `stop` was set and all is put in order; it raises Fenced when
    others took the membership away."""

    def __init__(self, engine: Engine, controller_id: int, sender: Sender, settings: ControllerSettings) -> None:
        self._engine = engine
        self._controller_id = controller_id
        self._drain_seconds = settings.drain_seconds
        self._refused: list[Claim] = []
        self._is_draining = False
        clock = DatabaseClock()
        self.lease = Lease(settings.lease_seconds)
        self._hands = Hands(settings.hands_max)
        self._finisher = Finisher(engine, controller_id, self._hands, self._on_written)
        self._delivery = Delivery(
            sender,
            clock=clock,
            lease=self.lease,
            calls_max=settings.calls_max,
            on_finished=self._finisher.put,
            on_refused=self._on_refused,
            on_room=lambda: self._wheel.turn(),
            load_whole=partial(load_whole, engine),
        )
        self._wheel = Wheel(clock, self._delivery.start, self._delivery.may_start)
        claimer = Claimer(
            engine,
            controller_id,
            clock=clock,
            lease=self.lease,
            hands=self._hands,
            poll_seconds=settings.poll_seconds,
            on_claimed=self._wheel.put,
        )
        heartbeat = Heartbeat(engine, controller_id, clock=clock, lease=self.lease, on_renewed=self._on_renewed)
        self._beats = Repeater("beat", heartbeat.run_once)
        self._claims = Repeater("claim", claimer.run_once)
        self._outcomes = Repeater("finish", self._finisher.run_once)
        rescuer = Rescuer(engine, lease=self.lease, on_rescued=self._claims.wake)
        self._rescues = Repeater("rescue", rescuer.run_once)
        self._upkeep = Repeater("upkeep", Retention(engine).run_once)
        self._first_beat = heartbeat.run_once

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and everything in hand is written down or given back."""
        await self._first_beat()
        try:
            async with asyncio.TaskGroup() as group:
                claims = group.create_task(self._claims.run())
                endless = [
                    group.create_task(part.run())
                    for part in (self._beats, self._outcomes, self._rescues, self._upkeep)
                ]
                await stop.wait()
                self._claims.stop()
                await claims
                await self._drain()
                for task in endless:
                    task.cancel()
        finally:
            self._wheel.empty()
            self._delivery.abandon()
        await membership.leave(self._engine, self._controller_id)

    async def _drain(self) -> None:
        """Give back what was not sent, let calls end, write every outcome: no unknowns."""
        self._is_draining = True
        waiting = self._wheel.empty()
        log.info("stopping: %d timers go back, %d calls are in flight", len(waiting), self._delivery.in_flight)
        try:
            async with asyncio.timeout(self._drain_seconds):
                await self._give_back(waiting)
                await self._delivery.ended()
                await self._finisher.all_written()
                await self._give_back(self._refused)
        except TimeoutError:
            log.error(
                "stopped after %.0f s with %d timers in hand: others will take them over as unknown",
                self._drain_seconds,
                self._hands.held,
            )

    async def _give_back(self, claims: Iterable[Claim]) -> None:
        by_batch: defaultdict[int, list[Claim]] = defaultdict(list)
        for claim in claims:
            by_batch[claim.batch].append(claim)
        for batch, members in by_batch.items():
            entries = {claim.entry for claim in members}
            is_done = self._hands.open_in(batch) <= entries
            while True:
                try:
                    await give_back(self._engine, self._controller_id, batch, entries, is_done=is_done)
                    break
                except DatabaseUnavailable:
                    await asyncio.sleep(_AGAIN_SECONDS)
            self._hands.let_go(batch, entries)

    def _on_refused(self, claim: Claim) -> None:
        # The lease ran out between the wheel and the first byte: it waits for the lease, or goes back.
        if self._is_draining:
            self._refused.append(claim)
        else:
            self._wheel.put([claim])

    def _on_written(self) -> None:
        self._claims.wake()

    def _on_renewed(self) -> None:
        self._wheel.turn()


async def join(engine: Engine, sender: Sender, settings: ControllerSettings) -> Session:
    """A new membership."""
    host, pid = socket.gethostname(), os.getpid()
    controller_id = await membership.join(engine, host, pid, VERSION)
    log.info("joined as controller %d (%s:%d)", controller_id, host, pid)
    return Session(engine, controller_id, sender, settings)

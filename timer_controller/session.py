"""One membership of one controller on one database: from joining to leaving, or to losing its place."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from timer_controller.breaker import BreakerRules
from timer_controller.claimer import Claimer
from timer_controller.deferrer import Deferrer
from timer_controller.delivery import Delivery
from timer_controller.destinations import Destination, Destinations
from timer_controller.dispatcher import Dispatcher
from timer_controller.finisher import Finisher
from timer_controller.groups import Groups
from timer_controller.hands import Hands
from timer_controller.heartbeat import Heartbeat
from timer_controller.lease import Lease
from timer_controller.loops import AWAY_SECONDS, Outage, Repeater
from timer_controller.metrics.tally import Tally
from timer_controller.reclaimer import Reclaimer
from timer_controller.rescuer import Rescuer
from timer_controller.retention import Retention
from timer_controller.route_watch import RouteWatch
from timer_controller.sender.protocol import Result, Sender
from timer_controller.settings import ControllerSettings
from timer_controller.shares import Shares
from timer_controller.shelf import Shelf
from timer_controller.signing import Signer
from timer_controller.version import VERSION
from timer_controller.wheel import Wheel
from timer_db.clock import DatabaseClock
from timer_db.domain.claim import Claim, Returned
from timer_db.domain.directory import Directory
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.engine import Engine
from timer_db.operations import membership
from timer_db.operations.claim import load_whole
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.membership import Beat
from timer_db.operations.overdue import Own
from timer_db.operations.rescue import Rescued
from timer_db.shards import Shard

if TYPE_CHECKING:
    from timer_controller.traces import Traces

log = logging.getLogger(__name__)


class Session:
    """Wires the parts together. `run` ends when `stop` was set and all is put in order; it raises Fenced when
    others took the membership away."""

    def __init__(
        self,
        engine: Engine,
        controller_id: int,
        sender: Sender,
        settings: ControllerSettings,
        directory: DirectoryKeeper,
        signer: Signer | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        shard: int = 0,
        tally: Tally | None = None,
        traces: Traces | None = None,
        outage: Outage | None = None,
    ) -> None:
        tally = tally or Tally()
        self._tally = tally
        self._traces = traces
        self._engine = engine
        self._controller_id = controller_id
        self._drain_seconds = settings.drain_seconds
        self._is_draining = False
        clock = DatabaseClock(monotonic)
        self.lease = Lease(settings.lease_seconds, monotonic)
        self._hands = Hands(settings.hands_max)
        self._finisher = Finisher(
            engine, controller_id, self._hands, self._on_written, on_logged=tally.note_written
        )
        self._monotonic = monotonic
        self._shares = Shares(controller_id, shard, len(settings.db_urls))
        self._directory = directory
        self._groups = Groups(lambda: directory.current, self._shares, monotonic=monotonic)
        self._delivery = Delivery(
            sender,
            clock=clock,
            lease=self.lease,
            calls_max=settings.calls_max,
            on_finished=self._finisher.put,
            on_refused=self._on_refused,
            on_left=self._on_left,
            load_whole=partial(load_whole, engine),
            groups=self._groups,
            directory=lambda: directory.current,
            signer=signer,
            keyring=settings.keyring,
            traces=traces,
            monotonic=monotonic,
        )
        rules = BreakerRules(
            settings.breaker_failures, settings.breaker_seconds, settings.breaker_patience_seconds
        )
        destinations = self._destinations = Destinations(rules)
        deferrer = Deferrer(
            destinations,
            self._groups,
            self._delivery,
            hands=self._hands,
            lease=self.lease,
            destination_calls_max=settings.destination_calls_max,
            give_back=self._finisher.give_back,
            on_room=self._on_room,
            monotonic=monotonic,
        )
        self._dispatcher = Dispatcher(self._delivery, destinations, self._groups, deferrer, monotonic=monotonic)
        self._wheel = Wheel(clock, self._dispatcher.put)
        self._reclaimer = Reclaimer(
            engine,
            controller_id,
            lease=self.lease,
            hands=self._hands,
            deferrer=deferrer,
            directory=directory,
            poll_seconds=settings.poll_seconds,
            on_claimed=self._on_reclaimed,
            monotonic=monotonic,
        )
        self._shelf = Shelf(
            self._finisher.release,
            clock=clock,
            ahead=lambda: self._wheel.waiting + self._dispatcher.waiting,
            on_released=self._wheel.put,
        )
        self._claimer = Claimer(
            engine,
            controller_id,
            clock=clock,
            lease=self.lease,
            hands=self._hands,
            poll_seconds=settings.poll_seconds,
            shelf=self._shelf,
            groups=self._groups,
            directory=directory,
            defer=deferrer.defer,
            on_claimed=self._on_claimed,
            note_claimed=self._note_claimed,
            monotonic=monotonic,
        )
        heartbeat = Heartbeat(
            engine,
            controller_id,
            clock=clock,
            lease=self.lease,
            settled_at_us=lambda: self._shares.settled_at_us,
            on_renewed=self._on_renewed,
            monotonic=monotonic,
        )
        outage = outage or Outage()
        self._beats = Repeater("beat", heartbeat.run_once, outage)
        self._claims = Repeater("claim", self._claimer.run_once, outage)
        self._reclaims = Repeater("reclaim", self._reclaimer.run_once, outage)
        self._releases = Repeater("release", self._shelf.run_once, outage)
        self._sweeps = Repeater("sweep", self._dispatcher.sweep, outage)
        self._outcomes = Repeater("finish", self._finisher.run_once, outage)
        rescuer = Rescuer(engine, lease=self.lease, on_rescued=self._on_rescued)
        self._rescues = Repeater("rescue", rescuer.run_once, outage)
        retention = Retention(
            engine,
            days=settings.retention_days,
            own=lambda: _own_retention(directory.current),
            is_behind=lambda: self._claimer.is_behind,
            monotonic=monotonic,
        )
        self._upkeep = Repeater("upkeep", retention.run_once, outage, is_vital=False)
        watch = RouteWatch(directory, self._groups, clock=clock, monotonic=monotonic)
        self._watches = Repeater("routes", watch.run_once, outage, is_vital=False)
        self._first_beat = heartbeat.run_once

    @property
    def held(self) -> int:
        """Claims in hand."""
        return self._hands.held

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._delivery.in_flight

    @property
    def breakers_open(self) -> int:
        """Receivers in trouble."""
        return self._destinations.in_trouble

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and everything in hand is written down or given back."""
        with self._directory.telling(self._groups.look):
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        self._groups.look()
        await self._first_beat()
        try:
            async with asyncio.TaskGroup() as group:
                taking = (self._claims, self._reclaims, self._releases)
                claiming = [group.create_task(part.run()) for part in taking]
                endless = [
                    group.create_task(part.run())
                    for part in (
                        self._beats,
                        self._outcomes,
                        self._sweeps,
                        self._rescues,
                        self._upkeep,
                        self._watches,
                    )
                ]
                await stop.wait()
                for part in taking:
                    part.stop()
                await asyncio.gather(*claiming)
                await self._drain()
                for task in endless:
                    task.cancel()
        finally:
            self._shelf.empty()
            self._wheel.empty()
            self._dispatcher.empty()
            self._delivery.abandon()
        await membership.leave(self._engine, self._controller_id)
        log.info("controller %d has left", self._controller_id)

    async def _drain(self) -> None:
        """Give back what was not sent, let calls end, write every outcome: no unknowns."""
        self._is_draining = True
        held, in_flight = self._hands.held, self._delivery.in_flight
        log.info(
            "stopping: %d timers in hand, %d calls in flight",
            held,
            in_flight,
            extra={"in_hand": held, "in_flight": in_flight},
        )
        try:
            async with asyncio.timeout(self._drain_seconds):
                self._give_back_what_waits()
                await self._settle_claims()
                self._give_back_what_waits()
                await self._delivery.ended()
                await self._finisher.all_written()
        except TimeoutError:
            log.error(
                "stopped after %.0f s with %d timers in hand: others will take them over as unknown",
                self._drain_seconds,
                self._hands.held,
                extra={"in_hand": self._hands.held},
            )

    async def _settle_claims(self) -> None:
        """A claim whose answer was lost may have taken a batch, which nobody has in hand yet."""
        for part in (self._claimer, self._reclaimer):
            while True:
                try:
                    await part.settle()
                    break
                except DatabaseUnavailable:
                    await asyncio.sleep(AWAY_SECONDS)

    def _give_back_what_waits(self) -> None:
        for claim in self._shelf.empty() + self._wheel.empty() + self._dispatcher.empty():
            self._give_back(claim)

    def _give_back(self, claim: Claim) -> None:
        self._finisher.give_back(Returned(claim.batch, claim.entry))

    def _on_refused(self, claim: Claim) -> None:
        # The lease ran out between the wheel and the first byte: it waits for the lease, or goes back.
        if self._is_draining:
            self._give_back(claim)
        else:
            self._dispatcher.put([claim])

    def _on_left(self, claim: Claim, destination: Destination, result: Result | None, began_at: float) -> None:
        self._dispatcher.left(claim, destination, result, began_at)

    def _on_room(self, key: bytes) -> None:
        self._reclaimer.want(key)
        self._reclaims.wake()

    def _note_claimed(self, claims: Sequence[Claim]) -> None:
        self._tally.claimed.add(len(claims))
        if self._traces is not None:
            self._traces.claimed(claims)

    def _on_reclaimed(self, claims: list[Claim]) -> None:
        if self._traces is not None:
            self._traces.claimed(claims)
        self._wheel.put(claims)

    def _on_claimed(self) -> None:
        self._releases.wake()

    def _on_written(self, returned: Sequence[Returned]) -> None:
        self._claims.wake()
        self._releases.wake()
        for key in {claim.destination for claim in returned}:
            if key is not None:
                self._reclaimer.want(key)
        if self._reclaimer.is_hungry:
            self._reclaims.wake()

    def _on_rescued(self, rescued: Rescued) -> None:
        self._tally.note_rescued(rescued)
        self._claimer.expect_stragglers()
        self._claims.wake()

    def _on_renewed(self, told: Beat) -> None:
        self._shares.learn(told.now_us, told.members, self._monotonic())
        self._groups.adjust()
        if self._groups.keep_to_shares():
            self._shares.settled_at_us = told.now_us
        self._wheel.turn()
        self._dispatcher.turn()


def _own_retention(directory: Directory) -> dict[int, Own]:
    return {
        number: Own(collection.settings.retention_days, collection.created_at_us)
        for number, collection in directory.collections.items()
        if collection.settings.retention_days is not None
    }


async def join(
    shard: Shard,
    sender: Sender,
    settings: ControllerSettings,
    directory: DirectoryKeeper,
    signer: Signer | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    tally: Tally | None = None,
    traces: Traces | None = None,
    outage: Outage | None = None,
) -> Session:
    """A new membership. `monotonic`, in seconds, is for tests."""
    host, pid = socket.gethostname(), os.getpid()
    controller_id = await membership.join(shard.engine, host, pid, VERSION)
    # All tasks of this membership inherit it: each of their lines names it.
    structlog.contextvars.bind_contextvars(controller_id=controller_id)
    log.info("joined as controller %d (%s:%d)", controller_id, host, pid)
    return Session(
        shard.engine,
        controller_id,
        sender,
        settings,
        directory,
        signer,
        monotonic,
        shard.number,
        tally,
        traces,
        outage,
    )

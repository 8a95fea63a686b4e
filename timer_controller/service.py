"""The controller as a process: first contact, a session per database, and a new one after a lost place."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from timer_controller import session
from timer_controller.loops import AWAY_SECONDS, Outage, Repeater
from timer_controller.metrics.backlog import BacklogWatch
from timer_controller.metrics.collector import ControllerCollector
from timer_controller.metrics.tally import Tally
from timer_controller.planner import Planner
from timer_controller.sender.protocol import Sender
from timer_controller.session import Session
from timer_controller.settings import ControllerSettings
from timer_controller.signing import signer_of
from timer_db.clock import DatabaseClock
from timer_db.domain.directory import Directory
from timer_db.domain.errors import DatabaseUnavailable, Fenced
from timer_db.engine import Pool, open_shards
from timer_db.metrics import Metrics
from timer_db.operations.directory import DirectoryKeeper
from timer_db.operations.watch import ClockKeeper, ConnectRetry
from timer_db.shards import Shard, Shards

if TYPE_CHECKING:
    from timer_controller.traces import Traces

log = logging.getLogger(__name__)


class Controller:
    """Serves every database of its settings until `stop` is called."""

    def __init__(self, settings: ControllerSettings, sender: Sender, traces: Traces | None = None) -> None:
        self._settings = settings
        self._sender = sender
        self._traces = traces
        self._signer = signer_of(settings.signing_secrets)
        self._stop = asyncio.Event()
        self._sessions: dict[int, Session] = {}
        self._shards: Shards | None = None
        self._directory: DirectoryKeeper | None = None
        self._backlogs: list[BacklogWatch] = []
        self._tally = Tally()
        self.metrics = Metrics(
            "controller",
            ControllerCollector(
                self._tally,
                is_ready=lambda: self.is_ready,
                sessions=lambda: list(self._sessions.values()),
                backlogs=lambda: [watch.seen for watch in self._backlogs],
                directory=self._current_directory,
            ),
        )

    @property
    def is_ready(self) -> bool:
        """Whether every database takes our beats."""
        return (
            self._shards is not None
            and len(self._sessions) == len(self._shards)
            and all(session.lease.may_send() for session in self._sessions.values())
        )

    def _current_directory(self) -> Directory | None:
        return None if self._directory is None else self._directory.current

    def stop(self) -> None:
        """Drain and leave. Safe to call more than once."""
        self._stop.set()

    async def run(self) -> None:
        """Until stopped. Raises DatabaseError when the first contact fails for good."""
        settings = self._settings
        shards = open_shards(settings.db_urls, Pool(settings.db_pool_size), settings.keyring)
        self._shards = shards
        retry = ConnectRetry(
            settings.db_connect_attempts,
            settings.db_connect_wait_seconds,
            settings.db_connect_wait_max_seconds,
        )
        keeper = ClockKeeper(shards, DatabaseClock(), retry)
        directory = self._directory = DirectoryKeeper(shards)
        self._backlogs = [BacklogWatch(shard) for shard in shards]
        try:
            if await self._unless_stopped(keeper.wait_until_ready()):
                async with asyncio.TaskGroup() as group:
                    planner = Planner(shards.home, directory, poll_seconds=settings.poll_seconds)
                    names = (
                        ["the database"] if len(shards) == 1 else [f"database {shard.number}" for shard in shards]
                    )
                    outages = [Outage(name) for name in names]
                    planning = Repeater("plan", planner.run_once, outages[0], is_vital=False)
                    watching = [
                        Repeater("look at the backlog", watch.run_once, outage, is_vital=False)
                        for watch, outage in zip(self._backlogs, outages, strict=True)
                    ]
                    beside = [
                        group.create_task(directory.run()),
                        *(group.create_task(part.run()) for part in (planning, *watching)),
                    ]
                    serving = [
                        group.create_task(self._serve(shard, directory, outage))
                        for shard, outage in zip(shards, outages, strict=True)
                    ]
                    await self._stop.wait()
                    planning.stop()
                    await asyncio.gather(*serving)
                    for task in beside:
                        task.cancel()
        finally:
            await self._sender.aclose()
            await shards.close()

    async def _serve(self, shard: Shard, directory: DirectoryKeeper, outage: Outage) -> None:
        while not self._stop.is_set():
            try:
                joined = await session.join(
                    shard,
                    self._sender,
                    self._settings,
                    directory,
                    self._signer,
                    tally=self._tally,
                    traces=self._traces,
                    outage=outage,
                )
                self._sessions[shard.number] = joined
                await joined.run(self._stop)
            except* Fenced as group:
                log.warning("lost the place among the controllers: %s; joining again", group.exceptions[0])
            except* DatabaseUnavailable as group:
                log.warning("no place among the controllers: %s", group.exceptions[0])
                await asyncio.sleep(AWAY_SECONDS)

    async def _unless_stopped(self, work: object) -> bool:
        """Whether the work ended before a stop was asked for; a stop ends it."""
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            return False
        task.result()
        return True

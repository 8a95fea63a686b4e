"""Where the faults play: two API processes, three controllers and a recording receiver on one database server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.db.proxy import Proxy
from tests.faults.http_line import Line
from tests.faults.recorder import Recorder
from tests.system import Service, Services, free_port, poll
from timer_db import transactions
from timer_db.domain.errors import DatabaseUnavailable
from timer_db.domain.queue_entry import HEAD_KEY
from timer_db.embedded import EmbeddedServer
from timer_db.engine import Pool, open_shards
from timer_db.transactions import Connection

APIS, CONTROLLERS = 2, 3
_LOOK_SECONDS = 0.05
_ENTRY_BYTES = 26
_PAGE = 1000
_STILL_OPEN_SECONDS = 0.25
"""Longer than any transaction of ours on a machine that is not overloaded."""
_WITH_LOCKS = "SELECT trx_id FROM information_schema.innodb_trx WHERE trx_rows_locked > 0 OR trx_rows_modified > 0"
_IN_WORK = (
    f"SELECT EXISTS (SELECT 1 FROM due_queue WHERE due_key > x'{HEAD_KEY.hex()}' LIMIT 1)"
    " OR EXISTS (SELECT 1 FROM deferred_queue LIMIT 1) OR EXISTS (SELECT 1 FROM claim_batches LIMIT 1)"
)


@dataclass(frozen=True, slots=True)
class Rescue:
    """What became of the claims of a controller that fell silent."""

    seconds: float
    in_hand: int
    unknown: int


class Stage(Services):
    """Everything runs on entry. `through_proxy` puts the suite's proxy between the services and the database."""

    def __init__(self, server: EmbeddedServer, *, lease_seconds: float, through_proxy: bool = False) -> None:
        super().__init__(server, server.url)
        self.lease_seconds = lease_seconds
        self.folder = Path(self._folder.name)
        self.recorder = Recorder(self.folder)
        self.proxy = Proxy(server.url)
        self.apis: list[Service] = []
        self.controllers: list[Service] = []
        self._altered: set[Service] = set()
        self._through_proxy = through_proxy
        # A pool of its own, past the proxy: to see what the services do not tell.
        self._shards = open_shards([server.url], Pool(size=2))

    async def __aenter__(self) -> Self:
        await self.recorder.__aenter__()
        await self.proxy.__aenter__()
        try:
            await self._start_services()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start_services(self) -> None:
        if self._through_proxy:
            self._database_url = self.proxy.url
        for _ in range(APIS):
            port = free_port()
            self.apis.append(await self.start("timer_api", {"API_PORT": port}, port))
        for _ in range(CONTROLLERS):
            self.controllers.append(await self._start_controller())
        await self.until_ready()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self._shards.close()
        await self.proxy.__aexit__()
        await self.recorder.__aexit__()

    async def _start_controller(self) -> Service:
        port = free_port()
        # A short cool-down: a receiver that is well again is to be called within the run.
        rules = {"lease_seconds": self.lease_seconds, "breaker_seconds": 0.1}
        return await self.start("timer_controller", {"CONTROLLER_PORT": port, **rules}, port)

    async def until_ready(self) -> None:
        """Until every service says so."""
        await asyncio.gather(*(service.wait_until(httpx.codes.OK) for service in self.services))

    async def heal(self) -> None:
        """As it was at first: everything runs, as it was meant to, and every receiver answers."""
        self.proxy.spare()
        if not self.server.is_running:
            await asyncio.to_thread(self.server.start)
        for extra in self.services[APIS + CONTROLLERS :]:
            await extra.kill()
        del self.services[APIS + CONTROLLERS :]
        for altered in self._altered:
            await altered.terminate()
        self._altered.clear()
        for service in self.services:
            if not service.is_running:
                await service.start()
        for url in self.recorder.urls:
            await self.recorder.behave(url, None)
        await self.until_ready()

    async def restart(self, service: Service, **extra: str) -> None:
        """In order; `extra` goes into its environment, until the stage is healed."""
        await service.terminate()
        if extra:
            self._altered.add(service)
        await service.start(**extra)
        await service.wait_until(httpx.codes.OK)

    async def member_of(self, service: Service) -> int:
        """The number under which this controller is a member."""
        assert service.process
        rows = await self.rows(f"SELECT MAX(id) FROM controllers WHERE pid = {service.process.pid}")
        return int(rows[0][0])

    async def rescue_of(self, member: int, began_at_us: int) -> Rescue:
        """Wait until others have taken back every claim of this member, who fell silent at `began_at_us`."""
        batches = await self.rows(
            f"SELECT number, LENGTH(entries) FROM claim_batches WHERE controller_id = {member}"
        )
        numbers = ",".join(str(number) for number, _ in batches) or "-1"
        logged = await self.rows(
            f"SELECT COUNT(*) FROM attempts WHERE controller_id = {member} AND batch IN ({numbers})"
        )

        async def is_over() -> bool:
            rows = await self.rows(
                "SELECT c.gone_at_us IS NOT NULL AND NOT EXISTS"
                " (SELECT 1 FROM claim_batches b WHERE b.controller_id = c.id)"
                f" FROM controllers c WHERE c.id = {member}"
            )
            return bool(rows[0][0])

        await poll(is_over, 60, f"the rescue of what controller {member} held")
        seconds = time.time() - began_at_us / 1e6
        unknown = await self.rows(
            f"SELECT COUNT(*) FROM attempts WHERE controller_id = {member} AND outcome = 'unknown'"
            f" AND finished_at_us > {began_at_us}"
        )
        in_hand = sum(int(size) for _, size in batches) // _ENTRY_BYTES - int(logged[0][0])
        return Rescue(seconds, in_hand, int(unknown[0][0]))

    async def keeps_locks(self) -> bool:
        """Whether some transaction stays open with locks: somebody is frozen in the middle of it."""
        before = await self.rows(_WITH_LOCKS)
        await asyncio.sleep(_STILL_OPEN_SECONDS)
        return bool(set(before) & set(await self.rows(_WITH_LOCKS)))

    async def settled(self, timeout_seconds: float) -> bool:
        """Whether every timer has ended, at the latest after this long."""
        ends_at = time.monotonic() + timeout_seconds
        while time.monotonic() < ends_at:
            if not (await self.rows(_IN_WORK))[0][0]:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def states(self, since_us: int) -> dict[str, str]:
        """By id, how `GET /timers` shows each timer that was made from this time on."""
        found: dict[str, str] = {}
        cursor = ""
        async with Line(self.apis[0].url) as line:
            while True:
                _, page = await line.call("GET", f"/timers?limit={_PAGE}{cursor}")
                found.update({timer["id"]: timer["status"] for timer in page["timers"]})
                last = page["timers"][-1]["id"] if page["timers"] else ""
                if not page["next_cursor"] or _made_at_us(last) < since_us:
                    return found
                cursor = f"&cursor={page['next_cursor']}"

    async def state_of(self, timer_ids: Sequence[str]) -> dict[str, str]:
        """The same by `GET /timers/{id}`."""
        async with Line(self.apis[-1].url) as line:
            answers = [await line.call("GET", f"/timers/{timer_id}") for timer_id in timer_ids]
        return {
            i: answer["status"] for i, (status, answer) in zip(timer_ids, answers, strict=True) if status == 200
        }

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database itself says; one that was away is asked again over a new connection."""

        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await connection.rows(sql)

        [shard] = self._shards
        try:
            return await transactions.run(shard.engine, work)
        except DatabaseUnavailable:
            return await transactions.run(shard.engine, work)


def _made_at_us(timer_id: str) -> int:
    """A UUIDv7 begins with its time in milliseconds."""
    return int(timer_id.replace("-", "")[:12], 16) * 1000

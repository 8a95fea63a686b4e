"""Several clients that create timers, one by one and in batches, and cancel some; every answer is kept."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tests.faults.http_line import Line, Lost
from tests.faults.record import Asked

_BATCHES = (20, 60)
_RETRY = {"max_attempts": 100, "initial_seconds": 0.2, "factor": 1.0, "max_seconds": 1.0, "jitter": 0.1}
_AGAIN_SECONDS = 0.2
"""How long a client waits before it repeats."""
_MARGIN_SECONDS = 1.0
"""A create with a name is repeated while its due time is so far away; later the first timer may have ended, and
the repeat would make a second one."""
_CANCEL_TRIES = 5
_RECEIVER_TIMEOUT_SECONDS = 1.0

numbers = count(1)
"""Of all timers of this process: no two runs share one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many timers, over which time, and how far ahead."""

    timers: int
    seconds: float
    ahead_seconds: float = 3.0
    clients: int = 8
    batch: int = 0
    """When not 0: batches of so many, due at once, with nothing else about them."""


class Load:
    """Makes the timers of a plan, and goes on at that pace until it is told that they are enough. The same seed
    makes the same ones."""

    def __init__(self, plan: Plan, draw: random.Random, apis: Sequence[str], receivers: Sequence[str]) -> None:
        self._plan = plan
        self._draw = draw
        self._apis = apis
        self._receivers = receivers
        self._jobs: deque[tuple[float, list[Asked]]] = deque()
        self._is_enough = False
        self._cancels: list[asyncio.Task[None]] = []
        self.asked: list[Asked] = []
        while len(self.asked) < plan.timers:
            self._add_job()

    def finish(self) -> None:
        """What is planned is enough."""
        self._is_enough = True

    async def run(self) -> None:
        """Until it is enough, and every create and every cancel was answered or given up."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for client in range(self._plan.clients):
                group.create_task(self._client(client, began))
        await asyncio.gather(*self._cancels)

    def _add_job(self) -> None:
        at = self._plan.seconds * len(self.asked) / self._plan.timers
        size = self._plan.batch or (1 if self._draw.random() < 0.8 else self._draw.randint(*_BATCHES))
        planned = self._plan.timers - len(self.asked)
        job = [self._new() for _ in range(min(size, planned) if planned > 0 else size)]
        self.asked += job
        self._jobs.append((at, job))

    def _new(self) -> Asked:
        asked = Asked(next(numbers))
        draw = self._draw
        if self._plan.batch:
            return asked
        asked.on_unknown = draw.choices(["resend", "hold", "fail"], [3, 1, 1])[0]
        asked.priority = draw.choice([0, 0, 0, 5, 300])
        if draw.random() < 0.6:
            asked.delay_seconds = draw.uniform(0.3, self._plan.ahead_seconds)
        if draw.random() < 0.5:
            asked.name = f"fault-{asked.number}"
        if asked.delay_seconds and draw.random() < 0.15:
            # Some come too late, some just in time.
            asked.cancel_after_seconds = draw.uniform(0.1, asked.delay_seconds)
        return asked

    async def _client(self, client: int, began: float) -> None:
        lines = [Line(url) for url in self._apis]
        line = lines[client % len(lines)]
        while self._jobs or not self._is_enough:
            if not self._jobs:
                self._add_job()
            at, job = self._jobs.popleft()
            await asyncio.sleep(began + at - time.monotonic())
            line = await self._create(line, lines, job)
        for line in lines:
            line.close()

    async def _create(self, line: Line, lines: Sequence[Line], job: Sequence[Asked]) -> Line:
        """Gives the line to go on with: after a fault it is the next API's."""
        made_at = time.time()
        wanted = [(asked, self._document(asked, made_at)) for asked in job]
        while wanted:
            await self._try(line, wanted)
            wanted = [(asked, document) for asked, document in wanted if _is_worth_another(asked, made_at)]
            if any(not asked.ids for asked in job):
                line = lines[(lines.index(line) + 1) % len(lines)]
            if wanted:
                await asyncio.sleep(_AGAIN_SECONDS)
        return line

    def _document(self, asked: Asked, made_at: float) -> dict[str, Any]:
        document: dict[str, Any] = {
            "url": f"{self._receivers[asked.number % len(self._receivers)]}/{asked.number}",
            "retry": _RETRY,
            "on_unknown": asked.on_unknown,
            "priority": asked.priority,
        }
        if asked.number % len(self._receivers) == 0:
            document["timeout_seconds"] = _RECEIVER_TIMEOUT_SECONDS
        if asked.name:
            document["name"] = asked.name
        if asked.delay_seconds:
            due_at = datetime.fromtimestamp(made_at + asked.delay_seconds, UTC)
            document["due_at"] = due_at.isoformat(timespec="microseconds")
        else:
            document["seconds"] = 0
        return document

    async def _try(self, line: Line, wanted: Sequence[tuple[Asked, dict[str, Any]]]) -> None:
        try:
            if len(wanted) == 1 and not self._plan.batch:
                status, answer = await line.call("POST", "/timers", wanted[0][1])
                results = [answer if status < 300 else {"error": answer}]
            else:
                documents = [document for _, document in wanted]
                status, answer = await line.call("POST", "/timers/batch", {"timers": documents})
                results = answer["results"] if status < 300 else [{"error": answer}] * len(wanted)
        except Lost as lost:
            results = [{"error": {"status": 0, "title": str(lost)}}] * len(wanted)
        now_us = time.time_ns() // 1000
        for (asked, _), result in zip(wanted, results, strict=True):
            self._note(asked, result, now_us)

    def _note(self, asked: Asked, result: dict[str, Any], now_us: int) -> None:
        if error := result.get("error"):
            if error["status"] not in (0, 503):
                asked.complaints.append(f"a good create was answered {error}")
            asked.refused.append(f"{error['status']} {error['title']}")
            return
        asked.ids.append(result["id"])
        asked.made_at_us = now_us
        asked.due_at_us = round(datetime.fromisoformat(result["due_at"]).timestamp() * 1e6)
        if asked.cancel_after_seconds is not None and len(asked.ids) == 1:
            self._cancels.append(asyncio.create_task(self._cancel(asked, asked.cancel_after_seconds)))

    async def _cancel(self, asked: Asked, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        for number in range(_CANCEL_TRIES):
            async with Line(self._apis[(asked.number + number) % len(self._apis)]) as line:
                try:
                    status, answer = await line.call("DELETE", f"/timers/{asked.ids[0]}")
                except Lost:
                    asked.may_be_cancelled = True
                    continue
            if status == 503:
                asked.may_be_cancelled = True
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            # Whoever repeats a cancel whose answer was lost hears that it was done.
            was_done = asked.may_be_cancelled and status == 409 and answer["timer_status"] == "cancelled"
            if status == 200 or was_done:
                asked.cancelled_at_us = time.time_ns() // 1000
            elif status != 409:
                asked.complaints.append(f"a cancel was answered {status}: {answer}")
            return


def _is_worth_another(asked: Asked, made_at: float) -> bool:
    due_in_seconds = made_at + asked.delay_seconds - time.time()
    return not asked.ids and asked.name is not None and due_in_seconds > _MARGIN_SECONDS

"""Thousands of requests that are wrong somewhere: each is answered, or its connection closed; nothing is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

from tests.fuzz.mutations import pieces
from tests.fuzz.requests import any_request, good_create
from tests.fuzz.wire import Answer, Line
from tests.profiles import examples, is_long
from tests.system import Api, System
from timer_api.errors import MEDIA_TYPE

REQUESTS = examples(4_000)
WARM_UP = 2_000
AT_ONCE = 400
GROWTH_BYTES_MAX = 24 * 1024 * 1024
"""For caches that fill up, and garbage that waits for its collector."""


async def test_bad_bytes_break_nothing(system: System) -> None:
    # Half a request waits no longer than this, and batches that are announced, and never come, leave room.
    api = await system.start_api(api_request_seconds=1, api_batch_queue_bytes=2**33)
    dice = Random() if is_long() else Random(20261120)
    met: Counter[int] = Counter()
    await _throw(api, WARM_UP, dice, met)
    before_bytes = _resident_bytes(api)
    await _throw(api, REQUESTS, dice, met)
    growth_bytes = _resident_bytes(api) - before_bytes
    # Some get through, and of each kind of refusal there is some, so the dice are not all thrown away at the door.
    assert {0, 200, 201, 207, 400, 404, 405, 408, 415, 422} <= met.keys(), met
    assert growth_bytes < GROWTH_BYTES_MAX, f"{growth_bytes:,} bytes more after {REQUESTS:,} requests"
    assert "Traceback" not in api.service.log_text()
    async with Line.to(api) as line:
        await line.send(good_create("after all of this"))
        assert (await line.answer()).status == 201


async def _throw(api: Api, count: int, dice: Random, met: Counter[int]) -> None:
    waiting = iter(range(count))

    async def worker() -> None:
        for _ in waiting:
            request = any_request(dice)
            try:
                met.update(await _statuses(api, pieces(dice, request)))
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error} after {request!r}") from error

    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(worker())


async def _statuses(api: Api, parts: list[bytes]) -> list[int]:
    """Those of the answers; 0 when the connection was closed without one."""
    async with Line.to(api) as line:
        await line.send(*parts)
        answers = await line.answers(1)
        for answer in answers:
            _check(answer)
        return [answer.status for answer in answers] or [0]


def _check(answer: Answer) -> None:
    assert answer.status < 500, answer
    if answer.status >= 400 and answer.body:
        assert answer.headers[b"content-type"] == MEDIA_TYPE.encode()
        assert answer.json()["status"] == answer.status


def _resident_bytes(api: Api) -> int:
    assert api.service.process
    lines = Path(f"/proc/{api.service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

"""A receiver that hangs or refuses: others are called on time, its own timers wait in the database, and are called
when it comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest_asyncio

from tests.history import count_outcomes, schedule_many, wait_for_states
from tests.receiver import OK, Arrival, Receiver
from tests.system import System, free_port, poll, wait_for_log
from timer_db import transactions
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.states import TimerState
from timer_db.shards import Shards
from timer_db.transactions import Connection

PATIENT = RetryPolicy(max_attempts=100, initial_seconds=0.2, factor=1.0, max_seconds=1.0, jitter=0.0)
HANG_SECONDS = 30.0
BREAKER_SECONDS = 0.2
SMALL = {"hands_max": 100, "calls_max": 24, "destination_calls_max": 4}


class Hanging:
    """Answers nothing until it is healed; then everything, also what hung."""

    def __init__(self) -> None:
        self.healed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def __call__(self, _: Arrival) -> asyncio.Future[bytes] | bytes:
        return OK if self.healed.done() else asyncio.shield(self.healed)

    def heal(self) -> None:
        self.healed.set_result(OK)


@pytest_asyncio.fixture
async def receivers() -> AsyncIterator[list[Receiver]]:
    """Four, of which the last one hangs."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Receiver()) for _ in range(4)]


async def _count(shards: Shards, table: str) -> int:
    async def work(connection: Connection) -> int:
        return int(await connection.value(f"SELECT COUNT(*) FROM {table}"))

    return sum([await transactions.run(shard.engine, work) for shard in shards])


async def _wait_for_backlog(shards: Shards, count: int) -> None:
    async def look() -> bool:
        return await _count(shards, "deferred_queue") >= count

    await poll(look, 30, f"{count} deferred timers")


async def _lateness(shards: Shards, receivers: list[Receiver], **fields: Any) -> float:
    """The 99th percentile of the good ones', in seconds, over a steady stream to all of them."""
    started: list[float] = []
    good = receivers[:-1]
    count = 200
    before = [len(receiver.arrivals) for receiver in good]
    streams = [
        await schedule_many(shards, count, r.url, due_in_seconds=1.5, spread_seconds=4, **fields)
        for r in receivers
    ]
    for receiver, so_far in zip(good, before, strict=True):
        await receiver.wait_for(lambda r=receiver, n=so_far: len(r.arrivals) >= n + count)  # type: ignore[misc]
    for receiver, ids in zip(good, streams, strict=False):
        dues = await _due_times(shards, ids)
        started += [receiver.by_id[timer_id][0].at - dues[timer_id] for timer_id in ids]
    return sorted(started)[len(started) * 99 // 100]


async def _due_times(shards: Shards, ids: list[str]) -> dict[str, float]:
    async def work(connection: Connection) -> dict[str, float]:
        rows = await connection.rows("SELECT id, due_at_us FROM timers")
        return {bytes(raw).hex(): due / 1e6 for raw, due in rows}

    [shard] = shards
    found = await transactions.run(shard.engine, work)
    return {timer_id: found[timer_id.replace("-", "")] for timer_id in ids}


async def test_others_are_called_on_time_beside_one_that_hangs(
    system: System, shards: Shards, receivers: list[Receiver]
) -> None:
    await system.start_controller(**SMALL)
    alone = await _lateness(shards, receivers)
    hanging = Hanging()
    receivers[-1].answer = hanging
    called_before = len(receivers[-1].arrivals)
    beside = await _lateness(shards, receivers, timeout_seconds=HANG_SECONDS)
    # Where both are next to nothing, their ratio says nothing: a twentieth of what the others wait is on time too.
    assert beside <= max(2 * alone, HANG_SECONDS / 20)
    await _wait_for_backlog(shards, 200 - 100)
    assert len(receivers[-1].arrivals) - called_before <= SMALL["destination_calls_max"]
    hanging.heal()
    await wait_for_states(shards, {TimerState.delivered: 1600})
    for receiver in receivers:
        assert set(receiver.counts().values()) == {1}
    assert await count_outcomes(shards) == {"delivered": 1600}


async def test_a_hanging_receiver_gets_everything_in_order_when_it_comes_back(
    system: System, shards: Shards, receivers: list[Receiver]
) -> None:
    """Highest priority first, then the oldest, each once. Hands are far too small for all of it."""
    hanging, receiver = Hanging(), receivers[-1]
    receiver.answer = hanging
    controller = await system.start_controller(**{**SMALL, "destination_calls_max": 1})
    fields = {"timeout_seconds": HANG_SECONDS}
    first = await schedule_many(shards, 1, receiver.url, **fields)
    await receiver.wait_for_ids(1)
    # What is due in the past is due when it is made: the first hundreds are older. Equal times go by id.
    low = [sorted(await schedule_many(shards, 150, receiver.url, **fields)) for _ in range(2)]
    high = sorted(await schedule_many(shards, 200, receiver.url, priority=7, **fields))
    await _wait_for_backlog(shards, 500)
    assert "is backed up" in controller.log_text()
    good = await schedule_many(shards, 100, receivers[0].url)
    await receivers[0].wait_for_ids(100)
    assert receivers[0].counts() == Counter(good)
    assert len(receiver.arrivals) == 1

    hanging.heal()
    await wait_for_states(shards, {TimerState.delivered: 601})

    assert [arrival.timer_id for arrival in receiver.arrivals] == [*first, *high, *low[0], *low[1]]
    assert await _count(shards, "deferred_queue") == 0
    await wait_for_log(controller, "has caught up")


async def test_a_refusing_receiver_is_left_alone_until_it_listens_again(system: System, shards: Shards) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    controller = await system.start_controller(**SMALL, breaker_seconds=0.5)
    ids = await schedule_many(shards, 400, url, retry=PATIENT)
    await wait_for_log(controller, f"{url} is not called for now: 5 calls in a row failed")
    assert "connection refused" in controller.log_text()
    good = await schedule_many(shards, 200, system.receiver.url)
    await system.receiver.wait_for_ids(200)
    assert system.receiver.counts() == Counter(good)
    # What was tried: the calls in flight when it opened, and the probes since. The others burn no attempts.
    await _wait_for_backlog(shards, 380)
    tried = (await count_outcomes(shards))["not_sent"]
    assert tried <= 20

    async with Receiver(port=port) as late:
        await wait_for_log(controller, f"{url} answers again")
        await wait_for_states(shards, {TimerState.delivered: 600})
        assert late.counts() == Counter(ids)
    assert await _count(shards, "deferred_queue") == 0
    assert set(await count_outcomes(shards)) == {"delivered", "not_sent"}


async def test_one_call_at_a_time_probes_a_receiver_that_stays_dead(system: System, shards: Shards) -> None:
    """Probes come one by one, at longer and longer intervals, however many timers wait."""
    answered: list[float] = []

    def busy(arrival: Arrival) -> bytes:
        answered.append(arrival.at)
        return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

    system.receiver.answer = busy
    await system.start_controller(**SMALL, breaker_seconds=BREAKER_SECONDS, breaker_failures=3, poll_seconds=0.05)
    await schedule_many(shards, 300, system.receiver.url, retry=PATIENT)
    at_once = SMALL["destination_calls_max"] + 3 - 1
    await system.receiver.wait_for(lambda: len(answered) >= at_once + 5)
    probes = answered[at_once:]
    waits = [later - earlier for earlier, later in pairwise(probes)]
    # Intervals that double, with a quarter of jitter either way. A slow machine makes some of them longer.
    assert all(wait > 0.7 * 2 * BREAKER_SECONDS * 2**number for number, wait in enumerate(waits)), waits
    system.receiver.answer = lambda _: OK
    await wait_for_states(shards, {TimerState.delivered: 300})


async def test_timers_of_a_receiver_that_stays_dead_end_by_their_retry_policy(
    system: System, shards: Shards
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    await system.start_controller(**SMALL, breaker_seconds=0.1, breaker_patience_seconds=1)
    two = RetryPolicy(max_attempts=2, initial_seconds=0.1, factor=1.0, max_seconds=1.0, jitter=0.0)
    ids = await schedule_many(shards, 200, url, retry=two)
    await wait_for_states(shards, {TimerState.failed: 200})
    assert await count_outcomes(shards) == {"not_sent": 400}
    api = await system.start_api()
    attempts = [(await api.client.get(f"/timers/{timer_id}/attempts")).json()["attempts"] for timer_id in ids[-5:]]
    reasons = {attempt["reason"] for found in attempts for attempt in found}
    assert any(reason.startswith("not tried: the receiver has failed for ") for reason in reasons), reasons


async def test_kill_9_loses_and_doubles_nothing_that_waits_for_a_receiver(
    system: System, shards: Shards, receivers: list[Receiver]
) -> None:
    hanging, receiver = Hanging(), system.receiver
    receiver.answer = hanging
    lease = {"lease_seconds": 2}
    victim = await system.start_controller(**SMALL, **lease)
    ids = await schedule_many(shards, 400, receiver.url, timeout_seconds=HANG_SECONDS)
    await receiver.wait_for_ids(SMALL["destination_calls_max"])
    await _wait_for_backlog(shards, 400 - SMALL["hands_max"])
    await victim.kill()
    hanging.heal()
    survivor = await system.start_controller(**SMALL, **lease)
    await wait_for_states(shards, {TimerState.delivered: 400})
    assert set(receiver.counts()) == set(ids)
    for calls in receiver.by_id.values():
        assert all(repeat.headers["timer-possible-duplicate"] == "true" for repeat in calls[1:])
    # Only what was in the hands of the one that died can have come twice; what waited came once.
    doubled = [timer_id for timer_id, count in receiver.counts().items() if count > 1]
    assert len(doubled) <= SMALL["hands_max"]
    assert await survivor.terminate() == 0
    assert await _count(shards, "deferred_queue") == 0


async def test_sigterm_gives_lines_back_and_another_goes_on(system: System, shards: Shards) -> None:
    """What hangs ends with its timeout; nothing is unknown but those."""
    hanging, receiver = Hanging(), system.receiver
    receiver.answer = hanging
    first = await system.start_controller(**SMALL, drain_seconds=20)
    ids = await schedule_many(shards, 300, receiver.url, timeout_seconds=HANG_SECONDS)
    await receiver.wait_for_ids(SMALL["destination_calls_max"])
    stopping = asyncio.create_task(first.terminate())
    await wait_for_log(first, "stopping:")
    hanging.heal()
    assert await stopping == 0
    await system.start_controller(**SMALL)
    await wait_for_states(shards, {TimerState.delivered: 300})
    assert receiver.counts() == Counter(ids)
    assert await count_outcomes(shards) == {"delivered": 300}

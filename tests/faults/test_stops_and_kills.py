"""Controllers, API and database are stopped and killed; what was answered 2xx is called."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import httpx
import pytest

from tests.history import count_outcomes, count_states, schedule_many, wait_for_states
from tests.receiver import OK, Arrival
from tests.system import Service, System, poll
from timer_db.domain.states import OnUnknown, TimerState
from timer_db.shards import Shards

LEASE_SECONDS = 2


async def slowly(_: Arrival) -> bytes:
    """An answer that takes a while, so that calls are in flight when something happens."""
    await asyncio.sleep(0.03)
    return OK


async def test_overdue_timers_are_called_after_a_stop_of_all_controllers(system: System, shards: Shards) -> None:
    controller = await system.start_controller()
    assert await controller.terminate() == 0
    ids = await schedule_many(shards, 500, system.receiver.url, due_in_seconds=-1)
    assert not system.receiver.arrivals
    await system.start_controller()
    await wait_for_states(shards, {TimerState.delivered: 500})
    assert system.receiver.counts() == Counter(ids)


async def test_timers_are_called_after_the_api_was_killed(system: System) -> None:
    api = await system.start_api()
    await system.start_controller()
    ids = await api.create_many(50, seconds=1, url=system.receiver.url)
    await api.service.kill()
    await system.receiver.wait_for_ids(50)
    again = await system.start_api()
    for timer_id in ids:
        await again.wait_for_status_of(timer_id, "delivered")
    assert system.receiver.counts() == Counter(ids)


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_an_outage_of_the_database_loses_nothing(system: System, shards: Shards, way: str) -> None:
    system.receiver.answer = slowly
    api = await system.start_api()
    controllers = [await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=16) for _ in range(2)]
    ids = await schedule_many(shards, 600, system.receiver.url, due_in_seconds=0.5, spread_seconds=3)
    await system.receiver.wait_for_ids(100)

    await asyncio.to_thread(getattr(system.server, way))
    await api.wait_until(httpx.codes.SERVICE_UNAVAILABLE)
    refused = await api.client.post("/timers", json={"seconds": 1, "url": system.receiver.url})
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await api.client.get("/health/live")).status_code == httpx.codes.OK
    # Longer than the lease: whoever judged by silence alone would now declare everyone dead.
    await asyncio.sleep(LEASE_SECONDS + 1)
    await asyncio.to_thread(system.server.start)

    await api.wait_until(httpx.codes.OK)
    created = await api.create(seconds=0, url=system.receiver.url)
    await wait_for_states(shards, {TimerState.delivered: 601})
    assert system.receiver.counts() == Counter([*ids, created["id"]])
    assert await count_outcomes(shards) == {"delivered": 601}
    for controller in controllers:
        assert "taken over" not in controller.log_text()


async def test_both_services_wait_for_a_database_that_is_away_at_start(system: System, shards: Shards) -> None:
    ids = await schedule_many(shards, 20, system.receiver.url)
    await asyncio.to_thread(system.server.stop)
    api = await system.start_api(ready=httpx.codes.SERVICE_UNAVAILABLE, db_connect_wait_seconds=0.1)
    controller = await system.start_controller(ready=httpx.codes.SERVICE_UNAVAILABLE, db_connect_wait_seconds=0.1)
    answer = await api.client.post("/timers", json={"seconds": 1, "url": system.receiver.url})
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    await asyncio.to_thread(system.server.start)
    await api.wait_until(httpx.codes.OK)
    await system.receiver.wait_for_ids(20)
    assert system.receiver.counts() == Counter(ids)
    assert "waiting for the database" in controller.log_text()


@pytest.mark.parametrize("module", ["timer_api", "timer_controller"])
async def test_a_service_gives_up_after_the_tries_it_was_given(system: System, module: str) -> None:
    await asyncio.to_thread(system.server.stop)
    settings = {"DB_CONNECT_ATTEMPTS": 2, "DB_CONNECT_WAIT_SECONDS": 0.1, "API_PORT": 0}
    service = await system.start(module, settings)
    assert service.process
    async with asyncio.timeout(30):
        assert await service.process.wait() == 1
    assert "no connection to the database" in service.log_text().splitlines()[-1]


async def test_sigterm_under_load_repeats_nothing_loses_nothing_and_knows_everything(
    system: System, shards: Shards
) -> None:
    system.receiver.answer = slowly
    first, second = [await system.start_controller(calls_max=32) for _ in range(2)]
    ids = await schedule_many(shards, 3000, system.receiver.url)
    await system.receiver.wait_for_ids(300)
    assert await first.terminate() == 0
    third = await system.start_controller(calls_max=32)
    await system.receiver.wait_for_ids(1500)
    assert await second.terminate() == 0
    await wait_for_states(shards, {TimerState.delivered: 3000})
    assert await third.terminate() == 0
    assert system.receiver.counts() == Counter(ids)
    assert await count_outcomes(shards) == {"delivered": 3000}


async def test_after_kill_9_another_controller_takes_over_and_marks_every_repeat(
    system: System, shards: Shards
) -> None:
    system.receiver.answer = slowly
    victim = await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=32)
    await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=32)
    ids = await schedule_many(shards, 3000, system.receiver.url)
    await system.receiver.wait_for_ids(300)
    await victim.kill()
    await wait_for_states(shards, {TimerState.delivered: 3000})
    assert set(system.receiver.counts()) == set(ids)
    assert_every_repeat_is_marked(system)


@pytest.mark.parametrize(
    ("choice", "end"), [(OnUnknown.hold, TimerState.unknown), (OnUnknown.fail, TimerState.failed)]
)
async def test_who_asked_for_no_repeats_gets_none_after_kill_9(
    system: System, shards: Shards, choice: OnUnknown, end: TimerState
) -> None:
    system.receiver.answer = slowly
    victim = await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=32)
    ids = await schedule_many(shards, 1000, system.receiver.url, on_unknown=choice)
    await system.receiver.wait_for_ids(200)
    await victim.kill()
    await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=32)

    async def all_ended() -> bool:
        states = await count_states(shards)
        return set(states) <= {TimerState.delivered, end} and states[end] > 0

    await poll(all_ended, 60, "the rescue")
    states = await count_states(shards)
    assert states.total() == len(ids)
    assert max(system.receiver.counts().values()) == 1
    # Only those whose fate is not known were left out: all others were called.
    assert len(system.receiver.counts()) >= states[TimerState.delivered]


async def test_a_controller_that_slept_past_its_lease_drops_what_it_held(system: System, shards: Shards) -> None:
    system.receiver.answer = slowly
    sleeper = await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=8)
    await schedule_many(shards, 1000, system.receiver.url)
    await system.receiver.wait_for_ids(100)
    sleeper.send(signal.SIGSTOP)
    await system.start_controller(lease_seconds=LEASE_SECONDS, calls_max=32)
    await wait_for_log(system.services[-1], "rescued from controller")
    sleeper.send(signal.SIGCONT)
    await wait_for_log(sleeper, "joining again")
    await wait_for_states(shards, {TimerState.delivered: 1000})
    assert len(system.receiver.counts()) == 1000
    assert_every_repeat_is_marked(system)
    assert await sleeper.terminate() == 0


def assert_every_repeat_is_marked(system: System) -> None:
    """Of each timer, every call after the first says that it may be a repeat."""
    for calls in system.receiver.by_id.values():
        for repeat in calls[1:]:
            assert repeat.headers["timer-possible-duplicate"] == "true"


async def wait_for_log(service: Service, words: str) -> None:
    """Until the process has logged this."""

    async def look() -> bool:
        return words in service.log_text()

    await poll(look, 30, f"{words!r} in the log of {service.module}")

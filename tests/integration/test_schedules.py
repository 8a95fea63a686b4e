"""Schedules with real controllers, of which some are killed: no run is left out, and none is made twice."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from statistics import median

import httpx

from tests.receiver import Arrival
from tests.system import Api, System, poll
from timer_db.domain.states import TimerState

COUNT = 20
WAITING = {TimerState.scheduled.value, TimerState.firing.value}


def due_at(arrival: Arrival) -> float:
    """When its timer was due, in Unix seconds."""
    return datetime.fromisoformat(arrival.headers["timer-due-at"]).timestamp()


def by_schedule(system: System) -> dict[str, dict[float, list[Arrival]]]:
    """Arrivals by schedule, which the path tells, and by the time of the run."""
    found: dict[str, dict[float, list[Arrival]]] = defaultdict(lambda: defaultdict(list))
    for arrival in system.receiver.arrivals:
        found[arrival.target.split("/")[1]][due_at(arrival)].append(arrival)
    return found


async def timers(api: Api) -> list[dict[str, object]]:
    answer = await api.client.get("/timers?limit=1000")
    found: list[dict[str, object]] = answer.json()["timers"]
    return found


async def test_no_run_is_left_out_or_made_twice_while_controllers_are_killed(system: System) -> None:
    api = await system.start_api()
    first, second = [await system.start_controller(lease_seconds=1) for _ in range(2)]
    for number in range(COUNT):
        body = {"cron": "* * * * * *", "timer": {"url": f"{system.receiver.url}/s{number}", "body": {}}}
        answer = await api.client.put(f"/schedules/s{number}", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text

    await system.receiver.wait_for_ids(2 * COUNT)
    await first.kill()
    await system.receiver.wait_for_ids(3 * COUNT)
    await asyncio.gather(system.start_controller(lease_seconds=1), second.kill())
    await system.receiver.wait_for_ids(5 * COUNT)
    paused = [await api.client.post(f"/schedules/s{number}/pause") for number in range(COUNT)]
    assert {answer.status_code for answer in paused} == {httpx.codes.OK}
    paused_at = datetime.now().timestamp()

    async def all_have_ended() -> bool:
        return not any(timer["status"] in WAITING for timer in await timers(api))

    await poll(all_have_ended, 30, "every run to end")
    found = by_schedule(system)
    assert len(found) == COUNT
    for name, runs in found.items():
        seconds = sorted(runs)
        assert all(later - earlier == 1 for earlier, later in pairwise(seconds)), (name, seconds)
        for arrivals in runs.values():
            [run] = {arrival.timer_id for arrival in arrivals}
            repeats = arrivals[1:]
            assert all(repeat.headers["timer-possible-duplicate"] == "true" for repeat in repeats), run
        # Those that were in a controller's hands were called all the same.
        assert seconds[-1] <= paused_at + 1
    lateness = [arrivals[0].at - due for runs in found.values() for due, arrivals in runs.items()]
    assert min(lateness) >= 0
    # Made ahead of their time, they are in time, but for those of the killed, and as far as the machine is.
    assert median(lateness) < 2
    states = {timer["status"] for timer in await timers(api)}
    assert states == {TimerState.delivered.value, TimerState.cancelled.value}

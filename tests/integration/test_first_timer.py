"""The main job: a timer made over REST is called once, at its time, at `url/id`."""

from __future__ import annotations

import json
from datetime import datetime

from tests.system import System


async def test_a_timer_is_called_once_at_its_time(system: System) -> None:
    api = await system.start_api()
    await system.start_controller()
    created = await api.create(seconds=1, url=f"{system.receiver.url}/hook?x=1", meta={"order": 7})
    assert created["time_left"] == 1
    assert created["status"] == "scheduled"

    await system.receiver.wait_for_ids(1)

    [arrival] = system.receiver.arrivals
    assert arrival.method == "POST"
    assert arrival.target == f"/hook/{created['id']}?x=1"
    assert arrival.at >= datetime.fromisoformat(created["due_at"]).timestamp()
    assert arrival.headers["webhook-id"] == arrival.headers["idempotency-key"] == created["id"]
    assert arrival.headers["timer-attempt"] == "1"
    assert arrival.headers["timer-due-at"] == created["due_at"]
    assert "timer-possible-duplicate" not in arrival.headers
    assert json.loads(arrival.body)["meta"] == {"order": 7}
    ended = await api.wait_for_status_of(created["id"], "delivered")
    assert ended["time_left"] == 0
    assert ended["attempts"] == 1

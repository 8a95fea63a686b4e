"""When an advance of `timerctl dev` is over: the API is played, so that what is seen first is chosen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from timer_api.schedules.examples import SHOWN as SCHEDULE
from timer_api.timers.examples import TIMER
from timer_client import Client
from timer_client.ctl import settling

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BEFORE, LATER = (NOW - timedelta(hours=1)).isoformat(), (NOW + timedelta(hours=1)).isoformat()
CONTROLLER = {
    "id": 1, "host": "a", "pid": 1, "version": "1", "joined_at": BEFORE, "beat_at": BEFORE, "claims_in_hand": 0,
    "shard": 0,
}  # fmt: skip


class Played:
    """Answers by path; of several answers the last one stays."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[list[Any]]] = {
            "controllers": [[CONTROLLER]], "schedules": [[]], "collections": [[]], "routes": [[]], "due": [[]],
            "firing": [[]], "scheduled": [[]],
        }  # fmt: skip

    def __call__(self, request: httpx.Request) -> httpx.Response:
        member = request.url.path.strip("/")
        query = request.url.params
        name = member if member != "timers" else "due" if "due_before" in query else query["status"]
        self.asked.append(name)
        answers = self.answers[name]
        return httpx.Response(200, json={member: answers.pop(0) if len(answers) > 1 else answers[0]})

    def settle(self) -> dict[str, list[str]]:
        with Client("http://a", transport=httpx.MockTransport(self)) as client:
            left = settling.settle(client, lambda: NOW)
        return {why: [timer.id for timer in timers] for why, timers in left.items()}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setattr(settling, "_LOOK_SECONDS", 0.0)
    return Played()


def timer(name: str, **fields: Any) -> dict[str, Any]:
    return {**TIMER, "id": name, "due_at": BEFORE, "next_attempt_at": BEFORE, **fields}


def schedule(next_run_at: str | None, **fields: Any) -> dict[str, Any]:
    return {**SCHEDULE, "next_run_at": next_run_at, **fields}


def test_it_begins_when_a_controller_has_made_the_runs_that_fell_due(played: Played) -> None:
    played.answers["controllers"] = [[], [], [CONTROLLER]]
    others = [schedule(None), schedule(BEFORE, paused=True)]
    played.answers["schedules"] = [[schedule(BEFORE), *others], [schedule(LATER), *others]]
    played.answers["due"] = [[timer("run")], []]
    assert played.settle() == {"retrying": [], "uncalled": [], "held": []}
    begin = played.asked.index("due")
    assert played.asked[:begin].count("controllers") == 4
    assert played.asked[:begin].count("schedules") == 2
    assert played.asked.count("due") == 2


def test_what_is_tried_again_later_is_told(played: Played) -> None:
    """Its next attempt is not due, so no filter by time finds it."""
    played.answers["scheduled"] = [
        [
            timer("again", attempts=1, next_attempt_at=LATER),
            timer("moved", attempts=1, due_at=LATER, next_attempt_at=LATER),
            timer("later", due_at=LATER, next_attempt_at=LATER),
        ]
    ]
    assert played.settle() == {"retrying": ["again"], "uncalled": [], "held": []}


def test_what_is_not_called_in_time_is_told(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "CALLED_SECONDS", 0.0)
    due = [timer("never"), timer("once", attempts=1), timer("held", attempts=1, collection="paused")]
    played.answers["due"] = played.answers["scheduled"] = [due]
    paused = {"name": "paused", "paused": True, "defaults": {}, "counts": {}, "created_at": BEFORE}
    played.answers["collections"] = [[paused]]
    assert played.settle() == {"retrying": ["once"], "uncalled": ["never"], "held": ["held"]}

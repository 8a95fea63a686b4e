"""`on_failure_url`, from the create over REST to the call that tells of the end."""

from __future__ import annotations

import asyncio
import json

import pytest
from standardwebhooks.webhooks import Webhook

from tests.receiver import OK, Arrival
from tests.system import System

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REFUSED = b"HTTP/1.1 400 No\r\nContent-Length: 7\r\n\r\nnot now"
QUICK = {"max_attempts": 2, "initial_seconds": 0.2, "jitter": 0}


def notices(system: System) -> list[Arrival]:
    return [arrival for arrival in system.receiver.arrivals if arrival.target == "/failed?of=orders"]


@pytest.mark.parametrize(
    ("answer", "attempts", "http_status", "reason"),
    [
        (REFUSED, 1, 400, "answered 400"),
        (REFUSED.replace(b"400 No", b"503 No"), 2, 503, "answered 503"),
    ],
)
async def test_the_end_of_a_timer_that_failed_is_told_once(
    system: System, answer: bytes, attempts: int, http_status: int, reason: str
) -> None:
    system.receiver.answer = lambda call: OK if call.target.startswith("/failed") else answer
    await system.start_controller(signing_secrets=SECRET)
    api = await system.start_api()
    made = await api.create(
        seconds=0, url=f"{system.receiver.url}/orders", on_failure_url=f"{system.receiver.url}/failed?of=orders",
        name="order-17", labels={"env": "prod"}, meta={"order": 17}, retry=QUICK, priority=3,
    )  # fmt: skip
    assert made["on_failure_url"] == f"{system.receiver.url}/failed?of=orders"
    await system.receiver.wait_for(lambda: bool(notices(system)))
    [notice] = notices(system)
    assert notice.method == "POST"
    assert notice.headers["webhook-id"] != made["id"], "it is a call of its own"
    Webhook(SECRET).verify(notice.body, notice.headers)
    told = json.loads(notice.body)
    assert told["type"] == "timer.failed"
    assert told["timer"] == {
        "id": made["id"], "status": "failed", "name": "order-17", "labels": {"env": "prod"}, "meta": {"order": 17},
        "due_at": made["due_at"], "created_at": made["created_at"], "attempts": attempts,
    }  # fmt: skip
    assert (told["attempt"]["number"], told["attempt"]["http_status"]) == (attempts, http_status)
    assert reason in told["attempt"]["reason"]
    assert (await api.get(made["id"]))["status"] == "failed"
    await api.wait_for_status_of(notice.headers["webhook-id"], "delivered")
    assert len(notices(system)) == 1


async def test_an_unknown_end_is_told_and_a_good_one_is_not(system: System) -> None:
    forever: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    system.receiver.answer = lambda call: forever if call.target.startswith("/hangs") else OK
    await system.start_controller()
    api = await system.start_api()
    failed = f"{system.receiver.url}/failed?of=orders"
    good = await api.create(seconds=0, url=f"{system.receiver.url}/fine", on_failure_url=failed)
    held = await api.create(
        seconds=0,
        url=f"{system.receiver.url}/hangs",
        on_failure_url=failed,
        on_unknown="hold",
        timeout_seconds=0.5,
    )
    await system.receiver.wait_for(lambda: bool(notices(system)))
    await api.wait_for_status_of(good["id"], "delivered")
    told = [json.loads(notice.body) for notice in notices(system)]
    assert [(each["type"], each["timer"]["id"]) for each in told] == [("timer.unknown", held["id"])]
    assert told[0]["attempt"]["outcome"] == "unknown"


async def test_a_notice_that_cannot_be_delivered_is_tried_again_and_tells_nobody(system: System) -> None:
    """It is a timer like others: a receiver that is away for a moment misses nothing."""
    answers = iter([REFUSED.replace(b"400 No", b"503 No")])
    system.receiver.answer = lambda call: next(answers, OK) if call.target.startswith("/failed") else REFUSED
    await system.start_controller()
    api = await system.start_api()
    failed = f"{system.receiver.url}/failed?of=orders"
    await api.create(seconds=0, url=system.receiver.url, on_failure_url=failed)
    await system.receiver.wait_for(lambda: len(notices(system)) == 2)
    first, second = notices(system)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (first.headers["timer-attempt"], second.headers["timer-attempt"]) == ("1", "2")
    assert (first.body, json.loads(first.body)["type"]) == (second.body, "timer.failed")

"""A receiver that checks signatures with the library of Standard Webhooks, and controllers that sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.docs.pages import README, blocks, section
from tests.history import schedule_many, wait_for_states
from tests.receiver import OK, Arrival
from tests.system import System
from timer_db.domain.backoff import RetryPolicy
from timer_db.domain.states import TimerState
from timer_db.shards import Shards

SHOWN = blocks(section(README.read_text(), "Signatures"))[0].text
"""What the README tells a receiver to do, with a secret in it."""
OLD, NEW = base64.b64decode(SHOWN.partition("whsec_")[2].partition('"')[0]), b"n" * 64
BYTES = b"\x00\xff"
REFUSED = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
# A second at least, so that the next attempt cannot have the same timestamp.
RETRY = RetryPolicy(max_attempts=2, initial_seconds=1.0, factor=1.0, max_seconds=1.0, jitter=0.0)


def written(*secrets: bytes) -> str:
    return ",".join(f"whsec_{base64.b64encode(secret).decode()}" for secret in secrets)


def knows(arrival: Arrival, secret: bytes) -> bool:
    """Whether a receiver with this secret takes the call."""
    try:
        Webhook(secret).verify(arrival.body, arrival.headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def is_signed_as_bytes(arrival: Arrival) -> bool:
    """For what the library cannot check, since it takes every body for text."""
    signed = f"{arrival.timer_id}.{arrival.headers['webhook-timestamp']}.".encode() + arrival.body
    signature = base64.b64encode(hmac.digest(OLD, signed, hashlib.sha256)).decode()
    return arrival.headers["webhook-signature"] == f"v1,{signature}"


async def test_every_attempt_is_signed_anew_over_the_bytes_that_were_sent(system: System, shards: Shards) -> None:
    """Default body, one of its own, a large one, one that is no text; for each the first answer is 503."""
    url = f"{system.receiver.url}/hook"

    def answer(arrival: Arrival) -> bytes:
        if not (is_signed_as_bytes(arrival) if arrival.body == BYTES else knows(arrival, OLD)):
            return REFUSED
        return BUSY if arrival.headers["timer-attempt"] == "1" else OK

    system.receiver.answer = answer
    await system.start_controller(signing_secrets=written(OLD))
    # As a client of an earlier version might have left it in the table; the API refuses such a header.
    forged = {"Webhook-Signature": "v1,forged", "webhook-timestamp": "1", "X-Shop": "7"}
    bodies: list[dict[str, Any]] = [
        {"meta": "Zoë"},
        {"body": b'{"a": 1}', "headers": forged},
        {"body": b"x" * 10_000},
        {"body": BYTES, "body_is_json": False},
    ]
    for fields in bodies:
        await schedule_many(shards, 1, url, retry=RETRY, **fields)
    await wait_for_states(shards, {TimerState.delivered: len(bodies)})
    assert len(system.receiver.arrivals) == 2 * len(bodies)
    for first, second in system.receiver.by_id.values():
        assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    calls = [arrival for arrival in system.receiver.arrivals if b'"meta"' in arrival.body]
    here: dict[str, Any] = {}
    exec(SHOWN, here)
    assert [here["on_call"](arrival.headers, arrival.body)["meta"] for arrival in calls] == ["Zoë", "Zoë"]
    with pytest.raises(WebhookVerificationError):
        here["on_call"](calls[0].headers, calls[1].body + b" ")


async def test_a_rotation_leaves_no_receiver_out(system: System, shards: Shards) -> None:
    """Both secrets, then the new one alone: a receiver that knows either takes what it should."""
    taken: list[tuple[bool, bool]] = []
    for count, secrets in enumerate([(NEW, OLD), (NEW,)], 1):
        controller = await system.start_controller(signing_secrets=written(*secrets))
        await schedule_many(shards, 1, system.receiver.url)
        await system.receiver.wait_for_ids(count)
        await controller.kill()
        arrival = system.receiver.arrivals[-1]
        assert len(arrival.headers["webhook-signature"].split(" ")) == len(secrets)
        taken.append((knows(arrival, OLD), knows(arrival, NEW)))
    assert taken == [(True, True), (False, True)]

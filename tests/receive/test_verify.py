"""Calls from one's own timers are taken, and no others: the controller's signer against the receiver's side."""

from __future__ import annotations

import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook
from starlette.datastructures import Headers
from werkzeug.datastructures import Headers as FlaskHeaders

from timer_client.receive import NotVerified, Receiver
from timer_controller.signing import Signer

OLD, NEW, OTHER = (b"o" * 24, b"n" * 32, b"x" * 64)
ID = "019a9f2e-5c3d-7000-8a1b-2c3d4e5f6071"
BODIES = [b"", b"{}", "Zoë".encode(), b"\x00\xff", bytes(range(256))]


def written(secret: bytes) -> str:
    return f"whsec_{b64encode(secret).decode()}"


def headers(body: bytes, *secrets: bytes, ago_seconds: float = 0) -> dict[str, str]:
    """As a controller with these secrets sends them."""
    timestamp = int(time.time() - ago_seconds)
    return {
        "webhook-id": ID,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": Signer(secrets).signatures(ID, timestamp, body),
    }


@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_what_a_controller_signs_is_verified_whatever_is_in_it(body: bytes) -> None:
    told = {
        "Timer-Attempt": "3",
        "Timer-Due-At": "2026-11-20T11:35:43.930932Z",
        "Timer-Possible-Duplicate": "true",
    }
    call = Receiver(written(NEW)).verify({**headers(body, NEW), **told}, body)
    assert (call.id, call.body, call.attempt, call.is_possible_duplicate) == (ID, body, 3, True)
    assert call.due_at == datetime(2026, 11, 20, 11, 35, 43, 930932, tzinfo=UTC)
    assert abs(datetime.now(UTC) - call.sent_at) < timedelta(seconds=30)


def test_what_others_sign_by_the_standard_is_verified() -> None:
    """Without the headers that only Timer System sends."""
    now = datetime.now(UTC)
    signature = Webhook(written(NEW)).sign(ID, now, '{"a": 1}')
    sent = {"webhook-id": ID, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    call = Receiver(written(NEW)).verify(sent, b'{"a": 1}')
    assert (call.json(), call.attempt, call.due_at, call.is_possible_duplicate) == ({"a": 1}, 1, None, False)


def test_during_a_rotation_either_side_may_be_first() -> None:
    knows_both, knows_old, knows_new = (
        Receiver(*map(written, secrets)) for secrets in ((NEW, OLD), (OLD,), (NEW,))
    )
    for secrets, receivers in {
        (OLD,): [knows_both, knows_old],
        (NEW,): [knows_both, knows_new],
        (NEW, OLD): [knows_both, knows_old, knows_new],
    }.items():
        for receiver in receivers:
            assert receiver.verify(headers(b"x", *secrets), b"x").id == ID


@pytest.mark.parametrize("kind", [Headers, FlaskHeaders, lambda sent: {name.title(): sent[name] for name in sent}])
def test_headers_of_web_frameworks_are_taken(kind: Any) -> None:
    assert Receiver(written(NEW)).verify(kind(headers(b"x", NEW)), b"x").id == ID


def changed(**others: str | None) -> dict[str, str]:
    sent = {**headers(b"x", NEW), **{f"webhook-{name}": text for name, text in others.items()}}
    return {name: text for name, text in sent.items() if text is not None}


GOOD = headers(b"x", NEW)["webhook-signature"]


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (headers(b"x", NEW), b"x "),
        (headers(b"x", OTHER), b"x"),
        (headers(b"x", NEW, ago_seconds=301), b"x"),
        (headers(b"x", NEW, ago_seconds=-3600), b"x"),
        (changed(id="019a9f2e-5c3d-7000-8a1b-2c3d4e5f6072"), b"x"),
        (changed(timestamp=str(int(time.time()) - 2)), b"x"),
        (changed(id=None), b"x"),
        (changed(timestamp=None), b"x"),
        (changed(signature=None), b"x"),
        (changed(timestamp="nan"), b"x"),
        (changed(timestamp="soon"), b"x"),
        (changed(signature="v1"), b"x"),
        (changed(signature=GOOD.replace("v1,", "v2,")), b"x"),
        (changed(signature="v1,ä"), b"x"),
        (changed(signature="v1,abc"), b"x"),
        (changed(signature=","), b"x"),
        ({**headers(b"x", NEW), "timer-attempt": "one"}, b"x"),
        ({**headers(b"x", NEW), "timer-due-at": "soon"}, b"x"),
        ({}, b"x"),
    ],
)
def test_anything_else_is_not(sent: dict[str, str], body: bytes) -> None:
    with pytest.raises(NotVerified):
        Receiver(written(NEW), written(OLD)).verify(sent, body)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "bmV3bmV3bmV3", "whsec_ä", "whsec_bmV3 bmV3", "whsec_bmV", "whsec_=="]
)
def test_a_secret_that_is_none_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match=r"secret 2 must be base64 behind whsec_\Z"):
        Receiver(written(NEW), secret)
    with pytest.raises(ValueError, match="needs a secret"):
        Receiver()

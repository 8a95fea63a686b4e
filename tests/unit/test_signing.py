"""Signatures are those of Standard Webhooks, whatever the body; wrong secrets are named without being shown."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tests.unit.makers import DUE_US, make_claim
from tests.unit.test_calls import headers_of
from timer_controller.calls import call_of
from timer_controller.signing import SECRETS_MAX, Signer, parse_secrets, signer_of

OLD, NEW = bytes(range(32)), bytes(range(100, 164))


def written(secret: bytes) -> str:
    return f"whsec_{base64.b64encode(secret).decode()}"


def test_it_signs_as_openssl_does() -> None:
    """A secret of 24 bytes, and what openssl makes of it:

    printf '%s' 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' |
        openssl dgst -sha256 -mac HMAC -macopt hexkey:31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0 -binary |
        base64
    """
    [secret] = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = Signer([secret]).signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=300), st.integers(0, 2**33))
def test_any_body_is_signed_byte_for_byte(body: bytes, at_seconds: int) -> None:
    signed = f"id.{at_seconds}.".encode() + body
    wanted = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in (OLD, NEW)]
    assert Signer([OLD, NEW]).signatures("id", at_seconds, body) == f"v1,{wanted[0]} v1,{wanted[1]}"


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_either_secret_verifies_a_call(secret: bytes) -> None:
    claim = make_claim(meta={"name": "Zoë"}, headers={"X-Shop": "7"})
    call = call_of(claim, time.time_ns() // 1000, Signer([OLD, NEW]))
    assert Webhook(secret).verify(call.body, dict(headers_of(call)))["meta"] == {"name": "Zoë"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(call.body + b" ", dict(headers_of(call)))
    with pytest.raises(WebhookVerificationError):
        Webhook(b"x" * 32).verify(call.body, dict(headers_of(call)))


def test_without_secrets_there_is_no_signature() -> None:
    assert signer_of("") is signer_of(" , ") is None
    assert "webhook-signature" not in dict(headers_of(call_of(make_claim(), DUE_US)))


@pytest.mark.parametrize("signer", [None, Signer([OLD])])
def test_no_owner_chooses_the_headers_of_the_signature(signer: Signer | None) -> None:
    """The API refuses them; a row that has them all the same is called without them."""
    forged = dict.fromkeys(["Webhook-Id", "WEBHOOK-TIMESTAMP", "webhook-signature", "webhook-other"], "forged")
    own = call_of(make_claim(headers={**forged, "X-Shop": "7"}), DUE_US, signer)
    names = [name.lower() for name, _ in headers_of(own)]
    assert len(names) == len(set(names))
    assert "forged" not in [value for _, value in headers_of(own)]
    assert dict(headers_of(own))["X-Shop"] == "7"
    assert ("webhook-signature" in names) is (signer is not None)


def test_secrets_are_separated_by_commas_or_spaces() -> None:
    for separator in (",", " ", ", ", "\n"):
        assert parse_secrets(separator.join([written(OLD), written(NEW)])) == [OLD, NEW]
    assert parse_secrets(written(bytes(24))) == [bytes(24)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hush-hush", "secret 1 must begin with whsec_"),
        (f"{written(OLD)},whsec_hush-hush", "secret 2 must be base64"),
        (written(b"hush-hush"), "secret 1 has 9 bytes; 24 to 64 are possible"),
        (written(b"hush-hush" * 8), "secret 1 has 72 bytes; 24 to 64 are possible"),
        (f"{written(OLD)} {written(OLD)}", "secret 2 is there twice"),
        (" ".join(written(uuid4().bytes * 2) for _ in range(SECRETS_MAX + 1)), "there are 9 secrets"),
    ],
)
def test_a_wrong_secret_is_named_and_not_shown(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as error:
        parse_secrets(text)
    assert "hush" not in str(error.value)
    assert not any(word in str(error.value) for word in text.replace(",", " ").split())

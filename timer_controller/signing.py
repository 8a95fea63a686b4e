"""Signatures of calls as Standard Webhooks 1.0 has them: HMAC-SHA256 of `id.timestamp.body`, one per secret.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from standardwebhooks.webhooks import Webhook, hmac_data

PREFIX = "whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
SECRETS_MAX = 8
"""More than a rotation needs; each makes every call longer and dearer."""


def parse_secrets(text: str) -> list[bytes]:
    """The secrets of `whsec_<base64>,whsec_<base64>`; spaces separate them as well.

    ValueError says which one is wrong, and never what it holds.
    """
    found: list[bytes] = []
    for number, word in enumerate(text.replace(",", " ").split(), 1):
        if not word.startswith(PREFIX):
            raise ValueError(f"secret {number} must begin with {PREFIX}")
        try:
            secret = b64decode(word.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"secret {number} must be base64 behind {PREFIX}") from None
        if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
            raise ValueError(
                f"secret {number} has {len(secret)} bytes; {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are possible"
            )
        if secret in found:
            raise ValueError(f"secret {number} is there twice")
        found.append(secret)
    if len(found) > SECRETS_MAX:
        raise ValueError(f"there are {len(found)} secrets; {SECRETS_MAX} are possible")
    return found


class Signer:
    """Signs with every secret, so that during a rotation receivers may know the old one or the new one."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._hooks = [(Webhook(secret), secret) for secret in secrets]

    def signatures(self, message_id: str, timestamp_seconds: int, body: bytes) -> str:
        """The value of `webhook-signature` for a call whose `webhook-id` and `webhook-timestamp` are these."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            # The library signs text; what it does with the text is done with the bytes here.
            signed = f"{message_id}.{timestamp_seconds}.".encode() + body
            return " ".join([f"v1,{b64encode(hmac_data(key, signed)).decode()}" for _, key in self._hooks])
        moment = _moment(timestamp_seconds)
        return " ".join([hook.sign(message_id, moment, text) for hook, _ in self._hooks])


def signer_of(text: str) -> Signer | None:
    """The signer for a `TIMER_SIGNING_SECRETS`; None when there are none."""
    secrets = parse_secrets(text)
    return Signer(secrets) if secrets else None


@lru_cache(maxsize=1024)
def signer_with(keys: tuple[bytes, ...]) -> Signer:
    """The signer for these; routes have few, and many calls."""
    return Signer(keys)


# Calls of one second share it.
@lru_cache(maxsize=16)
def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""Signatures as Standard Webhooks 1.0 has them, checked on the bytes as they came.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from standardwebhooks.webhooks import Webhook, WebhookVerificationError, hmac_data

from timer_client.errors import NotVerified

_SECRET = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


class Headers(Protocol):
    """A dictionary, or what web frameworks have for headers."""

    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is from your timers. The signature covers `id`, `sent_at` and `body`, and no other header."""

    id: str
    """The timer's id: the same at every attempt."""
    sent_at: datetime
    body: bytes = field(repr=False)
    attempt: int
    """1 at first."""
    due_at: datetime | None
    is_possible_duplicate: bool
    """Whether an earlier attempt may have arrived."""

    def json(self) -> Any:
        """The body's value. ValueError when it is no JSON."""
        return json.loads(self.body)


class Receiver:
    """Knows the secrets that calls may be signed with: one, or during a rotation several."""

    def __init__(self, *secrets: str) -> None:
        """Each is `whsec_` and base64. ValueError says which one is none."""
        if not secrets:
            raise ValueError("a receiver needs a secret")
        self._webhooks = [_webhook(secret, number) for number, secret in enumerate(secrets, 1)]

    def verify(self, headers: Headers, body: bytes) -> Call:
        """The call with these headers and this body, before anything has parsed it. NotVerified says why not.

        One that was sent more than five minutes ago, or is to be sent later, is not taken: nobody can keep a call
        and send it again for ever.
        """
        found = {name.lower(): value for name, value in headers.items()}
        # The library takes text; this one stands for any bytes.
        text = body.decode("latin-1")
        faults = [_fault(webhook, found, text) for webhook in self._webhooks]
        if None not in faults:
            raise NotVerified(str(faults[0]))
        due_at = found.get("timer-due-at")
        try:
            return Call(
                id=found["webhook-id"],
                sent_at=datetime.fromtimestamp(float(found["webhook-timestamp"]), UTC),
                body=body,
                attempt=int(found.get("timer-attempt", 1)),
                due_at=None if due_at is None else datetime.fromisoformat(due_at),
                is_possible_duplicate=found.get("timer-possible-duplicate") == "true",
            )
        except ValueError as error:
            raise NotVerified(f"a header of the call is malformed: {error}") from None


class _Webhook(Webhook):
    """The library's, for bodies of any bytes: it would take each for UTF-8."""

    def sign(self, msg_id: str, timestamp: datetime, data: str) -> str:
        signed = f"{msg_id}.{int(timestamp.timestamp())}.".encode() + data.encode("latin-1")
        return f"v1,{b64encode(hmac_data(self._whsecret, signed)).decode()}"


def _webhook(secret: str, number: int) -> _Webhook:
    # The library leaves out what is no base64, and so would take a secret with a fault for another one.
    if not _SECRET.fullmatch(secret):
        raise ValueError(f"secret {number} must be base64 behind whsec_")
    return _Webhook(secret)


def _fault(webhook: Webhook, headers: dict[str, str], text: str) -> str | None:
    try:
        webhook.verify(text, headers, json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    except ValueError:
        # What the library does not expect: a signature without a comma, or that is no base64.
        return "the signature is malformed"
    return None

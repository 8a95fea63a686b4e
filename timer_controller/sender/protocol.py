"""What every sender takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from timer_db.domain.states import Outcome

ANSWER_BYTES_KEPT = 1024
"""How much of an answer's body is kept for people to read."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to make.

    `url` is complete; `headers` are checked, and hold neither Host nor Content-Length.
    """

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    timeout_seconds: float
    """For the whole attempt: look-up, connect, send, answer."""


@dataclass(frozen=True, slots=True)
class Result:
    """What is known after a call.

    `delivered` and `rejected` mean a whole answer with `status`; `not_sent` that no byte of the request left;
    `unknown` that bytes left and no whole answer came back. `reason` is a short sentence for a person.
    """

    outcome: Outcome
    reason: str
    status: int | None = None
    retry_after_seconds: float | None = None
    """What a `Retry-After` header asked for, as seconds from the answer; never negative."""
    answer: bytes = b""
    """The first `ANSWER_BYTES_KEPT` bytes of the answer's body."""
    first_byte_at: float | None = None
    """`time.monotonic()` just before the first byte left; None when none did."""
    finished_at: float = 0.0
    """`time.monotonic()` when the outcome was known."""


class Sender(Protocol):
    """Makes calls. One instance serves all calls of a controller, many at a time."""

    async def send(self, call: Call, may_send: Callable[[], bool]) -> Result:
        """Make the call; redirects are not followed.

        `may_send` is asked at the last moment before the first byte leaves; when it says no, nothing is sent
        and the outcome is `not_sent`. Never raises for anything that a receiver does: that is a `Result`.
        A cancelled `send` closes its connection.
        """

    async def aclose(self) -> None:
        """Close every connection. Calls in flight must have ended."""

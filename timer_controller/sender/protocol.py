"""What every sender takes and gives."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from timer_db.domain.address_ranges import Network
from timer_db.domain.states import Outcome

ANSWER_BYTES_KEPT = 1024
"""How much of an answer's body is kept for people to read."""


# Neither is frozen: making a frozen one costs many times as much, and every timer makes both.
@dataclass(slots=True)
class Call:
    """One request to make.

    `url` is complete; `headers` are checked, and hold neither Host nor Content-Length.
    """

    method: str
    url: str
    # What clients send may be secret: a log that shows a call does not show it.
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    timeout_seconds: float
    """For the whole attempt: look-up, connect, send, answer."""
    lines: str = field(default="", repr=False)
    """More headers, as they go on the wire: each line with its CRLF."""
    within: tuple[Network, ...] | None = None
    """Only addresses in one of these may be called, of those that may be called at all; None: all of those."""


@dataclass(slots=True)
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
    withheld: bool = False
    """`may_send` said no: the call was not tried."""
    forbidden: bool = False
    """This call cannot be made, or may not be: its receiver has no part in that."""


Done = Callable[[Result], None]
"""Told the result of a call, once, in the middle of the event loop's turn; it must not raise."""
Cancel = Callable[[], None]
"""Closes the connection of a call under way; nothing is told then. Does nothing for a call that has ended."""


class Sender(Protocol):
    """Makes calls. One instance serves all calls of a controller, many at a time."""

    def start(self, call: Call, may_send: Callable[[], bool], done: Done) -> Cancel:
        """Begin the call; redirects are not followed. `done` may be told before this returns.

        `may_send` is asked at the last moment before the first byte leaves; when it says no, nothing is sent
        and the result is `withheld`. Never raises for anything that a receiver does: that is a `Result`.
        """

    async def aclose(self) -> None:
        """Close every connection. Calls in flight must have ended."""


class AwaitedSender(ABC):
    """A sender for callers that wait."""

    @abstractmethod
    def start(self, call: Call, may_send: Callable[[], bool], done: Done) -> Cancel:
        """As in `Sender`."""

    async def send(self, call: Call, may_send: Callable[[], bool]) -> Result:
        """Make the call. Cancelled, it closes the call's connection."""
        told: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(result: Result) -> None:
            if not told.done():
                told.set_result(result)

        cancel = self.start(call, may_send, done)
        try:
            return await told
        except asyncio.CancelledError:
            cancel()
            raise

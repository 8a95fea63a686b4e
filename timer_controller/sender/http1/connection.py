"""One connection: one request and its answer at a time.

Each line here is paid for by every timer. What an ordinary answer (short, whole in one read) does not need is kept
out of its way: it is counted and bounded only once an answer turns out not to be whole yet.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, cast

import httptools

from timer_controller.sender.answer import BODY_BYTES_READ, HEAD_BYTES_READ, answered, unanswered
from timer_controller.sender.faults import describe
from timer_controller.sender.http1.parsing import headers_of, new_parser
from timer_controller.sender.protocol import ANSWER_BYTES_KEPT, Done, Result

_RAW_BYTES_READ = HEAD_BYTES_READ + 8 * BODY_BYTES_READ
"""Bounds what comes around a body: chunk sizes, extensions, trailers."""
_SURELY_LEFT = 16_384
"""So many bytes of a request the system takes at once, whatever the receiver does (`tcp_wmem`)."""


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def release(self, connection: Connection, now: float) -> None:
        """The exchange is over and the connection can carry another."""

    def lost(self, connection: Connection, *, unannounced: bool) -> None:
        """It is closed. `unannounced`: under a request that was not its first, without a byte of an answer."""


class Connection(asyncio.Protocol):
    """Knows exactly whether an answer came to its end. Its owner hands it one request at a time."""

    __slots__ = (
        "_body_bytes", "_done", "_first_byte_at", "_gone", "_head", "_head_kept", "_head_only", "_head_seen",
        "_keep", "_kept", "_loop", "_owner", "_parser", "_parts", "_poll", "_raw_bytes", "_secure", "_spoiled",
        "_status", "_transport", "_whole", "deadline", "on_body", "open", "reused",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.open = False
        self.reused = False
        self.deadline = inf
        self._loop = loop
        self._poll = select.poll()
        self._owner: Owner | None = None
        self._transport: asyncio.Transport | None = None
        self._secure = False
        self._done: Done | None = None
        self._gone: asyncio.Future[None] | None = None
        self._first_byte_at = 0.0
        self._head_only = False
        self._parts: list[bytes] = []
        # The parser calls this without a line of Python in between, and no `on_header`: headers are looked at
        # again in the rare answer that needs one.
        self.on_body: Callable[[bytes], None] = self._parts.append
        self._parser: Any = new_parser(self)
        self._status = 0
        self._head_seen = self._whole = self._keep = self._spoiled = False
        # Of an answer that takes more than one read:
        self._head = bytearray()
        self._head_kept = False
        self._raw_bytes = 0
        self._body_bytes = 0
        self._kept = b""

    # What the owner does

    def adopt(self, owner: Owner) -> None:
        """From here on, `owner` hears of this connection's end."""
        self._owner = owner

    def usable(self) -> bool:
        """Whether a request can be written, as far as this machine knows."""
        assert self._transport is not None
        if not self.open or self._transport.is_closing():
            return False
        # The system may know what the event loop has not seen: that the other side closed. A fresh look costs
        # 0.4 µs, and saves an `unknown` outcome each time that a receiver closes what it kept.
        if self._poll.poll(0):
            self.abort()
            return False
        return True

    def start(self, request: bytes, now: float, deadline: float, head_only: bool, done: Done) -> bool:
        """Write a request; `done` is told its result, once. False when the connection took no byte of it.

        `deadline` (monotonic) is for the owner, who calls `fail` when it passes.
        """
        transport = self._transport
        assert transport is not None
        transport.write(request)
        if transport.is_closing():
            # Nothing waited to be written, so the very first write failed: the other side had reset it.
            self.open = False
            return False
        self._first_byte_at = now
        self._head_only = head_only
        self._head_seen = self._whole = False
        if self._secure:
            # What TLS has handed on and the system has not taken is in no buffer that can be asked about.
            self._spoiled = len(request) > _SURELY_LEFT
        self.deadline = deadline
        self._done = done
        return True

    def cancel(self, done: Done) -> None:
        """Nobody waits for this answer any more. Does nothing when it came in the meantime."""
        if self._done is done:
            self._done = None
            self.abort()

    def busy(self) -> bool:
        return self._done is not None

    def fail(self, reason: str) -> None:
        """End the exchange under way without a whole answer, and the connection with it."""
        self.abort()
        done, self._done = self._done, None
        if done is not None:
            done(unanswered(reason, self._first_byte_at))

    def abort(self) -> None:
        """Close now, whatever is still to be written."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close in good order, as TLS asks."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    async def ended(self, within_seconds: float) -> None:
        """Wait for a `close`; past `within_seconds`, don't be polite."""
        if self._parser is None:
            return
        self._gone = self._loop.create_future()
        try:
            async with asyncio.timeout(within_seconds):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort()
            await self._gone

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._secure = transport.get_extra_info("ssl_object") is not None
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self.abort()  # nobody asked: what comes now would be taken for the next answer
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._spoiled = True
            if not self._whole:
                self.fail(f"the answer is not HTTP/1.1: {error}")
                return
        if self._whole:
            self._finish(data)
        else:
            self._wait_for_more(data)

    def eof_received(self) -> None:
        self.open = False
        if self._done is None:
            return
        if self._head_seen and self._ends_with_connection():
            self._finish(b"")
        else:
            self.abort()  # now, not when the rest of the request is written

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        unannounced = self._done is not None and self.reused and self._raw_bytes == 0
        if self._done is not None:
            when = "in the middle of its answer" if self._raw_bytes else "without an answer"
            how = "" if exc is None else f": {describe(exc)}"
            self.fail(f"the receiver ended the connection {when}{how}")
        self._parser = None  # it refers back to this object
        if self._gone is not None:
            self._gone.set_result(None)
        if self._owner is not None:
            self._owner.lost(self, unannounced=unannounced)

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("more than one answer")  # stops the parser

    def on_headers_complete(self) -> None:
        status = self._status = self._parser.get_status_code()
        if status >= 200:
            self._head_seen = True
            if self._head_only:
                self._whole = True
                self._keep = self._parser.should_keep_alive()
        elif status < 100:
            raise ValueError("no such status")  # stops the parser

    def on_message_complete(self) -> None:
        if self._head_seen:
            self._whole = True
            self._keep = self._parser.should_keep_alive()
        elif self._status == 101:
            self._whole = True  # another protocol follows, which nobody here speaks
            self._keep = False

    # The end of an exchange

    def _finish(self, data: bytes) -> None:
        """The answer is whole; `data` is what came of it last."""
        done, self._done = self._done, None
        assert done is not None
        status = self._status
        if self._raw_bytes or self._head_only or not 200 <= status < 300:
            result = self._unusual_result(data)
        else:
            # Whole in one read, and in one piece unless it was chunked.
            parts = self._parts
            body = b"".join(parts) if len(parts) != 1 else parts[0]
            result = answered(status, None, body, self._first_byte_at)
        self._parts.clear()
        if self._keep and self.open and not self._spoiled and self._nothing_to_write():
            self.reused = True
            assert self._owner is not None
            self._owner.release(self, result.finished_at)
        else:
            self.abort()
        done(result)

    def _unusual_result(self, data: bytes) -> Result:
        if self._head_only:
            if self._parts:
                self._spoiled = True  # an answer to HEAD has no body, so this is something else
                self._parts.clear()
            self._parser = new_parser(self)  # the old one waits for a body
        self._gather()
        retry_after = None
        if not 200 <= self._status < 300:
            head = self._head if self._head_kept else self._head + data
            retry_after = headers_of(head).get(b"retry-after")
        result = answered(self._status, retry_after, self._kept, self._first_byte_at)
        self._head.clear()
        self._head_kept = False
        self._raw_bytes = self._body_bytes = 0
        self._kept = b""
        return result

    def _wait_for_more(self, data: bytes) -> None:
        """The answer is not whole yet. Is it too long?"""
        if not self._head_kept:
            self._head += data  # with its end, some of the body
            self._head_kept = self._head_seen
        self._raw_bytes += len(data)
        if not self._head_seen:
            if self._raw_bytes > HEAD_BYTES_READ:
                self.fail(f"the answer's headers are longer than {HEAD_BYTES_READ} bytes")
            return
        self._gather()
        if self._body_bytes > BODY_BYTES_READ or self._raw_bytes > _RAW_BYTES_READ:
            self._keep = False
            self._finish(b"")

    def _gather(self) -> None:
        for part in self._parts:
            self._body_bytes += len(part)
            if len(self._kept) < ANSWER_BYTES_KEPT:
                self._kept += part[: ANSWER_BYTES_KEPT - len(self._kept)]
        self._parts.clear()

    def _ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of this answer (RFC 9112, 6.3 and 9.8)."""
        assert self._transport is not None
        if not _said_goodbye(self._transport.get_extra_info("ssl_object")):
            return False
        headers = headers_of(self._head)
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            return not coding.lower().rstrip().endswith("chunked")
        return b"content-length" not in headers

    def _nothing_to_write(self) -> bool:
        """False after an early answer: the rest of the request must not be taken for the next one."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size() == 0


def _said_goodbye(tls: ssl.SSLObject | None) -> bool:
    """Whether a connection's end is the receiver's word. Over TLS, anyone on the line can send a bare end."""
    if tls is None:
        return True
    try:
        return tls.read(1) == b""
    except ssl.SSLError:
        return False  # it would still read on

"""What one connection may cost: time, memory, and work that waits.

uvicorn bounds neither how long a request takes to arrive nor how much stands around its body; it parses whatever
is pipelined, and takes trailers for headers. Here that is mended, where bytes come in. A request that comes whole
in one small read, as nearly all do, pays for a look at the clock and a few comparisons.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from timer_api.errors import Kind, Problem
from timer_api.one_write import OneWriteProtocol

AROUND_BYTES_MAX = 32_768
"""For all of a request but its body: the request line, headers, trailers, and what chunks are wrapped in."""
_WRAPPED_MAX = 8
"""A chunk may be wrapped in so many times its own length: one of a single byte takes five or more."""
PIECE_BYTES = 4096
"""So much is parsed at a time. Requests that are pipelined behind that wait as bytes."""

_NOWHERE: Any = deque(maxlen=0)


def bounded(request_seconds: float) -> type[BoundedProtocol]:
    """The protocol for uvicorn. A request may take so long to arrive, and a client so long to take an answer."""
    return type("BoundedProtocol", (BoundedProtocol,), {"request_seconds": request_seconds})


class BoundedProtocol(OneWriteProtocol):
    """uvicorn's HTTP protocol within bounds.

    What is past them, or no HTTP, ends the connection, after the answers that are owed. The client is told why,
    when no answer comes before that.
    """

    request_seconds: float
    flow: _Flow

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As in asyncio's Protocol."""
        super().connection_made(transport)
        self.flow = _Flow(self.transport)
        self._arriving_since = self.loop.time()
        """When the bytes of a request began to come that is not whole yet; inf when there is none."""
        self._stalled_since = inf
        """Since when the client takes nothing."""
        self._around_bytes = 0
        self._unread = b""
        self._is_deaf = False
        self._looking = self.loop.call_later(self.request_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """As in asyncio's Protocol."""
        self._looking.cancel()
        # uvicorn forgets these, and they would keep all of this in memory.
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self._is_deaf, self._unread = True, b""
        super().connection_lost(exc)
        # One that never began still leads back here.
        self.cycle = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """As in asyncio's Protocol."""
        self._unset_keepalive_if_required()
        if self._is_deaf:
            return
        if self.pipeline or self._unread:
            self._hold(self._unread + data)
        elif len(data) <= PIECE_BYTES:
            self._parse(data)
        else:
            self._parse_pieces(data)

    def pause_writing(self) -> None:
        """As in asyncio's Protocol."""
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """As in asyncio's Protocol."""
        self._stalled_since = inf
        super().resume_writing()

    # What the parser and the answers tell

    def on_headers_complete(self) -> None:
        """The application begins."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return  # `_parse` reads it again
        super().on_headers_complete()
        # Trailers come the way of headers, and must not become some (RFC 9110, 6.5.1): whoever looked at the
        # headers before us has not looked at them.
        self.headers = _NOWHERE

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._around_bytes -= (1 + _WRAPPED_MAX) * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        if self.headers is not _NOWHERE:
            return  # nothing has begun
        self._arriving_since = inf
        self._around_bytes = 0
        super().on_message_complete()
        # uvicorn leaves this as it is when the answer came before the end of the body.
        self.cycle.more_body = False

    def on_response_complete(self) -> None:
        """An answer was sent; the next request that waits begins."""
        super().on_response_complete()
        if self._unread and not self.pipeline and not self.transport.is_closing():
            data, self._unread = self._unread, b""
            self.flow.is_held = False
            self._parse_pieces(data)

    # Reading

    def _hold(self, data: bytes) -> None:
        """Keep it as it is until every request before it has begun."""
        self._unread = data
        self.flow.is_held = True
        self.flow.pause_reading()

    def _parse_pieces(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(data), PIECE_BYTES):
            if self._is_deaf:
                return
            if self.pipeline:
                self._hold(data[at:])
                return
            self._parse(view[at : at + PIECE_BYTES])

    def _parse(self, data: bytes | memoryview) -> None:
        if self._arriving_since == inf:
            self._arriving_since = self.loop.time()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade()
            if not self._is_deaf and (rest := data[upgrade.args[0] :]):
                self._parse(rest)
            return
        except httptools.HttpParserError as error:
            self._refuse(Problem(Kind.bad_request, f"this is no HTTP/1.1: {error}"))
            return
        if self._arriving_since != inf:
            self._around_bytes = max(0, self._around_bytes + len(data))
            if self._around_bytes > AROUND_BYTES_MAX:
                detail = f"the request line, headers and trailers have at most {AROUND_BYTES_MAX:,} bytes"
                self._refuse(Problem(Kind.headers_too_large, detail))

    def _parse_without_upgrade(self) -> None:
        """Read the head once more without the wish for another protocol, as RFC 9110, 7.8 lets a server do.

        Java's client wishes so by default. The parser would leave out the body, and take it for the next request.
        """
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"\r\n".join([line, *headers, b"\r\n"]))

    # What ends it

    def _look(self) -> None:
        """One timer for each connection, not for each request, since those are many."""
        now, patience = self.loop.time(), self.request_seconds
        if self.transport.is_closing():
            self._stalled_since = min(self._stalled_since, now)
        if self.flow.read_paused and self._arriving_since != inf:
            self._arriving_since = now  # it is not the client that is slow
        if now >= self._stalled_since + patience:
            self.transport.abort()
            return
        if now >= self._arriving_since + patience:
            self._end_waiting()
        first = min(self._arriving_since, self._stalled_since, now)
        self._looking = self.loop.call_at(first + patience, self._look)

    def _end_waiting(self) -> None:
        if self._around_bytes or (self.cycle is not None and self.cycle.more_body):
            detail = f"the request did not arrive within {self.request_seconds:g} seconds"
            self._refuse(Problem(Kind.request_timeout, detail))
        else:
            # Nothing came that would need an answer.
            self._arriving_since = inf
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Read no more, and close when every whole request was answered. The problem is about what is arriving."""
        self._is_deaf = True
        self._arriving_since = inf
        cycle = self.cycle
        if cycle is None:
            self._close_with(problem, "")
        elif cycle.more_body:
            # Its own body is what is arriving.
            is_first_word = not cycle.response_started and not self.pipeline
            self._close_with(problem if is_first_word else None, cycle.scope["path"])
        elif cycle.response_complete:
            self._close_with(problem, "")
        else:
            cycle.keep_alive = False

    def _close_with(self, problem: Problem | None, path: str) -> None:
        if problem is not None:
            answer = problem.response(path)
            headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
            lines = [b"%s: %s\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()


class _Flow(FlowControl):
    """Reads on only when what was read has been parsed."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()

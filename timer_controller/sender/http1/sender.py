"""The sender of the hot path. Its cost per call is the price of a timer; measure before you add to it.

How it decides:

- `not_sent`: no byte of the request was given to a connection. A kept connection that is known to have ended is
  put aside for another before that. Once written, a request is never written again: a receiver that ends a kept
  connection without a word may have seen it, so that is `unknown`.
- An answer is whole at its end, or when more than `BODY_BYTES_READ` of its body have come; then the connection
  is dropped. A body without a length ends with the connection; over TLS only with a proper goodbye.
- What a receiver sends unasked, or beyond its answer, costs it the connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from timer_controller.egress import EgressGuard
from timer_controller.sender.answer import forbidden, unanswered, withheld
from timer_controller.sender.faults import TIMED_OUT_BEFORE_SENDING
from timer_controller.sender.http1.connection import Connection
from timer_controller.sender.http1.pool import Forbidden, Limits, Pool, Unreachable
from timer_controller.sender.http1.resolver import LookUp, Resolver, system_look_up
from timer_controller.sender.protocol import AwaitedSender, Call, Cancel, Done
from timer_controller.sender.target import (
    SAFE_TARGET,
    Destination,
    UrlRefused,
    check_method,
    parse_destination,
    split_url,
)
from timer_controller.sender.tls import verifying_context
from timer_db.domain.address_ranges import Network

log = logging.getLogger(__name__)

_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})
_COMMON_METHODS = _BODY_EXPECTED | {"GET", "HEAD", "DELETE"}
_ROUTES_KEPT = 4096
_SWEEP_SECONDS = 0.05
"""How late a timeout may strike. One timer for all connections is far cheaper than one for each call."""
_GOODBYE_SECONDS = 1.5


_Within = tuple[Network, ...] | None
_Prefix = str | tuple[str, _Within]
"""`scheme://authority`; with the ranges that its calls are held to, if there are any."""


@dataclass(slots=True)
class _Route:
    """What all URLs with one `scheme://authority` share. Calls that are held to other ranges share no connection,
    since on one that is kept nothing is asked any more."""

    pool: Pool
    host_line: str
    authorization: str | None


class _Sending:
    """A call until it has a connection, and the way to cancel it."""

    __slots__ = (
        "_connection", "_deadline", "_done", "_is_cancelled", "_is_head", "_may_send", "_pool", "_request",
        "_task",
    )  # fmt: skip

    def __init__(
        self,
        pool: Pool,
        request: bytes,
        deadline: float,
        is_head: bool,
        may_send: Callable[[], bool],
        done: Done,
    ) -> None:
        self._pool = pool
        self._request = request
        self._deadline = deadline
        self._is_head = is_head
        self._may_send = may_send
        self._done = done
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False

    def leave(self) -> None:
        """Write the request, if a connection rests: the way of nearly all calls. The others wait in a task."""
        self._pool.pending -= 1
        if self._is_cancelled:
            return
        connection = self._pool.take()
        if connection is None or not self._write(connection):
            self._pool.pending += 1
            self._task = asyncio.get_running_loop().create_task(self._wait())
            self._task.add_done_callback(self._note_waited)

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.cancel(self._done)

    def _note_waited(self, _: asyncio.Task[None]) -> None:
        self._pool.pending -= 1

    def _write(self, connection: Connection) -> bool:
        """Whether the call is over or under way; else the connection took no byte of it."""
        now = time.monotonic()
        if not self._may_send():
            self._pool.release(connection, now)
            self._done(withheld())
            return True
        if connection.start(self._request, now, self._deadline, self._is_head, self._done):
            self._connection = connection
            return True
        return False

    async def _wait(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._deadline - time.monotonic()):
                    connection = await self._pool.acquire()
            except TimeoutError:
                self._done(unanswered(TIMED_OUT_BEFORE_SENDING, None))
                return
            except Forbidden as error:
                self._done(forbidden(str(error)))
                return
            except Unreachable as error:
                self._done(unanswered(str(error), None))
                return
            except Exception as error:
                log.exception("a fault on the way to a connection")
                self._done(unanswered(f"internal fault: {type(error).__name__}", None))
                return
            if self._write(connection):
                return
            if not connection.reused:
                self._done(unanswered("the receiver closed the connection at once", None))
                return
            # It ended while it rested, and took nothing: another one.


def _nothing_to_cancel() -> None:
    """For a call that has ended."""


class Http1Sender(AwaitedSender):
    """A `Sender` that speaks HTTP/1.1 itself. It belongs to the event loop that sends first."""

    def __init__(
        self,
        *,
        guard: EgressGuard,
        max_connections_per_destination: int,
        max_idle_connections: int = 1000,
        idle_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        ssl_context: ssl.SSLContext | None = None,
        look_up: LookUp = system_look_up,
        look_up_kept_seconds: float = 10.0,
    ) -> None:
        """`guard` is asked once about the port of what URLs begin with, and about the addresses before each
        connection; nothing is asked for a call on a connection that was kept. `look_up` may block."""
        self._limits = Limits(max_connections_per_destination, idle_seconds, connect_timeout_seconds)
        self._max_idle_connections = max_idle_connections
        self._guard = guard
        self._ssl_context = ssl_context or verifying_context()
        self._resolver = Resolver(look_up, keep_seconds=look_up_kept_seconds)
        self._pools: dict[tuple[bool, str, int, _Within], Pool] = {}
        self._routes: dict[_Prefix, _Route] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._leaving: list[_Sending] = []

    def start(self, call: Call, may_send: Callable[[], bool], done: Done) -> Cancel:
        try:
            route, request = self._prepare(call)
        except UrlRefused as error:
            done(forbidden(str(error)))
            return _nothing_to_cancel
        deadline = time.monotonic() + call.timeout_seconds
        sending = _Sending(route.pool, request, deadline, call.method == "HEAD", may_send, done)
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self._let_leave)
        self._leaving.append(sending)
        route.pool.pending += 1
        return sending.cancel

    def _let_leave(self) -> None:
        """Write every request that was prepared in this turn of the event loop, one right behind the other: the
        receiver's machine wakes up once for all of them, and not once for each."""
        leaving, self._leaving = iter(self._leaving), []
        try:
            for sending in leaving:
                sending.leave()
        finally:
            # Whoever is told of one call must not raise; should it all the same, the others still leave.
            if rest := list(leaving):
                self._leaving += rest
                asyncio.get_running_loop().call_soon(self._let_leave)

    async def aclose(self) -> None:
        await self._resolver.aclose()
        self._stop_sweeping()
        connections = [connection for pool in self._pools.values() for connection in pool.connections]
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.ended(_GOODBYE_SECONDS) for connection in connections))
        self._pools.clear()
        self._routes.clear()

    # A request

    def _prepare(self, call: Call) -> tuple[_Route, bytes]:
        url = call.url
        if call.within is not None:
            return self._prepare_within(call)
        cut = url.find("/", 8)
        route = self._routes.get(url[:cut])
        if route is not None and SAFE_TARGET.fullmatch(url, cut):
            target = url[cut:]
        else:
            prefix, target = split_url(url)
            route = self._routes.get(prefix) or self._new_route(prefix, prefix, None)
        return route, _request(call, target, route)

    def _prepare_within(self, call: Call) -> tuple[_Route, bytes]:
        prefix, target = split_url(call.url)
        key = (prefix, call.within)
        route = self._routes.get(key) or self._new_route(key, prefix, call.within)
        return route, _request(call, target, route)

    def _new_route(self, key: _Prefix, prefix: str, within: _Within) -> _Route:
        destination = parse_destination(prefix)
        if refusal := self._guard.port_refusal(destination.port):
            raise UrlRefused(refusal)
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        route = self._routes[key] = _Route(
            self._pool(destination, within), f"Host: {destination.host_header}\r\n", destination.authorization
        )
        return route

    def _pool(self, destination: Destination, within: _Within) -> Pool:
        key = (destination.secure, destination.host, destination.port, within)
        pool = self._pools.get(key)
        if pool is None:
            permit_address = self._guard.narrowed(within).address_refusal
            pool = self._pools[key] = Pool(
                destination, self._limits, self._resolver, permit_address, self._ssl_context
            )
            if self._sweeping is None:
                self._sweep_later()
        return pool

    # What time ends

    def _sweep_later(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        # First of all: no fault of whoever is told of a timeout may be the end of all timeouts.
        self._sweep_later()
        now = time.monotonic()
        # Whoever is told of a timeout may begin another call, at any pool or a new one.
        for pool in list(self._pools.values()):
            pool.sweep(now)
        gone = [key for key, pool in self._pools.items() if not pool.in_use(now)]
        if gone:
            for key in gone:
                del self._pools[key]
            kept = set(self._pools.values())
            self._routes = {prefix: route for prefix, route in self._routes.items() if route.pool in kept}
        if sum(len(pool.connections) for pool in self._pools.values()) > self._max_idle_connections:
            self._close_longest_resting()
        if not self._pools:
            self._stop_sweeping()

    def _stop_sweeping(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _close_longest_resting(self) -> None:
        resting = [connection for pool in self._pools.values() for connection in pool.resting()]
        excess = len(resting) - self._max_idle_connections
        if excess > 0:
            for connection in sorted(resting, key=_deadline)[:excess]:
                connection.close()


def _deadline(connection: Connection) -> float:
    return connection.deadline


def _request(call: Call, target: str, route: _Route) -> bytes:
    """The whole request, so that it leaves in one write."""
    method, body = call.method, call.body
    if method not in _COMMON_METHODS:
        check_method(method)
    lines = call.lines
    if call.headers:
        lines += "\r\n".join(map(": ".join, call.headers)) + "\r\n"
    if route.authorization and not any(name.lower() == "authorization" for name, _ in call.headers):
        lines += f"Authorization: {route.authorization}\r\n"
    if body or method in _BODY_EXPECTED:
        lines += f"Content-Length: {len(body)}\r\n"
    try:
        return f"{method} {target} HTTP/1.1\r\n{route.host_line}{lines}\r\n".encode() + body
    except UnicodeEncodeError:
        raise UrlRefused("this request cannot be sent: a header holds what is no text") from None

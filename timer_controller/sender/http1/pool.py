"""The connections to one destination."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from timer_controller.sender.faults import TIMED_OUT, describe
from timer_controller.sender.http1.connection import Connection
from timer_controller.sender.http1.resolver import Resolver
from timer_controller.sender.target import Destination
from timer_controller.special_addresses import Address, plain

PermitAddress = Callable[[Address], str | None]
"""None lets a connection be made to the address; else the reason why not."""

_NO_REUSE_SECONDS = 60.0
_TLS_GOODBYE_SECONDS = 1.0


class Unreachable(Exception):
    """No connection could be made; nothing was sent. The message is for a person."""


class Forbidden(Unreachable):
    """None may be made."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sender may hold open, and how long it tries."""

    connections_per_destination: int
    idle_seconds: float
    connect_timeout_seconds: float


class Pool:
    """Hands out connections to one destination: the one used last first, so that the others can go.

    At its limit, callers queue; the first in line gets the next connection, or the place of one that ended.
    """

    def __init__(
        self,
        destination: Destination,
        limits: Limits,
        resolver: Resolver,
        permit_address: PermitAddress,
        ssl_context: ssl.SSLContext,
    ) -> None:
        self._destination = destination
        self._limits = limits
        self._idle_seconds = limits.idle_seconds
        self._resolver = resolver
        self._permit_address = permit_address
        self._ssl_context = ssl_context
        self.connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._connecting = 0
        self.pending = 0
        """Calls that are about to ask for a connection."""
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._no_reuse_until = 0.0

    # Giving and taking

    def take(self) -> Connection | None:
        """A connection that rests, at once or not at all."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
        return None

    async def acquire(self) -> Connection:
        """A connection; waits for one. Raises `Unreachable`."""
        while True:
            connection = self.take()
            if connection is not None:
                return connection
            if len(self.connections) + self._connecting < self._limits.connections_per_destination:
                return await self._connect()
            connection = await self._queue_up()
            if connection is not None and connection.usable():
                return connection

    def release(self, connection: Connection, now: float) -> None:
        """Take it back, open and without an exchange."""
        connection.deadline = now + self._idle_seconds
        if now < self._no_reuse_until:
            connection.close()
        elif not self._queue or not self._give(connection):
            self._idle.append(connection)

    def lost(self, connection: Connection, *, unannounced: bool = False) -> None:
        """It is closed. `unannounced`: while a request was on it, after an earlier one, without a word.

        A receiver that ends kept connections so makes `unknown` of calls that it may never have seen; for a
        while it gets a new connection for each.
        """
        self.connections.discard(connection)
        if unannounced:
            self._no_reuse_until = time.monotonic() + _NO_REUSE_SECONDS
        self._give(None)

    def sweep(self, now: float) -> None:
        """End what took or rested too long."""
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            connection.deadline = inf  # once
            if connection.busy():
                connection.fail(TIMED_OUT)
            else:
                connection.close()
        self._idle = [connection for connection in self._idle if connection.open]

    def in_use(self, now: float) -> bool:
        """Whether anything is here, is to come, or must be remembered."""
        in_use = self.connections or self._connecting or self._queue or self.pending
        return bool(in_use) or now < self._no_reuse_until

    def resting(self) -> list[Connection]:
        """The connections without an exchange."""
        return [connection for connection in self._idle if connection.open]

    async def _queue_up(self) -> Connection | None:
        place: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                # What was meant for this caller goes to the next.
                given = place.result()
                if given is None:
                    self._give(None)
                elif given.open:
                    self.release(given, time.monotonic())
            raise

    def _give(self, connection: Connection | None) -> bool:
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(connection)
                return True
        return False

    # Connecting

    async def _connect(self) -> Connection:
        self._connecting += 1
        connection = None
        try:
            connection = await self._connect_to_any(await self._permitted_addresses())
            self.connections.add(connection)
            connection.adopt(self)
            return connection
        finally:
            self._connecting -= 1
            if connection is None:
                self._give(None)

    async def _permitted_addresses(self) -> Sequence[Address]:
        """Those that may be connected to. The connection goes to one of them as it is, and the name is not looked
        up again: what a name server says later makes no difference to what was judged.

        A name of which some addresses may be called and others not is called at those (docs/security.md).
        """
        try:
            async with asyncio.timeout(self._limits.connect_timeout_seconds):
                found = await self._resolver.addresses(self._destination.host)
        except TimeoutError:
            raise Unreachable(
                f"the host's name was not looked up within {self._limits.connect_timeout_seconds:g} s"
            ) from None
        except OSError as error:
            raise Unreachable(describe(error)) from None
        refusals = {address: self._permit_address(address) for address in map(plain, found)}
        permitted = [address for address, refusal in refusals.items() if refusal is None]
        if not permitted:
            raise Forbidden(next(filter(None, refusals.values())))
        return permitted

    async def _connect_to_any(self, addresses: Sequence[Address]) -> Connection:
        """Try one after the other, each with its share of the time that is left."""
        end = time.monotonic() + self._limits.connect_timeout_seconds
        reason = ""
        for tried, address in enumerate(addresses):
            share = (end - time.monotonic()) / (len(addresses) - tried)
            try:
                async with asyncio.timeout(share):
                    return await self._connect_to(address)
            except TimeoutError:
                reason = f"no connection to {address} within {share:.3g} s"
            except OSError as error:
                reason = describe(error)
        raise Unreachable(reason)

    async def _connect_to(self, address: Address) -> Connection:
        secure = self._destination.secure
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(loop),
            str(address),
            self._destination.port,
            ssl=self._ssl_context if secure else None,
            server_hostname=self._destination.host.rstrip(".") if secure else None,
            ssl_shutdown_timeout=_TLS_GOODBYE_SECONDS if secure else None,
        )
        if not connection.open:
            raise ConnectionResetError
        return connection

"""Names to addresses: asked once for all who wait, kept for a short while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from timer_controller.special_addresses import Address, literal

LookUp = Callable[[str], Sequence[Address]]
"""Blocks until it knows; raises `OSError` (`socket.gaierror`) for a name without an address."""

_LOOK_UPS_AT_ONCE = 64
_NAMES_KEPT = 4096
_ADDRESSES_KEPT = 32
"""Of one name. An answer can hold thousands, and each that is kept is judged and may be tried."""
_FAILURE_KEPT_SECONDS = 1.0


def system_look_up(host: str) -> Sequence[Address]:
    """The machine's own way, in the order it prefers (RFC 6724)."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # A scope ("%eth0") names an interface of this machine; no receiver is addressed so.
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


@dataclass(slots=True)
class _Known:
    addresses: Sequence[Address] | OSError
    until: float


class Resolver:
    """Looks names up in threads of its own.

    Not with `loop.getaddrinfo`: its few threads are shared by all, so that a handful of names with a dead name
    server would hold up every other receiver, and leaving the process would wait for them.
    """

    def __init__(self, look_up: LookUp, *, keep_seconds: float) -> None:
        self._look_up = look_up
        self._keep_seconds = keep_seconds
        self._known: dict[str, _Known] = {}
        self._under_way: dict[str, asyncio.Future[Sequence[Address]]] = {}
        self._places = asyncio.Semaphore(_LOOK_UPS_AT_ONCE)

    async def addresses(self, host: str) -> Sequence[Address]:
        """At least one address. Raises `OSError`."""
        if (address := literal(host)) is not None:
            return [address]
        known = self._known.get(host)
        if known is not None and time.monotonic() < known.until:
            if isinstance(known.addresses, OSError):
                raise known.addresses.with_traceback(None)  # else each raise would lengthen it
            return known.addresses
        asked = self._under_way.get(host)
        if asked is None:
            asked = self._under_way[host] = asyncio.ensure_future(self._ask(host))
            # Whoever waited may be gone by the time it fails; nobody else need hear of it.
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asked)

    async def aclose(self) -> None:
        for asked in list(self._under_way.values()):
            asked.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _ask(self, host: str) -> Sequence[Address]:
        try:
            async with self._places:
                found = (await _in_a_thread(self._look_up, host))[:_ADDRESSES_KEPT]
            self._remember(host, found, self._keep_seconds)
            return found
        except OSError as error:
            self._remember(host, error, min(_FAILURE_KEPT_SECONDS, self._keep_seconds))
            raise
        finally:
            del self._under_way[host]

    def _remember(self, host: str, found: Sequence[Address] | OSError, seconds: float) -> None:
        if len(self._known) >= _NAMES_KEPT:
            self._known.clear()
        self._known[host] = _Known(found, time.monotonic() + seconds)


async def _in_a_thread(look_up: LookUp, host: str) -> Sequence[Address]:
    """A daemon thread, because nothing can interrupt a look-up and an orderly stop must not wait for one."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()

    def settle(found: Sequence[Address] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def work() -> None:
        found: Sequence[Address] | OSError
        try:
            found = look_up(host) or OSError(f"{host} has no address")
        except OSError as error:
            found = error
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
            found = OSError(f"{host} could not be looked up: {error!r}")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=work, name=f"look-up {host}", daemon=True).start()
    return await answer

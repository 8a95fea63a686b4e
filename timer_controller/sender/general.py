"""The general sender, over httpcore, which is the engine of httpx: what httpx itself would add (cookies,
redirects, settings from the environment, a rewritten path) is not wanted here. It speaks to forward proxies;
for everything else `http1` does the same far more cheaply.

How near it comes to the truth:

- `not_sent` means that httpcore never came to write the request: it tells before it does, and `may_send` is
  asked then. A proxy's CONNECT is not the request. From there on, a call without a whole answer is `unknown`.
- The answer is whole at its end, or when more than `BODY_BYTES_READ` of its body have come; then the
  connection is dropped.
- httpcore keeps what a receiver sends beyond its answer, and reads it as the beginning of the next one.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import Any

import httpcore

from timer_controller.egress import EgressGuard
from timer_controller.sender.answer import BODY_BYTES_READ, answered, forbidden, unanswered, withheld
from timer_controller.sender.faults import TIMED_OUT, TIMED_OUT_BEFORE_SENDING, describe
from timer_controller.sender.protocol import Call, Cancel, Done, Result
from timer_controller.sender.target import (
    Destination,
    UrlRefused,
    check_method,
    parse_destination,
    split_url,
    user_of,
)
from timer_controller.sender.tls import verifying_context

_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})
_log = logging.getLogger(__name__)


class HttpxSender:
    """A `Sender` that can go through a forward proxy (`http://[user:password@]host:port`, or https).

    The proxy looks names up, so only hosts that are addresses, and ports, are judged here. Without a proxy, names
    are not judged at all: for receivers that one trusts.
    """

    def __init__(
        self,
        *,
        guard: EgressGuard,
        max_connections: int,
        proxy: str | None = None,
        connect_timeout_seconds: float = 5.0,
        idle_seconds: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Raises `UrlRefused` for a proxy that is no URL."""
        context = ssl_context or verifying_context()
        self._guard = guard
        self._connect_timeout_seconds = connect_timeout_seconds
        self._proxied = proxy is not None
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            proxy=None if proxy is None else _proxy(proxy, context),
            max_connections=max_connections,
            keepalive_expiry=idle_seconds,
        )

    def start(self, call: Call, may_send: Callable[[], bool], done: Done) -> Cancel:
        """A task for each call: beside what the library costs, it does not count."""
        task = asyncio.get_running_loop().create_task(self.send(call, may_send))

        def ended(task: asyncio.Task[Result]) -> None:
            if not task.cancelled():
                done(task.result())

        task.add_done_callback(ended)

        def cancel() -> None:
            task.cancel()

        return cancel

    async def send(self, call: Call, may_send: Callable[[], bool]) -> Result:
        """The same for callers that wait. Cancelled, it closes the call's connection."""
        try:
            request = self._request(call)
        except UrlRefused as error:
            return forbidden(str(error))
        except UnicodeEncodeError:
            return forbidden("this request cannot be sent: a header holds what is no text")
        attempt = _Attempt(may_send)
        request.extensions["trace"] = attempt.trace
        try:
            async with asyncio.timeout(call.timeout_seconds):
                return await self._exchange(request, attempt)
        except TimeoutError:
            late = TIMED_OUT_BEFORE_SENDING if attempt.first_byte_at is None else TIMED_OUT
            return unanswered(late, attempt.first_byte_at)
        except _Withheld:
            return withheld()
        except httpcore.LocalProtocolError:
            # httpcore checks method, target and headers after its notice and before it writes anything.
            # Without its words: they quote the value of a header, which may be a secret.
            return forbidden("this request cannot be sent: its method, its target or a header is no HTTP")
        except httpcore.ConnectTimeout:
            return unanswered(f"no connection within {self._connect_timeout_seconds:g} s", None)
        except httpcore.ProxyError as error:
            return unanswered(f"the proxy refused: {error}", None)
        except httpcore.ProtocolError as error:
            return unanswered(f"no whole answer: {error}", attempt.first_byte_at)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            return unanswered(describe(error), attempt.first_byte_at)
        except Exception as error:  # noqa: BLE001 - what a receiver provokes inside the library is an outcome too
            _log.warning("the HTTP library failed in an unforeseen way", exc_info=error)
            return unanswered(describe(error), attempt.first_byte_at)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _exchange(self, request: httpcore.Request, attempt: _Attempt) -> Result:
        response = await self._pool.handle_async_request(request)
        body = bytearray()
        try:
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > BODY_BYTES_READ:
                    break
            if _ends_with_connection(response):
                # Else httpcore keeps it: over TLS it does not notice such an end.
                await response.extensions["network_stream"].aclose()
        finally:
            # Keeps the connection when the answer came to its end, else closes it.
            await response.aclose()
        assert attempt.first_byte_at is not None
        return answered(response.status, _retry_after(response), bytes(body), attempt.first_byte_at)

    def _request(self, call: Call) -> httpcore.Request:
        prefix, target = split_url(call.url)
        destination = parse_destination(prefix)
        guard = self._guard.narrowed(call.within)
        if refusal := guard.port_refusal(destination.port) or guard.host_refusal(destination.host):
            raise UrlRefused(refusal)
        return httpcore.Request(
            check_method(call.method),
            self._url(destination, target),
            headers=_headers(call, destination),
            content=call.body,
            extensions={
                "timeout": {"connect": min(self._connect_timeout_seconds, call.timeout_seconds)},
            },
        )

    def _url(self, destination: Destination, target: str) -> httpcore.URL:
        host = destination.host
        if self._proxied and not destination.secure and ":" in host:
            # A proxy is asked for a whole URL, which httpcore puts together without the brackets.
            host = f"[{host}]"
        scheme = "https" if destination.secure else "http"
        return httpcore.URL(scheme=scheme, host=host, port=destination.port, target=target)


class _Withheld(Exception):
    """`may_send` said no."""


class _Attempt:
    """What is known of one call while it is under way."""

    def __init__(self, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self.first_byte_at: float | None = None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        if event != "http11.send_request_headers.started" or info["request"].method == b"CONNECT":
            return
        if not self._may_send():
            # Raised where httpcore has written nothing yet: it closes the connection and tidies its pool.
            raise _Withheld
        self.first_byte_at = time.monotonic()


def _headers(call: Call, destination: Destination) -> list[tuple[bytes, bytes]]:
    headers = [(b"Host", destination.host_header.encode())]
    lines = [line.partition(": ") for line in call.lines.split("\r\n")[:-1]]
    headers += [(name.encode("ascii"), value.encode()) for name, _, value in lines]
    headers += [(name.encode("ascii"), value.encode()) for name, value in call.headers]
    if destination.authorization and not any(n.lower() == "authorization" for n, _ in call.headers):
        headers.append((b"Authorization", destination.authorization.encode()))
    if call.body or call.method in _BODY_EXPECTED:
        headers.append((b"Content-Length", str(len(call.body)).encode()))
    return headers


def _ends_with_connection(response: httpcore.Response) -> bool:
    names = {name.lower() for name, _ in response.headers}
    return not names & {b"content-length", b"transfer-encoding"} and response.status not in (204, 304)


def _retry_after(response: httpcore.Response) -> str | None:
    for name, value in response.headers:
        if name.lower() == b"retry-after":
            return value.decode("latin-1")
    return None


def _proxy(url: str, context: ssl.SSLContext) -> httpcore.Proxy:
    prefix, _ = split_url(url)
    destination = parse_destination(prefix)
    scheme = "https" if destination.secure else "http"
    return httpcore.Proxy(
        httpcore.URL(scheme=scheme, host=destination.host, port=destination.port, target="/"),
        auth=user_of(prefix),
        ssl_context=context if destination.secure else None,
    )

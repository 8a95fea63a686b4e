"""The two clients: the same calls, waited for or awaited."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any, Generic, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, Retrying

from timer_client.calls import AsyncCaller, C, Request, SyncCaller
from timer_client.errors import ApiError, NotReached, UnexpectedAnswer, api_error
from timer_client.resources.api_keys import ApiKeys
from timer_client.resources.collections import Collections
from timer_client.resources.controllers import Controllers
from timer_client.resources.events import Events
from timer_client.resources.health import Health
from timer_client.resources.routes import Routes
from timer_client.resources.schedules import Schedules
from timer_client.resources.timers import Timers
from timer_client.retries import Answer, Retries, retry_after_seconds

T = TypeVar("T")

URL, KEY = "TIMER_URL", "TIMER_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_RETRIES = Retries()


class _Resources(Generic[C]):
    def __init__(self, caller: C) -> None:
        self.timers = Timers(caller)
        self.collections = Collections(caller)
        self.routes = Routes(caller)
        self.schedules = Schedules(caller)
        self.events = Events(caller)
        self.controllers = Controllers(caller)
        self.api_keys = ApiKeys(caller)
        self.health = Health(caller)


class Client(SyncCaller, _Resources[SyncCaller]):
    """Talks to a Timer System, and waits for its answers. It may be shared by threads.

    `url` and `key` are those of `TIMER_URL` and `TIMER_API_KEY` unless they are given; without a key, or with an
    empty one, none is sent.
    `timeout_seconds` is how long each step of one try may take. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(self)
        self._retries = retries
        self._http = httpx.Client(**_settings(url, key, timeout_seconds), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def send(self, request: Request[T]) -> T:
        retrying = Retrying(**self._retries.policy(request.repeat))
        try:
            answer: Answer[T] = retrying(self._try, request, retrying)
        except ApiError as error:
            error.tries = retrying.statistics["attempt_number"]
            raise
        return answer.value

    def _try(self, request: Request[T], retrying: Retrying) -> Answer[T]:
        try:
            response = self._http.request(**_parts(request))
        except httpx.RequestError as error:
            raise _not_reached(self._http.base_url, error) from error
        return _read(request, response, retrying.statistics["attempt_number"])


class AsyncClient(AsyncCaller, _Resources[AsyncCaller]):
    """`Client` for asyncio: what that returns is awaited here, and its iterators are asynchronous."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(self)
        self._retries = retries
        self._http = httpx.AsyncClient(**_settings(url, key, timeout_seconds), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def send(self, request: Request[T]) -> T:
        retrying = AsyncRetrying(**self._retries.policy(request.repeat))
        try:
            answer: Answer[T] = await retrying(self._try, request, retrying)
        except ApiError as error:
            error.tries = retrying.statistics["attempt_number"]
            raise
        return answer.value

    async def _try(self, request: Request[T], retrying: AsyncRetrying) -> Answer[T]:
        try:
            response = await self._http.request(**_parts(request))
        except httpx.RequestError as error:
            raise _not_reached(self._http.base_url, error) from error
        return _read(request, response, retrying.statistics["attempt_number"])


def _settings(url: str | None, key: str | None, timeout_seconds: float) -> dict[str, Any]:
    key = os.environ.get(KEY) if key is None else key
    headers = {"User-Agent": f"timer-client/{metadata.version('timer-client')}", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    base = httpx.URL(url or os.environ.get(URL) or DEFAULT_URL)
    if base.scheme not in ("http", "https") or not base.host:
        raise ValueError(f"{URL}: {base} is no http or https URL, such as {DEFAULT_URL}")
    return {
        "base_url": base,
        "headers": headers,
        "timeout": timeout_seconds,
    }


def _parts(request: Request[Any]) -> dict[str, Any]:
    headers = dict(request.headers)
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    return {
        "method": request.method,
        "url": request.path,
        "params": request.query,
        "content": request.body,
        "headers": headers,
    }


def _not_reached(url: httpx.URL, error: httpx.RequestError) -> NotReached:
    return NotReached(f"{url} did not answer: {str(error) or type(error).__name__}")


def _read(request: Request[T], response: httpx.Response, tries: int) -> Answer[T]:
    wait_seconds = retry_after_seconds(response.headers)
    if not response.is_success:
        raise api_error(response.status_code, _problem(response), wait_seconds)
    try:
        read = request.read if tries == 1 or request.read_again is None else request.read_again
        value = read(response.json() if response.content else None)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"{request.method} {response.url} was answered with something that is not this API's: {error}"
        raise UnexpectedAnswer(said) from error
    # A batch of which some could not be stored: with names, it can be sent again as it is.
    return Answer(value, wait_seconds if response.status_code == httpx.codes.MULTI_STATUS else None)


def _problem(response: httpx.Response) -> dict[str, Any]:
    """What is wrong; something in between, such as a proxy, may have said so in its own way."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "title" in problem:
        return problem
    return {"title": response.reason_phrase, "detail": response.text[:200]}

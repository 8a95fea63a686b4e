"""A call as data, and the two ways to make it: waiting for the answer, or awaiting it.

A method of a resource is written once. It tells which requests there are to be sent, and never sends one:

- `@call`: it returns a `Request[T]`, or is a generator that yields requests, gets what each read, and returns a T.
  On a `Client` it gives that T, on an `AsyncClient` an awaitable of it.
- `@walk`: it is a generator that yields requests for pages and gets each page. On a `Client` it is an iterator
  over the items of the pages, on an `AsyncClient` an asynchronous one. A page is asked for when it is needed.
"""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload
from urllib.parse import quote
from uuid import uuid4

from timer_client.errors import TimerClientError
from timer_client.reading import Shown, read

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S", bound=Shown)


KEY = "Idempotency-Key"


def new_key() -> str:
    """A key that nobody has used."""
    return str(uuid4())


class Repeat(Enum):
    """When a request may be sent again after a failure that may pass."""

    always = auto()
    """Two of it do no more than one."""
    if_not_done = auto()
    """Two may do more than one: only when the first was surely not done."""
    never = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """One request, and how its answer is read. By itself it is a call of one step."""

    method: str
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = Repeat.always
    read_again: Callable[[Any], T] | None = None
    """How the answer is read when it was sent more than once; None: in the same way."""

    def __iter__(self) -> Generator[Request[Any], Any, T]:
        answer: T = yield self
        return answer


class Steps(Protocol[T_co]):
    """Requests, each by what the one before has read, and in the end a T."""

    def __iter__(self) -> Generator[Request[Any], Any, T_co]: ...


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and where the next ones are."""

    items: Sequence[T]
    next_cursor: str | None = None


Pages = Generator[Request[Page[T]], Page[T], None]


class SyncCaller(ABC):
    """Makes calls and waits for them."""

    @abstractmethod
    def send(self, request: Request[T]) -> T:
        """Send one request, again where that is safe; gives what its answer says, or raises TimerClientError."""

    def run(self, steps: Steps[T]) -> T:
        """Send one request after the other."""
        talk = iter(steps)
        try:
            request = next(talk)
            while True:
                try:
                    answer = self.send(request)
                except TimerClientError as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def walk(self, pages: Pages[T]) -> Iterator[T]:
        """Every item of every page."""
        request = next(pages, None)
        while request:
            page = self.send(request)
            yield from page.items
            request = _after(pages, page)


class AsyncCaller(ABC):
    """Makes calls and awaits them."""

    @abstractmethod
    async def send(self, request: Request[T]) -> T:
        """Send one request, again where that is safe; gives what its answer says, or raises TimerClientError."""

    async def run(self, steps: Steps[T]) -> T:
        """Send one request after the other."""
        talk = iter(steps)
        try:
            request = next(talk)
            while True:
                try:
                    answer = await self.send(request)
                except TimerClientError as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def walk(self, pages: Pages[T]) -> AsyncIterator[T]:
        """Every item of every page."""
        request = next(pages, None)
        while request:
            page = await self.send(request)
            for item in page.items:
                yield item
            request = _after(pages, page)


def _after(pages: Pages[T], page: Page[T]) -> Request[Page[T]] | None:
    try:
        return pages.send(page)
    except StopIteration:
        return None


C = TypeVar("C", bound=SyncCaller | AsyncCaller)


class Resource(Generic[C]):
    """Calls about one kind of thing."""

    def __init__(self, caller: C) -> None:
        self.caller = caller


class call(Generic[P, T]):
    """A method that describes a call becomes one that makes it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, resource: None, owner: object) -> Self: ...
    @overload
    def __get__(self, resource: Resource[SyncCaller], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncCaller], owner: object) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: object) -> Any:
        if resource is None:
            return self
        described, run = MethodType(self._describe, resource), resource.caller.run
        return functools.wraps(described)(lambda *args, **options: run(described(*args, **options)))


class walk(Generic[P, T]):
    """A method that describes pages becomes one that iterates over their items."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Pages[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, resource: None, owner: object) -> Self: ...
    @overload
    def __get__(self, resource: Resource[SyncCaller], owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncCaller], owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: object) -> Any:
        if resource is None:
            return self
        described, go = MethodType(self._describe, resource), resource.caller.walk
        return functools.wraps(described)(lambda *args, **options: go(described(*args, **options)))


def path(*segments: str) -> str:
    """The path of these segments, whatever characters are in them."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def query(**filters: object) -> dict[str, str]:
    """Those that are given, as they stand in a URL."""
    return {name: _text(value) for name, value in filters.items() if value is not None}


def json_bytes(document: object) -> bytes:
    """As JSON, with RFC 3339 for datetimes."""
    text = json.dumps(document, default=_text_of_time, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def pages_of(kind: type[S], where: str, member: str, /, **filters: object) -> Pages[S]:
    """Every page of a list. The answers have the items in this member."""
    cursor: str | None = None
    while True:
        page = yield Request(
            method="GET", path=where, read=_page_reader(kind, member), query=query(**filters, cursor=cursor)
        )
        cursor = page.next_cursor
        if cursor is None:
            return


def _page_reader(kind: type[S], member: str) -> Callable[[Any], Page[S]]:
    def page(document: Any) -> Page[S]:
        return Page([read(kind, each) for each in document[member]], document.get("next_cursor"))

    return page


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text_of_time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")

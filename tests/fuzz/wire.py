"""A client on a bare socket, which sends what it is told and reads whole answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httptools

from tests.system import Api

PATIENCE_SECONDS = 20.0
"""Past it, somebody was forgotten."""


@dataclass
class Answer:
    """One answer, whole."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Parser:
    """Takes answers apart; not those to HEAD, whose bytes do not tell that they have no body."""

    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http: Any = httptools.HttpResponseParser(self)
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self.http.get_status_code()
        if status >= 200:
            self.answers.append(Answer(status, self._headers, self._body))


class Line:
    """One connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._parser = _Parser()

    @classmethod
    @asynccontextmanager
    async def to(cls, api: Api) -> AsyncIterator[Self]:
        """A new one, for as long as the block."""
        host, _, port = api.url.removeprefix("http://").partition(":")
        line = cls(*await asyncio.open_connection(host, int(port)))
        try:
            yield line
        finally:
            line.writer.transport.abort()

    async def send(self, *pieces: bytes) -> None:
        """Each by itself. The API may have closed before all are sent."""
        with suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
                # Its own write, and not one with what follows.
                await asyncio.sleep(0)

    async def answers(self, count: int) -> Sequence[Answer]:
        """So many, or those that came before the API closed the connection. TimeoutError when neither comes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self._parser.answers) < count and (data := await self._more()):
                self._parser.http.feed_data(data)
        return self._parser.answers

    async def answer(self) -> Answer:
        """The only one that came so far."""
        (answer,) = await self.answers(1)
        return answer

    async def is_closed(self) -> None:
        """Wait until it is, by the API."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._more():
                pass

    async def _more(self) -> bytes:
        try:
            return await self.reader.read(65_536)
        except ConnectionError:
            return b""

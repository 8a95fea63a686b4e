"""HTTP/1.1 over one kept connection, with nothing between a fault and the one who should see it."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

PATIENCE_SECONDS = 20.0


class Lost(Exception):
    """No whole answer came: nobody knows whether the request was worked on."""


class Line:
    """One connection, opened when it is needed; after a loss the next call opens another."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None

    async def call(self, method: str, path: str, content: object = None) -> tuple[int, Any]:
        """Status and JSON of the answer (None without one). Raises Lost."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._call(method, path, content)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Lost(f"{type(error).__name__} {error}") from error

    async def _call(self, method: str, path: str, content: object) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        body = b"" if content is None else json.dumps(content).encode()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = await _body(reader, headers)
        if headers.get("connection") == "close":
            self.close()
        return int(first.split(" ")[1]), json.loads(answer) if answer else None


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body

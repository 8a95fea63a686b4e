"""A pipe to a database server that can be shut: nothing passes then, and nothing is cut, as where one stalls."""

from __future__ import annotations

import asyncio
from typing import Self

from sqlalchemy.engine import make_url


class Valve:
    """Listens on a port of its own, and is open at first."""

    def __init__(self, database_url: str) -> None:
        self._server_url = make_url(database_url)
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    @property
    def url(self) -> str:
        """The database's URL by way of this pipe."""
        assert self._server
        port: int = self._server.sockets[0].getsockname()[1]
        return self._server_url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    def shut(self) -> None:
        """Nothing passes any more, old connections or new."""
        self._is_open.clear()

    def open(self) -> None:
        """What has waited passes, and everything after it."""
        self._is_open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._is_open.wait()
            server_reader, server_writer = await asyncio.open_connection(
                self._server_url.host, self._server_url.port
            )
            await asyncio.gather(self._pass(reader, server_writer), self._pass(server_reader, writer))
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._is_open.wait()
                writer.write(data)
        except ConnectionError:
            return
        finally:
            writer.close()

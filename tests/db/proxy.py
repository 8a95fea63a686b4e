"""A TCP proxy between us and the server that cuts, holds up or silences a connection at a statement of the test's
choice. It knows MySQL's packets, so that it meets a statement whole."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import Self

from pymysql.constants import SERVER_STATUS
from sqlalchemy.engine import make_url

_QUERY = 0x03  # COM_QUERY of the client/server protocol; the statement's text follows


class When(Enum):
    """What becomes of the statement, and of the connection."""

    before = "the server never gets it"
    after = "the server has done it, and its answer is lost"
    late = "the client sees the cut first; the server gets it when the test lets it"
    delayed = "the server gets it after a while, and nothing is cut"
    silent = "nothing passes any more, either way, until the client closes"


CUTS = (When.before, When.after, When.late)
"""The ways to lose a connection."""


@dataclass(frozen=True, slots=True)
class _Cut:
    statement: bytes
    behind: bytes
    when: When
    delay_seconds: float


class Proxy:
    """Listens on a port of its own. It cuts once per `cut`; later connections pass."""

    def __init__(self, database_url: str) -> None:
        self._server_url = make_url(database_url)
        self._cut: _Cut | None = None
        self._release = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self.was_cut = asyncio.Event()
        self.server_is_done = asyncio.Event()
        """Set when the server has answered what came `late`."""
        self.met = b""
        """The transaction in which the last cut came, up to the statement."""
        self.is_refusing = False
        """Connections are closed as soon as they come."""
        self.refused = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        self._release.set()
        self.cut_all()
        await asyncio.gather(*(link.ended.wait() for link in self._links))

    @property
    def url(self) -> str:
        """The database's URL by way of this proxy."""
        assert self._server
        port: int = self._server.sockets[0].getsockname()[1]
        return self._server_url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    def cut(self, when: When, at: bytes = b"COMMIT", *, behind: bytes = b"", delay_seconds: float = 0.0) -> None:
        """At the next statement that begins with `at`, or ends with it as the last of several in one piece, on a
        connection on which `behind` went by before."""
        self._cut = _Cut(at, behind, when, delay_seconds)
        self.was_cut.clear()
        self.server_is_done.clear()
        self._release.clear()

    def release(self) -> None:
        """Let the server have what came `late`."""
        self._release.set()

    def spare(self) -> None:
        """Let everything pass, also where a cut was asked for and its statement has not come."""
        self._cut = None
        self._release.set()

    async def go_away_once_cut(self) -> None:
        """Once the cut that was asked for has happened, no other connection works either."""
        await self.was_cut.wait()
        self.is_refusing = True
        self.cut_all()

    def cut_all(self) -> None:
        """Every connection there is."""
        for link in list(self._links):
            link.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            self.refused += 1
            writer.close()
            return
        try:
            upstream = await asyncio.open_connection(self._server_url.host, self._server_url.port)
        except ConnectionError:
            writer.close()
            return
        link = _Link(self, (reader, writer), upstream)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def take_cut(self, head: bytes, payload: bytes, seen: bytearray) -> _Cut | None:
        """The cut that this packet of a client asks for; `seen` is what went by on its connection."""
        cut = self._cut
        # A command's first packet has the number 0; the others are the rest of a long one, or part of a log-in.
        if (
            cut is None
            or head[3] != 0
            or payload[0] != _QUERY
            or not (payload.startswith(cut.statement, 1) or payload.endswith(b";" + cut.statement))
            or cut.behind not in seen + payload
        ):
            return None
        self._cut = None
        self.met = bytes(seen + payload)
        return cut

    async def deliver_late(self, link: _Link, packet: bytes) -> None:
        """Hold a statement back, while its client is gone already."""
        link.close_client()
        self.was_cut.set()
        await self._release.wait()
        await link.ask_server(packet)
        self.server_is_done.set()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, proxy: Proxy, client: Stream, server: Stream) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = client
        self._server_reader, self._server_writer = server
        self._answers: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()

    async def run(self) -> None:
        self._answers = asyncio.create_task(self._pass_answers())
        try:
            await self._pass_questions()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._answers.cancel()
            self.close()
            await asyncio.wait([self._answers])
            self.ended.set()

    def close(self) -> None:
        self.close_client()
        self._server_writer.close()

    def close_client(self) -> None:
        self._client_writer.close()

    async def ask_server(self, packet: bytes) -> None:
        """Send a packet, and keep its answers, one per statement in it, from the client."""
        assert self._answers
        self._answers.cancel()
        await asyncio.wait([self._answers])
        self._server_writer.write(packet)
        more = True
        while more:
            head = await self._server_reader.readexactly(4)
            more = _says_more(await self._server_reader.readexactly(int.from_bytes(head[:3], "little")))

    async def _pass_answers(self) -> None:
        # A server that was killed resets the connection.
        with contextlib.suppress(ConnectionError):
            while data := await self._server_reader.read(65_536):
                self._client_writer.write(data)
        self._client_writer.close()

    async def _pass_questions(self) -> None:
        # What went by since the last COMMIT: the transaction that is open.
        seen = bytearray()
        while True:
            head = await self._client_reader.readexactly(4)
            payload = await self._client_reader.readexactly(int.from_bytes(head[:3], "little"))
            cut = self._proxy.take_cut(head, payload, seen)
            if cut and cut.when is When.delayed:
                self._proxy.was_cut.set()
                await asyncio.sleep(cut.delay_seconds)
            if cut is None or cut.when is When.delayed:
                seen = bytearray() if payload.endswith(b"COMMIT") else seen + payload
                self._server_writer.write(head + payload)
                continue
            if cut.when is When.late:
                await self._proxy.deliver_late(self, head + payload)
            elif cut.when is When.after:
                await self.ask_server(head + payload)
            self._proxy.was_cut.set()
            if cut.when is When.silent:
                await self._swallow()
            return

    async def _swallow(self) -> None:
        assert self._answers
        self._answers.cancel()
        while await self._client_reader.read(65_536):
            pass


def _says_more(answer: bytes) -> bool:
    """Whether an OK packet is followed by the answer of another statement."""
    if answer[0] != 0:
        return False
    position = 1
    for _ in range(2):  # affected rows and last insert id, of variable length
        position += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(answer[position], 1)
    return bool(
        int.from_bytes(answer[position : position + 2], "little") & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS
    )

"""A receiver that does exactly what a test tells it to, byte by byte.

It works on bare sockets, so that a test can close or reset a connection at an instant of its choice: when `close`
and `reset` return, the system has sent the FIN or RST.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """A port that answers nothing: its queue is full, so that Linux drops every further SYN."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        address = listener.getsockname()
        for _ in range(16):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(address)
            except TimeoutError:
                yield address[1]
                return
        raise AssertionError("the queue did not fill up")


class Bystander:
    """Listens where nobody may come. A connection would be seen at once: on one machine it waits to be accepted
    before the one who connects knows that it stands."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self._listener.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def saw_nobody(self) -> bool:
        """Whether nobody has connected so far."""
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return True
        return False


class Gone(Exception):
    """The sender ended the connection."""


@dataclass(frozen=True)
class Request:
    """One request as it was on the wire."""

    raw: bytes

    @property
    def line(self) -> str:
        return self.raw.partition(b"\r\n")[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        return [(name, value) for name, _, value in (line.decode("utf-8").partition(": ") for line in lines)]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]


class Peer:
    """The receiver's end of one connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        """1 is the first that was accepted."""
        self._unread = b""

    async def receive(self) -> bytes:
        """Whatever comes next; b"" at the end."""
        raise NotImplementedError

    async def send(self, data: bytes) -> None:
        """Raises `Gone`."""
        raise NotImplementedError

    def close(self) -> None:
        """Now, and in good order as far as TCP goes."""
        raise NotImplementedError

    async def head(self) -> bytes:
        """A request up to its empty line; what came behind it waits for `request`."""
        while b"\r\n\r\n" not in self._unread:
            self._unread += await self._more()
        head, mark, _ = self._unread.partition(b"\r\n\r\n")
        return head + mark

    async def request(self) -> Request:
        """A whole request. Raises `Gone`."""
        head = await self.head()
        length = Request(head).header("Content-Length")
        size = len(head) + int(length or 0)
        while len(self._unread) < size:
            self._unread += await self._more()
        raw, self._unread = self._unread[:size], self._unread[size:]
        return Request(raw)

    def forget(self) -> None:
        """Drop what was read and not taken."""
        self._unread = b""

    async def gone(self) -> None:
        """Wait until the sender ends the connection."""
        with suppress(Gone):
            while True:
                await self._more()

    async def _more(self) -> bytes:
        try:
            data = await self.receive()
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        return data


class PlainPeer(Peer):
    """Over a socket."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        super().__init__(number)
        self._socket = connection

    async def receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, 65_536)

    async def send(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError:
            raise Gone from None

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Now, with an RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def end_sending(self) -> None:
        """A FIN now; still listening."""
        self._socket.shutdown(socket.SHUT_WR)


class TlsPeer(Peer):
    """Over asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        super().__init__(number)
        self._reader, self._writer = reader, writer

    async def receive(self) -> bytes:
        return await self._reader.read(65_536)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """With TLS's goodbye."""
        self._writer.close()

    def drop(self) -> None:
        """A FIN now, without TLS's goodbye."""
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as twin:
            twin.shutdown(socket.SHUT_WR)


Script = Callable[[PlainPeer], Awaitable[None]]
TlsScript = Callable[[TlsPeer], Awaitable[None]]


async def answer_all(peer: PlainPeer) -> None:
    """A receiver that behaves."""
    while True:
        await peer.request()
        await peer.send(OK)


class Receiver:
    """Listens on loopback and lets `script` deal with each connection; when it returns, the connection is closed.

    A script that fails makes the test fail. One that waits for ever is ended with the test.
    """

    def __init__(self, script: Script, host: str = "127.0.0.1", port: int = 0) -> None:
        self.accepted = 0
        self._script = script
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=512)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._tasks.add(asyncio.create_task(self._accept()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()
        if self._faults:
            raise self._faults[0]

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self._tasks.add(asyncio.create_task(self._serve(PlainPeer(connection, self.accepted))))

    async def _serve(self, peer: PlainPeer) -> None:
        try:
            await self._script(peer)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - told to the test at its end
            self._faults.append(error)
        finally:
            peer.close()


class TlsReceiver:
    """The same over TLS. `names` are the server names that senders asked for."""

    def __init__(self, script: TlsScript, context: ssl.SSLContext) -> None:
        self.accepted = 0
        self.names: list[str | None] = []
        self._script = script
        self._context = context
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._faults: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.close()
        await self._server.wait_closed()
        if self._faults:
            raise self._faults[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        try:
            await self._script(TlsPeer(reader, writer, self.accepted))
        except Gone:
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over: no need to be polite
        except Exception as error:  # noqa: BLE001 - told to the test at its end
            self._faults.append(error)
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

"""A real HTTP server that answers what a test says, and notes what it was asked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """One answer, of JSON or of bytes. Without a status the connection is closed instead."""

    status: int | None
    document: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Scripted(ThreadingHTTPServer):
    """Gives the answers in their order; a request too many is answered 500."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[Asked] = []
        self._script: deque[Said] = deque()

    def say(self, status: int | None, document: Any = b"", **headers: str) -> None:
        """Add an answer; `retry_after` is the header Retry-After."""
        self._script.append(
            Said(status, document, {name.replace("_", "-"): text for name, text in headers.items()})
        )

    def take(self, asked: Asked) -> Said:
        self.asked.append(asked)
        return self._script.popleft() if self._script else Said(500, {"title": "The script has ended"})


class _Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): text for name, text in self.headers.items()}
        said = self.server.take(Asked(self.command, self.path, headers, body))
        if said.status is None:
            self.close_connection = True
            return
        content = said.document if isinstance(said.document, bytes) else json.dumps(said.document).encode()
        self.send_response(said.status)
        for name, text in said.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    with Scripted() as running:
        Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()

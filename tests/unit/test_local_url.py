"""`make run` says where the API is, whatever address it listens on."""

from __future__ import annotations

import asyncio
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from timer_local.__main__ import _announce
from timer_local.settings import LocalSettings


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Six(HTTPServer):
    address_family = socket.AF_INET6


@pytest.mark.parametrize(
    ("listens_at", "said"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")],
)
def test_it_says_where_the_api_is(listens_at: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = _Six if ":" in listens_at else HTTPServer
    with kind((listens_at, 0), _Ready) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        port = server.server_port
        asyncio.run(
            asyncio.wait_for(_announce(LocalSettings(api_host=listens_at, api_port=port), asyncio.Event()), 30)
        )
        server.shutdown()
    assert capsys.readouterr().out == f"ready: http://{said}:{port}/docs\n"

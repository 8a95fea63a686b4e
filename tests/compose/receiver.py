"""A receiver that remembers every call; `GET /calls` tells.

POST /slow/{id} is answered after two seconds, so that a controller can be killed while calls are in flight.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

calls: list[dict[str, object]] = []
changing = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with changing:
            calls.append(
                {
                    "path": self.path,
                    "webhook_id": self.headers.get("webhook-id"),
                    "possible_duplicate": self.headers.get("Timer-Possible-Duplicate") == "true",
                    "peer": self.client_address[0],
                }
            )
        if self.path.startswith("/slow/"):
            time.sleep(2)
        self.answer(b"")

    def do_GET(self) -> None:
        with changing:
            body = json.dumps(calls).encode()
        self.answer(body)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a killed caller does not wait for its answer
            super().handle()

    def log_message(self, *_: object) -> None:
        """Says nothing: the calls are the log."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


Server(("", 9000), Receiver).serve_forever()

"""The local system of `timerctl dev`: a database whose clock can be moved, the services, and a receiver."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from timer_client.client import Client
from timer_client.ctl.faketime import MovableClock
from timer_client.ctl.faults import Fault
from timer_client.ctl.settling import settle

CONTROL_PATH = "/timerctl-dev/advance"
_START_SECONDS = 180.0
_BODY_SHOWN = 300
_STATUS = re.compile(r"/status/([2-5]\d\d)(?:/|\Z)")
Say = Callable[[str], None]


def check_services() -> None:
    """Fault unless the services are installed beside this."""
    _leash()


def _leash() -> Path:
    """The program of the data layer by which a child ends with its parent, however that ends."""
    data_layer, local = find_spec("timer_db"), find_spec("timer_local")
    if data_layer is None or data_layer.origin is None or local is None:
        raise Fault("the services are not installed here: timerctl dev runs where `make install` was run")
    return Path(data_layer.origin).with_name("embedded") / "leash.py"


class DevServer:
    """Everything runs inside `with`. `advance` moves the clock."""

    def __init__(
        self,
        folder: Path,
        port: int,
        receiver_port: int,
        clock: MovableClock,
        say: Say,
        *,
        shows_headers: bool = False,
    ) -> None:
        self._folder = folder
        self._port = port
        self._clock = clock
        self._say = say
        self._shows_headers = shows_headers
        self._database: subprocess.Popen[str] | None = None
        self._services: subprocess.Popen[str] | None = None
        self._database_url = ""
        self._moving = threading.Lock()
        # The kernel ties a child to the thread that started it, so that is one which lives as long as we do.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
        self._receiver = ThreadingHTTPServer(("127.0.0.1", receiver_port), self._handler())
        self.url = f"http://127.0.0.1:{port}"
        self.receiver_url = f"http://127.0.0.1:{self._receiver.server_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The receiver first, the database last to go."""
        threading.Thread(target=self._receiver.serve_forever, daemon=True).start()
        try:
            self._database = self._start(
                ["timer_db", "embedded", "--data-dir", str(self._folder / "db")], self._clock.environment
            )
            self._database_url = self._line_of(self._database, "ready: ", "timer_db")
            self._start_services()
            yield
        finally:
            self._say("stopping")
            for process in (self._services, self._database):
                _stop(process)
            self._receiver.shutdown()

    def now(self) -> datetime:
        """The system's time."""
        return datetime.now(UTC) + timedelta(seconds=self._clock.ahead_seconds)

    def advance(self, seconds: float) -> dict[str, Any]:
        """Move the clock; gives what became of what fell due. The services are stopped in order meanwhile, so no
        controller seems to have been silent for that long."""
        with self._moving:
            _stop(self._services)
            self._clock.move(seconds)
            self._start_services()
            with Client(self.url) as client:
                waiting = settle(client, self.now)
        shown = {
            why: [{"id": timer.id, "attempts": timer.attempts} for timer in timers]
            for why, timers in waiting.items()
        }
        return {"now": self.now().isoformat(timespec="seconds"), **shown}

    def is_alive(self) -> bool:
        """Whether the database and the services run."""
        return (
            all(p is not None and p.poll() is None for p in (self._database, self._services))
            or self._moving.locked()
        )

    def _start(self, module: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        with self._log_of(module[0]).open("a") as log:
            command = [sys.executable, "-I", "-S", str(_leash()), str(os.getpid()), sys.executable, "-m", *module]
            # In a session of its own, Ctrl-C reaches us alone, and we stop them in order.
            return self._starter.submit(
                subprocess.Popen, command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            ).result()  # fmt: skip

    def _start_services(self) -> None:
        environment = {
            **os.environ, "TIMER_DB_URL": self._database_url, "TIMER_API_PORT": str(self._port),
            "TIMER_API_HOST": "127.0.0.1", "TIMER_CONTROLLERS": "1",
        }  # fmt: skip
        self._services = self._start(["timer_local"], environment)
        self._line_of(self._services, "ready: ", "timer_local")

    def _log_of(self, module: str) -> Path:
        return self._folder / f"{module}.log"

    def _line_of(self, process: subprocess.Popen[str], start: str, module: str) -> str:
        """The rest of the first line that starts so. Fault when the program ends before, or takes too long."""
        assert process.stdout is not None
        alarm = threading.Timer(_START_SECONDS, process.terminate)
        alarm.start()
        try:
            for line in process.stdout:
                if line.startswith(start):
                    # What it says later goes nowhere, and must not stop it.
                    threading.Thread(target=process.stdout.read, daemon=True).start()
                    return line.removeprefix(start).strip()
        finally:
            alarm.cancel()
        process.wait()
        said = self._log_of(module).read_text().strip().splitlines()
        raise Fault(f"{module} did not start: {said[-1] if said else f'exit code {process.returncode}'}")

    @staticmethod
    def _answer_of(path: str) -> int:
        """200, unless the path says otherwise: `/status/503/…`."""
        found = _STATUS.match(path)
        return int(found[1]) if found else 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """What arrives is told in words of ours."""

            def __getattr__(self, name: str) -> Any:
                # Every method that a timer may have.
                if name.startswith("do_"):
                    return self._take
                raise AttributeError(name)

            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == CONTROL_PATH and self.command == "POST":
                    self._answer(200, server.advance(float(json.loads(body)["seconds"])))
                    return
                shown = body[:_BODY_SHOWN].decode(errors="replace")
                if server._shows_headers:
                    shown += "".join(f"\n    {name}: {value}" for name, value in self.headers.items())
                possible = " (possible duplicate)" if self.headers.get("Timer-Possible-Duplicate") else ""
                server._say(
                    f"{server.now():%Y-%m-%d %H:%M:%S} {self.command} {self.path}"
                    f" attempt {self.headers.get('Timer-Attempt', '?')}{possible} {shown}"
                )
                self._answer(server._answer_of(self.path), {})

            def _answer(self, status: int, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


def _stop(process: subprocess.Popen[str] | None) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait()

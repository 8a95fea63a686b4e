"""The receiver: nginx with a log of arrivals."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import BenchmarkError
from benchmarks.programs import Program, accepts, free_ports, wait_until

_CONFIG = """daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 16384;
pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 16000; }}
http {{
  log_format arrival '$msec $request_uri';
  access_log {folder}/arrivals.log arrival buffer=256k flush=200ms;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ {listen} location / {{ return 200 "ok"; }} }}
}}
"""
_INSTALL_SECONDS = 300
# No service is started by the package: exit code 101 is "forbidden by policy" (invoke-rc.d(8)).
_DENIED = 101
_POLICY = Path("/usr/sbin/policy-rc.d")
_LOOK_SECONDS = 0.05


class Sink:
    """One nginx process on some ports of 127.0.0.1. A line of its log is an arrival, and reads
    `1763637056.123 /tag/0190…`: the time in milliseconds and the target, whose last 8 digits are the timer's
    number (`loading` makes ids so)."""

    def __init__(self, folder: Path, ports: int) -> None:
        self.ports = free_ports(ports)
        self._log = folder / "arrivals.log"
        self._offset = 0
        listen = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in self.ports)
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, listen=listen))
        self.program = Program(
            "nginx", [find_nginx(), "-p", str(folder), "-c", str(config)], folder / "output.log"
        )
        wait_until("nginx to listen", lambda: accepts(self.ports[0]), 10, [self.program])

    def url(self, tag: str, port: int = 0) -> str:
        """A URL for timers; the tag tells the arrivals of one run from those of another."""
        return f"http://127.0.0.1:{self.ports[port]}/{tag}"

    def forget(self) -> None:
        """From here on, only what arrives now counts."""
        self._offset = self._log.stat().st_size

    def wait_for(self, arrivals: int, timeout_seconds: float, programs: Sequence[Program] = ()) -> bool:
        """Until so many came since `forget`; False when the time is over."""
        patience_ends = time.monotonic() + timeout_seconds
        seen = 0
        with self._log.open("rb") as log:
            log.seek(self._offset)
            while True:
                seen += log.read().count(b"\n")
                if seen >= arrivals:
                    return True
                if time.monotonic() > patience_ends:
                    return False
                for program in (self.program, *programs):
                    program.check()
                time.sleep(_LOOK_SECONDS)

    def arrivals(self, tag: str, timers: int) -> Arrivals:
        """What came under this tag since `forget`, for timers number 0 to `timers - 1`."""
        found = Arrivals(timers)
        marker = f" /{tag}/".encode()
        with self._log.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if marker in line:
                    found.note(int(line[-9:-1], 16), int(line[:10] + line[11:14]))
        return found

    def sequence(self, tags: Sequence[str]) -> list[tuple[int, int]]:
        """What came under these tags since `forget`, in the order of the log: (place of the tag, number)."""
        places = {tag.encode(): place for place, tag in enumerate(tags)}
        found = []
        with self._log.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                place = places.get(line.split(b"/", 2)[1])
                if place is not None:
                    found.append((place, int(line[-9:-1], 16)))
        return found


class Arrivals:
    """How often each timer arrived, and when first, in milliseconds since the epoch."""

    def __init__(self, timers: int) -> None:
        self.counts = array("H", bytes(2 * timers))
        self.first_ms = array("q", bytes(8 * timers))
        self.last_ms = 0

    def note(self, number: int, at_ms: int) -> None:
        """One arrival."""
        if not self.counts[number]:
            self.first_ms[number] = at_ms
        self.counts[number] += 1
        self.last_ms = max(self.last_ms, at_ms)

    @property
    def delivered(self) -> int:
        """Timers that arrived at all."""
        return len(self.counts) - self.missed

    @property
    def missed(self) -> int:
        """Timers that never arrived."""
        return self.counts.count(0)

    @property
    def doubled(self) -> int:
        """Arrivals beyond the first of each timer."""
        return sum(self.counts) - self.delivered

    def early(self, first_due_us: int, step_us: int) -> int:
        """Timers whose first arrival lies before their due time. The log cuts to milliseconds, so both are
        cut: whatever counts here was early for certain."""
        return sum(
            1
            for number, at_ms in enumerate(self.first_ms)
            if at_ms and at_ms < (first_due_us + number * step_us) // 1000
        )

    def lateness_ms(self, first_due_us: int, step_us: int) -> list[float]:
        """At most so late: the log cuts to milliseconds, so up to one of them is added."""
        return [
            ((at_ms + 1) * 1000 - first_due_us - number * step_us) / 1000
            for number, at_ms in enumerate(self.first_ms)
            if at_ms
        ]


def find_nginx() -> str:
    """The program; on Debian and as root it is installed if need be."""
    return _at_hand() or _installed()


def _at_hand() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _installed() -> str:
    by_hand = "nginx is missing: 'apt-get install nginx-light' (as root) puts it there"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BenchmarkError(by_hand)
    try:
        with _no_service_starts():
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for command in (["apt-get", "-q", "update"], ["apt-get", "-q", "-y", "install", "nginx-light"]):
                subprocess.run(command, check=True, capture_output=True, env=environment, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError):
        raise BenchmarkError(by_hand) from None
    found = _at_hand()
    if found is None:
        raise BenchmarkError(by_hand)
    return found


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian asks this file whether a package may start its service; 101 is no. One that says so is left alone."""
    if _POLICY.exists():
        if subprocess.run([_POLICY, "nginx", "start"], check=False, capture_output=True).returncode != _DENIED:
            raise OSError(f"{_POLICY} would start nginx as a service")
        yield
        return
    _POLICY.write_text(f"#!/bin/sh\nexit {_DENIED}\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()

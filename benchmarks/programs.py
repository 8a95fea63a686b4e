"""Processes that a benchmark starts: on a leash, watched, and always stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.figures import BenchmarkError
from timer_db.embedded.process import LEASH

ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_LAST_WORDS_BYTES = 600


class Program:
    """One process. It ends with this one, however this one ends; its report is JSON on standard output."""

    def __init__(
        self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = log
        # A setting in the shell of whoever measures must not change what is measured.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TIMER_")}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *argv],
                cwd=ROOT,
                env={**clean, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )

    @classmethod
    def of_module(
        cls,
        module: str,
        log: Path,
        arguments: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """`python -m module argument…`"""
        return cls(module, [sys.executable, "-m", module, *map(str, arguments)], log, environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id: that of the program itself, which has replaced the leash."""
        return self._process.pid

    def check(self) -> None:
        """BenchmarkError when it has ended by itself."""
        if self._process.poll() is not None:
            raise BenchmarkError(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, in one line."""
        return " | ".join(self._log.read_text(errors="replace")[-_LAST_WORDS_BYTES:].split("\n")[-6:])

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting."""
        self._process.terminate()

    def report(self, timeout_seconds: float) -> dict[str, Any]:
        """Wait for its end; what it printed."""
        try:
            printed, _ = self._process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.name} did not end within {timeout_seconds:.0f} s") from None
        if self._process.returncode != 0:
            raise BenchmarkError(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")
        found: dict[str, Any] = json.loads(printed)
        return found

    def stop(self) -> None:
        """SIGTERM; past a minute, SIGKILL."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody uses at the moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def accepts(port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(
    what: str, look: Callable[[], bool], timeout_seconds: float, programs: Sequence[Program] = ()
) -> None:
    """Until `look` is true, while the programs live."""
    patience_ends = time.monotonic() + timeout_seconds
    while not look():
        for program in programs:
            program.check()
        if time.monotonic() > patience_ends:
            raise BenchmarkError(f"waited {timeout_seconds:.0f} s for {what}")
        time.sleep(_LOOK_SECONDS)


def sleep_until(at_us: int) -> None:
    """Until this moment by the wall clock, in microseconds; no wait when it is over."""
    time.sleep(max(0.0, at_us / 1e6 - time.time()))

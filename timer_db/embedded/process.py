"""A child process that ends with its parent, however the parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from timer_db.embedded.errors import EmbeddedError

LEASH = Path(__file__).with_name("leash.py")


class LeashedProcess:
    """Gets SIGTERM when this process dies, even by kill -9. Ctrl-C in the terminal does not reach it."""

    pid: int

    def __init__(self, argv: Sequence[str], *, log: Path, stdin: Path | None, keep_open: int) -> None:
        """Start `argv`, whose first is an absolute path. It inherits the file descriptor `keep_open`."""
        self._popen: subprocess.Popen[bytes] | None = None
        self._fault: OSError | None = None
        self._started, self._ended = threading.Event(), threading.Event()
        # The kernel ties a child to the thread that forked it, so that thread lives as long as the child.
        self._keeper = threading.Thread(
            target=self._keep, args=(argv, log, stdin or Path(os.devnull), keep_open), daemon=True
        )
        self._keeper.start()
        self._started.wait()
        if self._popen is None:
            raise EmbeddedError(f"cannot start {argv[0]} ({self._fault})")
        self.pid = self._popen.pid

    def _keep(self, argv: Sequence[str], log: Path, stdin: Path, keep_open: int) -> None:
        try:
            with log.open("ab") as output, stdin.open("rb") as source:
                self._popen = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *argv],
                    stdin=source,
                    stdout=output,
                    stderr=output,
                    pass_fds=(keep_open,),
                    # A systemd unit around us must not take the server's word that it is ready for ours.
                    env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
                    start_new_session=True,
                    umask=0o077,
                )
        except OSError as fault:
            self._fault = fault
        finally:
            self._started.set()
        if self._popen is not None:
            self._popen.wait()
        self._ended.set()

    @property
    def is_running(self) -> bool:
        return not self._ended.is_set()

    @property
    def return_code(self) -> int | None:
        """None while it runs; -9 after kill -9."""
        return None if self._popen is None else self._popen.returncode

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Whether it has ended, at the latest after this long."""
        ended = self._ended.wait(timeout_seconds)
        if ended:
            self._keeper.join()
        return ended

    def terminate(self) -> None:
        """Ask it to end in order."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is not None and self.is_running:
            self._popen.send_signal(number)

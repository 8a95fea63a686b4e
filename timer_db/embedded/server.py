"""Starts and stops a database server of our own."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from timer_db.embedded.datadir import POLL_SECONDS, DataDir
from timer_db.embedded.engines import Engine, EngineKind
from timer_db.embedded.errors import EmbeddedError
from timer_db.embedded.process import LeashedProcess
from timer_db.embedded.settings import (
    data_arguments,
    initialise_arguments,
    mariadb_system_tables,
    serve_arguments,
    start_sql,
)

HOST = "127.0.0.1"
START_SECONDS = 300.0
STOP_SECONDS = 120.0
PORT_TRIES = 5


class EmbeddedServer:
    """One server on one data folder. It listens on 127.0.0.1 only, and ends when this process does.

    `port` None takes a free one, and keeps it for later starts of the same object while it stays free.
    `extra_args` follow the server's other arguments, so they win. Every fault is an EmbeddedError.
    """

    def __init__(
        self,
        engine: Engine,
        data_dir: Path,
        *,
        database: str = "timer",
        port: int | None = None,
        buffer_pool_mb: int = 512,
        redo_log_mb: int = 512,
        extra_args: Sequence[str] = (),
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,60}", database):
            raise EmbeddedError(f"the database's name {database!r} needs to be letters, digits and _")
        self.engine, self.database = engine, database
        self._data = DataDir(data_dir)
        self._wanted_port, self._port = port, port
        self._arguments = [
            *serve_arguments(engine.kind, buffer_pool_mb=buffer_pool_mb, redo_log_mb=redo_log_mb),
            *extra_args,
        ]
        self._process: LeashedProcess | None = None
        self._socket = self._data.socket
        self._log_offset = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def data_dir(self) -> Path:
        return self._data.path

    @property
    def socket(self) -> Path:
        """Unix socket, the only way in for `root`."""
        return self._socket

    @property
    def port(self) -> int:
        if self._port is None:
            raise EmbeddedError("the embedded server has no port before its first start")
        return self._port

    @property
    def url(self) -> str:
        """`mysql://timer:<password>@127.0.0.1:<port>/<database>`"""
        return f"mysql://timer:{self._data.password()}@{HOST}:{self.port}/{self.database}"

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process and self._process.is_running else None

    @property
    def is_running(self) -> bool:
        return self.pid is not None

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Whether the server has ended, at the latest after this long."""
        return self._process is None or self._process.wait(timeout_seconds)

    def last_words(self) -> str:
        """What the server complained of since its last start, in one line."""
        return self._data.last_words(self._log_offset)

    def start(self) -> None:
        """Return when the server takes connections; the first start makes the data."""
        if self.is_running:
            raise EmbeddedError(f"the server on {self._data.path} is already running")
        try:
            self._start()
        except OSError as fault:
            raise EmbeddedError(
                f"cannot use {self._data.path} ({fault}): mend that, or choose another folder"
            ) from fault

    def stop(self) -> None:
        """Ask it to end in order, and wait for that."""
        if self._process is None:
            return
        self._process.terminate()
        ended = self._process.wait(STOP_SECONDS)
        self.kill()
        if not ended:
            raise EmbeddedError(f"the server on {self._data.path} had to be killed, it did not end when asked")

    def kill(self) -> None:
        """End it as kill -9 does, and wait until it is gone; the next start recovers."""
        if self._process:
            self._process.kill()
            self._process = None
            self._data.leave(self._socket)

    def restart(self) -> None:
        """Stop in order, start again."""
        self.stop()
        self.start()

    def _start(self) -> None:
        with self._data.locked() as lock:
            self._data.check_engine(self.engine)
            self._data.clean()
            if not self._data.db.exists():
                self._initialise(lock)
            for tries_left in reversed(range(PORT_TRIES)):
                if self._serve(lock, may_try_again=tries_left > 0 and self._wanted_port is None):
                    break
            self._data.remember(self.engine)

    def _initialise(self, lock: int) -> None:
        """Make the data in a folder beside, which gets its name when it is whole."""
        unfinished, sql = self._data.unfinished_db, None
        unfinished.mkdir(mode=0o700)
        if self.engine.kind is EngineKind.mariadb:
            sql = self._data.write_sql(mariadb_system_tables(self.engine))
        arguments = data_arguments(self.engine, unfinished, self._data.tmp)
        process = self._launch([*arguments, *initialise_arguments(self.engine.kind)], lock, stdin=sql)
        try:
            ended = process.wait(START_SECONDS)
        finally:
            process.kill()
        if not ended or process.return_code != 0:
            raise EmbeddedError(f"cannot make a {self.engine.kind} database: {self.last_words()}")
        self._data.remember(self.engine)
        unfinished.rename(self._data.db)

    def _serve(self, lock: int, *, may_try_again: bool) -> bool:
        """Start the server on a port; False when another program was quicker to take that."""
        self._port = self._choose_port()
        sql = self._data.write_sql(start_sql(self.database, self._data.password()))
        arguments = [
            *data_arguments(self.engine, self._data.db, self._data.tmp),
            f"--port={self._port}",
            f"--socket={self._data.socket}",
            f"--pid-file={self._data.pid_file}",
            f"--init-file={sql}",
        ]
        process = self._launch([*arguments, *self._arguments], lock)
        try:
            self._await_ready(process)
        except BaseException as fault:
            process.kill()
            if may_try_again and isinstance(fault, EmbeddedError) and not _is_free(self._port):
                return False
            raise
        finally:
            sql.unlink()
        self._process, self._socket = process, self._data.socket
        return True

    def _launch(self, argv: Sequence[str], lock: int, stdin: Path | None = None) -> LeashedProcess:
        self._log_offset = self._data.log_size()
        process = LeashedProcess(argv, log=self._data.error_log, stdin=stdin, keep_open=lock)
        self._data.note_user(lock, process.pid)
        return process

    def _choose_port(self) -> int:
        if self._wanted_port is not None:
            if not _is_free(self._wanted_port):
                raise EmbeddedError(f"port {self._wanted_port} is taken: choose another, or none for a free one")
            return self._wanted_port
        if self._port is not None and _is_free(self._port):
            return self._port
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
            return port

    def _await_ready(self, process: LeashedProcess) -> None:
        patience_ends = time.monotonic() + START_SECONDS
        while not _greets(self._data.socket):
            if process.wait(POLL_SECONDS):
                raise EmbeddedError(f"{self.engine.kind} did not start: {self.last_words()}")
            if time.monotonic() > patience_ends:
                raise EmbeddedError(
                    f"{self.engine.kind} is not ready after {START_SECONDS:.0f} s: {self.last_words()}"
                )


def _greets(path: Path) -> bool:
    """Whether a server answers. The socket is in our own folder, so it cannot be another program's."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
            # Length and number of the packet, then the protocol's version: 10 in a greeting.
            return connection.recv(5, socket.MSG_WAITALL)[4:] == b"\x0a"
        except OSError:
            return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True

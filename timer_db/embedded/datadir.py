"""What an embedded server leaves on disk, and who may use it.

<data_dir>/
    db/           the server's own files; there as a whole or not at all
    engine.json   which engine made them, and its version
    password      of the users `timer` (127.0.0.1) and `root` (the socket only)
    lock          locked as long as a server lives on these files
    error.log     what the server says; the one before is error.log.1
    run           socket and pid file: a folder, or a link to a short one where a socket's path would not fit
    tmp/          the server's temporary files
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from timer_db.embedded.engines import Engine, EngineKind, version_key
from timer_db.embedded.errors import EmbeddedError

# A socket's path has 108 bytes, the closing zero included: unix(7).
LONGEST_SOCKET_PATH = 107
LARGEST_LOG_BYTES = 8 * 2**20
# How long a server may take to end after its owner, and an owner to die after its kill -9.
ORPHAN_SECONDS = 60.0
DYING_SECONDS = 0.5
POLL_SECONDS = 0.05


def remembered_kind(data_dir: Path) -> EngineKind | None:
    """Which engine made the data in this folder; None when there is none yet."""
    kind = DataDir(data_dir).remembered().get("kind")
    return EngineKind(kind) if kind in set(EngineKind) else None


class DataDir:
    """The folder given to EmbeddedServer."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.db = self.path / "db"
        self.unfinished_db = self.path / "db.new"
        self.tmp = self.path / "tmp"
        self.error_log = self.path / "error.log"
        self.sql = self.path / "start.sql"
        self._lock, self._run = self.path / "lock", self.path / "run"
        self._engine, self._password = self.path / "engine.json", self.path / "password"

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Yield a descriptor that holds the lock; a server that inherits it holds it as long as it lives."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(lock)
            self.note_user(lock, None)
            yield lock
        finally:
            os.close(lock)

    def _take(self, lock: int) -> None:
        """Wait for a server that has lost its owner and is ending; refuse where it lives on."""
        started_at = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner, server = _user(lock)
            else:
                return
            patience_seconds = ORPHAN_SECONDS if _is_orphan(owner, server) else DYING_SECONDS
            if time.monotonic() - started_at > patience_seconds:
                who = f"server process {server} of process {owner}" if server else f"process {owner}"
                raise EmbeddedError(f"{self.path} is in use by {who}: stop that first, or choose another folder")
            time.sleep(POLL_SECONDS)

    def note_user(self, lock: int, server_pid: int | None) -> None:
        """Write down who uses the folder, for the message of the one who comes second."""
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} {server_pid or ''}".encode(), 0)

    def remembered(self) -> dict[str, str]:
        """Kind and version of the engine that the data belongs to; empty when there is no data."""
        if not self.db.exists():
            return {}
        try:
            memory = json.loads(self._engine.read_text())
        except (OSError, ValueError):
            return {}
        return memory if isinstance(memory, dict) else {}

    def remember(self, engine: Engine) -> None:
        """The data belongs to this engine from now on."""
        _write(self._engine, json.dumps({"kind": engine.kind, "version": engine.version}))

    def check_engine(self, engine: Engine) -> None:
        """Refuse the data of another kind, and of a newer version."""
        memory = self.remembered()
        kind, version = memory.get("kind", engine.kind), memory.get("version", engine.version)
        ours = f"{engine.kind} {engine.version}"
        if kind != engine.kind:
            raise EmbeddedError(f"{self.path} holds data of {kind}, not {ours}: use {kind}, or another folder")
        if version_key(version) > version_key(engine.version):
            raise EmbeddedError(f"{self.path} holds data of the newer {kind} {version}, not {ours}: update {kind}")

    def clean(self) -> None:
        """Remove what a killed server left, make the folders that it needs. Only for the lock's holder."""
        if self._run.is_symlink():
            shutil.rmtree(self._run.readlink(), ignore_errors=True)
            self._run.unlink()
        for folder in (self._run, self.tmp, self.unfinished_db):
            shutil.rmtree(folder, ignore_errors=True)
        self.tmp.mkdir(mode=0o700)
        if len(os.fsencode(self._run / "sock")) <= LONGEST_SOCKET_PATH:
            self._run.mkdir(mode=0o700)
        else:
            self._run.symlink_to(tempfile.mkdtemp(prefix="timer-"))
        if self.error_log.exists() and self.error_log.stat().st_size > LARGEST_LOG_BYTES:
            self.error_log.replace(self.error_log.with_suffix(".log.1"))

    def leave(self, socket: Path) -> None:
        """Remove the short folder of this socket; not one that another server has by now."""
        if self._run.is_symlink() and self._run.resolve() == socket.parent:
            shutil.rmtree(self._run.readlink(), ignore_errors=True)
            self._run.unlink()

    @property
    def socket(self) -> Path:
        return self._run.resolve() / "sock"

    @property
    def pid_file(self) -> Path:
        return self._run.resolve() / "pid"

    def password(self) -> str:
        """Random, made at the first start, readable by this user only."""
        if not self._password.exists():
            _write(self._password, secrets.token_urlsafe(24))
        return self._password.read_text().strip()

    def write_sql(self, text: str) -> Path:
        """Statements for the server to run while it starts; they may hold the password."""
        _write(self.sql, text)
        return self.sql

    def log_size(self) -> int:
        """In bytes: where the next start's words will begin."""
        return self.error_log.stat().st_size if self.error_log.exists() else 0

    def last_words(self, offset: int) -> str:
        """What the server complained of in its log, from `offset` on: the first error and the last."""
        with self.error_log.open("rb") as log:
            log.seek(offset)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        found = (re.search(r"(?:\[ERROR\](?: \[MY-\d+\] \[\w+\])?|^ERROR:) (.+)", line) for line in lines)
        errors = [match[1] for match in found if match and match[1] != "Aborting"]
        if errors:
            return "; ".join(dict.fromkeys((errors[0], errors[-1])))
        return lines[-1] if lines else "it left no word why"


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for this user only."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _user(lock: int) -> tuple[int | None, int | None]:
    """The process ids of owner and server that the lock's holder wrote down."""
    words = [int(word) for word in os.pread(lock, 100, 0).split() if word.isdigit()]
    return (words[0] if words else None), (words[1] if len(words) > 1 else None)


def _is_orphan(owner: int | None, server: int | None) -> bool:
    """Whether a server's owner is gone, so that the server is about to end."""
    if owner is None:
        return False
    if server is None:
        return not _exists(owner)
    parent = _parent(server)
    return not _exists(owner) if parent is None else parent != owner


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may hold anything: proc(5).
    return int(status.rpartition(")")[2].split()[1])

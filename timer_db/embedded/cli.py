"""The embedded server on the command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from timer_db.embedded.datadir import remembered_kind
from timer_db.embedded.engines import EngineKind
from timer_db.embedded.errors import EmbeddedError
from timer_db.embedded.finding import find_engine
from timer_db.embedded.server import EmbeddedServer

WATCH_SECONDS = 0.2
INTERRUPTED = 130


def run_embedded(data_dir: Path, engine: EngineKind | None, port: int | None) -> int:
    """Serve in the foreground until SIGINT or SIGTERM. Without a wish, data keep their engine."""
    try:
        chosen = find_engine(engine or remembered_kind(data_dir), progress=_complain)
        return _serve_until_asked(EmbeddedServer(chosen, data_dir, port=port))
    except EmbeddedError as fault:
        _complain(str(fault))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def install_engines(kinds: Sequence[EngineKind]) -> int:
    """Make sure that each is at hand, and say where."""
    failed = False
    for kind in kinds:
        try:
            engine = find_engine(kind, progress=_complain)
        except EmbeddedError as fault:
            _complain(str(fault))
            failed = True
        except KeyboardInterrupt:
            return INTERRUPTED
        else:
            _say(f"{engine.kind} {engine.version} {engine.program}")
    return 1 if failed else 0


def _serve_until_asked(server: EmbeddedServer) -> int:
    asked: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        asked.append(number)

    # While it starts too: it is stopped in order when it is up.
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with server:
            _say(f"ready: {server.url}")
            while not asked:
                if server.wait(WATCH_SECONDS):
                    raise EmbeddedError(f"the database server ended: {server.last_words()}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

"""Which server program to use: the machine's own, an unpacked one, or one that is downloaded now."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from timer_db.embedded.engines import (
    ENGINES_DIR,
    Engine,
    EngineKind,
    machines_own_engine,
    search_dirs,
    unpacked_engine,
)
from timer_db.embedded.errors import EmbeddedError
from timer_db.embedded.packages import Progress, unpack_server


def silent(_: str) -> None:
    """Tells nobody."""


def find_engine(
    kind: EngineKind | None = None,
    *,
    engines_dir: Path = ENGINES_DIR,
    mirror: str | None = None,
    search: Sequence[Path] | None = None,
    progress: Progress = silent,
) -> Engine:
    """The machine's own server, else an unpacked one, else one that is downloaded now.

    `search` are the folders to look for the machine's own in (default: PATH and the usual ones);
    `mirror` is the package mirror to use instead of the machine's.
    """
    kinds = (kind,) if kind else tuple(EngineKind)
    search = search_dirs() if search is None else search
    at_hand = itertools.chain(
        (machines_own_engine(wanted, search) for wanted in kinds),
        (unpacked_engine(wanted, engines_dir) for wanted in kinds),
    )
    engine = next(filter(None, at_hand), None)
    return engine or _install_first(kinds, engines_dir, mirror, progress)


def install_engine(
    kind: EngineKind,
    *,
    engines_dir: Path = ENGINES_DIR,
    mirror: str | None = None,
    progress: Progress = silent,
) -> Engine:
    """Unpack a server beside the project, unless that was done before.

    Needs no root, but Debian or Ubuntu.
    """
    return _install_first((kind,), engines_dir, mirror, progress)


def _install_first(
    kinds: Sequence[EngineKind], engines_dir: Path, mirror: str | None, progress: Progress
) -> Engine:
    faults = []
    for kind in kinds:
        try:
            engine = unpacked_engine(kind, engines_dir)
            return engine or unpack_server(kind, engines_dir.absolute(), mirror, progress)
        except EmbeddedError as fault:
            faults.append(str(fault))
    raise EmbeddedError(
        f"no {' or '.join(kinds)} server on this machine, and none to be had ({'; '.join(dict.fromkeys(faults))}):"
        " install mysql-server or mariadb-server, or let TIMER_DB_URL name a server of your own"
    )

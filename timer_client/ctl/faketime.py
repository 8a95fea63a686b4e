"""A clock for one program that can be moved: libfaketime, loaded into the database server of `timerctl dev`.

The database is the clock of the whole system, so nothing else needs another time. https://github.com/wolfcw/libfaketime
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from timer_client.ctl.faults import Fault

_LIBRARY = "libfaketime.so.1"
_PACKAGE = "libfaketime"


def find_library(cache: Path) -> Path:
    """The system's; else Debian's package, unpacked into `cache` without root. Fault when there is neither."""
    for root in (Path("/usr/lib"), cache):
        if found := sorted(root.glob(f"**/faketime/{_LIBRARY}")):
            return found[0]
    cache.mkdir(parents=True, exist_ok=True)
    try:
        # apt checks the package by the signatures of the distribution's lists; root may fetch those first.
        if os.geteuid() == 0:
            _run(["apt-get", "update", "-qq"], cache)
        _run(["apt-get", "download", "-qq", _PACKAGE], cache)
        for package in cache.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(cache)], cache)
            package.unlink()
        return next(cache.glob(f"**/faketime/{_LIBRARY}"))
    except (OSError, subprocess.CalledProcessError, StopIteration) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise Fault(
            f"the clock cannot be moved without {_PACKAGE}: apt-get install {_PACKAGE} ({said.strip()[:200]})"
        ) from None


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


class MovableClock:
    """How far ahead of the real time a program believes to be."""

    def __init__(self, library: Path, file: Path) -> None:
        self._library = library
        self._file = file
        self.ahead_seconds = 0.0
        if file.exists():
            self.ahead_seconds = float(file.read_text())
        self.move(0.0)

    @property
    def environment(self) -> dict[str, str]:
        """For the program; it looks into the file each time it asks for the time."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # Timeouts are told by another clock, and stay as long as they are. Without the second, waits of MySQL
            # by that clock end at once, and it keeps a core busy.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def move(self, seconds: float) -> None:
        """So much further ahead."""
        self.ahead_seconds += seconds
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self.ahead_seconds:+.3f}\n")
        fresh.replace(self._file)
